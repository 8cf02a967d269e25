"""The sequencer: layer after layer, and the cycles that belong to each."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.program import layer_layout


class Sequencer(wiring.Component):
    """Layer after layer: starts one when its descriptor is there, ends it when its output is out.

    Every cycle from the input's last on belongs to a layer: a layer's cycles run from the end of
    the one before (or of the input) to its own end. first: the program's first beat is taken, and no input is there.
    begin: a pulse: the program's input is there, which `layers` belongs to; of the next program, it is kept until this
    one has ended. begun: a pulse: its layers follow. input_cycles: with `begun`: from the first beat on, or, where
    the input is there, from the end of the program before.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(layer_layout(config))),
                "first": In(1),
                "layers": In(8),
                "begin": In(1),
                "all_done": In(1),
                "results_idle": In(1),
                "begun": Out(1),
                "layer": Out(layer_layout(config)),
                "layer_start": Out(1),
                "layer_active": Out(1),
                "counting": Out(1),
                "capture": Out(1),
                "last_layer": Out(1),
                "finished": Out(1),
                "input_cycles": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(8)
        cycles = Signal(32)  # since the program's first beat, or the end of the one before
        waiting = Signal()  # the next program, for this one's end
        m.d.sync += [cycles.eq(cycles + 1), self.layer_start.eq(0)]
        with m.If(self.first):
            m.d.sync += cycles.eq(1)
        with m.If(self.finished):
            m.d.sync += cycles.eq(0)
        with m.If(self.begin):
            m.d.sync += waiting.eq(1)
        m.d.comb += [
            self.input_cycles.eq(cycles + 1),
            self.last_layer.eq(left == 1),
            self.counting.eq(left != 0),
        ]
        with m.FSM():
            with m.State("INPUT"):
                with m.If(self.begin | waiting):
                    m.d.comb += self.begun.eq(1)
                    m.d.sync += [left.eq(self.layers), waiting.eq(0)]
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [self.layer.eq(self.i.payload), self.layer_start.eq(1)]
                    m.next = "START"
            with m.State("START"):
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.layer_active.eq(1)
                with m.If(self.all_done & self.results_idle):
                    m.d.comb += self.capture.eq(1)
                    m.d.sync += left.eq(left - 1)
                    m.next = "WAIT"
                    with m.If(left == 1):
                        m.d.comb += self.finished.eq(1)
                        m.next = "INPUT"
        return m
