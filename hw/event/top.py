"""The event machine's top: a program stream in, a whole network run, a result stream out."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.apu import Apu
from hw.config import BANKS, Config
from hw.event.array import Array
from hw.event.loader import Loader
from hw.event.loader import beat_layout as program_layout
from hw.event.pe import PE
from hw.loader import Error, beat_layout
from hw.results import Results
from hw.sequencer import Sequencer
from hw.spike_buffer import granules


class Top(wiring.Component):
    """Runs programs (hw/event/program.py) one after the other; ports and order of results as of hw.top.Top.

    program, results: streams with `last`; results are in the order of results.py.
    error: sticky, see loader.Error; a reset and a new program get on.
    layer_end: a pulse in the last cycle of each layer; all its writes are done.
    written_*: a tap of every write to the spike buffer: which banks take it, the address, the
    granules, and the word for even and odd banks. It has no flow control: it only watches.
    """

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.config, self.pe = config, pe
        super().__init__(
            {
                "program": In(stream.Signature(program_layout(config))),
                "results": Out(stream.Signature(beat_layout())),
                "error": Out(Error),
                "layer_end": Out(1),
                "written_banks": Out(BANKS),
                "written_address": Out(12),
                "written_enable": Out(granules(config)),
                "written_even": Out(config.word_bits),
                "written_odd": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.loader = loader = Loader(config)
        m.submodules.apu = apu = Apu(config)
        m.submodules.array = array = Array(config, self.pe)
        m.submodules.results = results = Results(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        connect(m, flipped(self.program), loader.i)
        connect(m, loader.activations, apu.i)
        connect(m, loader.layer, sequencer.i)
        connect(m, loader.list, array.list)
        connect(m, loader.segment, array.segment)
        for kind in ("header", "headers", "values"):
            valid, ready = f"{kind}_valid", f"{kind}_ready"
            m.d.comb += [
                getattr(array, valid).eq(getattr(loader, valid)),
                getattr(loader, ready).eq(getattr(array, ready)),
            ]
        connect(m, results.o, flipped(self.results))
        m.d.comb += [
            self.error.eq(loader.error),
            self.layer_end.eq(sequencer.capture),
            self.written_banks.eq(array.written.banks),
            self.written_address.eq(array.written.address),
            self.written_enable.eq(array.written.enable),
            self.written_even.eq(array.written.data[0]),
            self.written_odd.eq(array.written.data[1]),
            apu.start.eq(loader.input_start),
            apu.header.eq(loader.input_header),
            loader.input_done.eq(apu.done),
            array.loaded.eq(loader.loaded),
            array.lanes.eq(loader.lanes),
            loader.finished.eq(sequencer.finished),
            array.row_valid.eq(apu.row_valid),
            array.row.eq(apu.row),
            array.layer.eq(sequencer.layer),
            array.layer_start.eq(sequencer.layer_start),
            array.layer_active.eq(sequencer.layer_active),
            array.counting.eq(sequencer.counting),
            array.capture.eq(sequencer.capture),
            array.shift.eq(results.shift),
            array.result_room.eq(results.room),
            results.input_valid.eq(apu.done),
            results.input_spikes.eq(apu.spikes),
            results.input_cycles.eq(sequencer.input_cycles),
            results.result_valid.eq(array.result_valid),
            results.result.eq(array.result),
            results.capture.eq(sequencer.capture),
            results.last_layer.eq(sequencer.last_layer),
            results.chain.eq(array.chain),
            sequencer.first.eq(loader.first),
            sequencer.layers.eq(loader.layers),
            sequencer.input_done.eq(apu.done),
            sequencer.all_done.eq(array.all_done),
            sequencer.results_idle.eq(results.idle),
        ]
        return m
