"""A processing element: one filter at a time, its weights sweeping the tiles of the map."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.accounts import Accounts
from hw.config import STREAM_BITS, Config
from hw.control import Control
from hw.counters import Counters
from hw.drain import Drain
from hw.fetch import REQUEST, Fetch
from hw.geometry import geometry_layout
from hw.lane import Lanes
from hw.program import FILTER_HEADER, LAYER
from hw.scratchpad import Scratchpad
from hw.sweep import Sweep
from hw.word_out import output_layout
from hw.wsp import WspDecoder


class PE(wiring.Component):
    """One PE of the array.

    index: its number there, a constant.
    weights, header: beats and filter headers of this PE from the program stream.
    layer, geometry: of the running layer. layer_start: a pulse. layer_active: until the layer ends.
    request, window: the read port of the spike buffer. output: its write port, or the results'.
    at_barrier, release: the barrier between segments. done: the layer's output is out.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "index": In(range(max(config.n_pe, 2))),
                "weights": In(stream.Signature(STREAM_BITS)),
                "header": In(stream.Signature(FILTER_HEADER)),
                "layer": In(LAYER),
                "geometry": In(geometry_layout(config)),
                "layer_start": In(1),
                "layer_active": In(1),
                "request": Out(stream.Signature(REQUEST)),
                "window_valid": In(1),
                "window": In(config.word_bits),
                "output": Out(stream.Signature(output_layout(config))),
                "at_barrier": Out(1),
                "release": In(1),
                "done": Out(1),
                "counting": In(1),
                "capture": In(1),
                "shift": In(1),
                "chain_in": In(STREAM_BITS),
                "chain_out": Out(STREAM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        if hasattr(platform, "get_pe"):  # hw/export.py's hook, as Amaranth's for memories
            return platform.get_pe(self)
        m = Module()
        config = self.config
        m.submodules.scratchpad = scratchpad = Scratchpad(config)
        m.submodules.decoder = decoder = WspDecoder(config)
        m.submodules.fetch = fetch = Fetch(config)
        m.submodules.control = control = Control(config)
        m.submodules.sweep = sweep = Sweep(config)
        m.submodules.lanes = lanes = Lanes(config)
        m.submodules.drain = drain = Drain(config)

        connect(m, flipped(self.weights), scratchpad.i)
        connect(m, flipped(self.header), decoder.header)
        connect(m, decoder.o, fetch.i)
        connect(m, fetch.request, flipped(self.request))
        connect(m, fetch.o, control.i)
        connect(m, drain.output, flipped(self.output))
        m.d.comb += [
            scratchpad.read.eq(decoder.read),
            scratchpad.row.eq(decoder.row),
            scratchpad.tail.eq(decoder.tail),
            decoder.data.eq(scratchpad.data),
            decoder.head.eq(scratchpad.head),
            decoder.geometry.eq(self.geometry),
            decoder.layer_start.eq(self.layer_start),
            fetch.window_valid.eq(self.window_valid),
            fetch.window.eq(self.window),
            control.spikes.eq(fetch.spikes),
            control.side.eq(self.layer.side),
            control.geometry.eq(self.geometry),
            control.layer_start.eq(self.layer_start),
            control.release.eq(self.release),
            control.running.eq(sweep.running),
            control.last.eq(sweep.last),
            control.left.eq(drain.left),
            sweep.start.eq(control.start),
            sweep.height.eq(control.height),
            sweep.width.eq(control.width),
            drain.index.eq(self.index),
            drain.layer.eq(self.layer),
            drain.geometry.eq(self.geometry),
            drain.leaving.eq(control.leaving),
            drain.draining.eq(control.draining),
            drain.valid.eq(sweep.valid),
            drain.last.eq(sweep.last_position),
            drain.y.eq(sweep.y),
            drain.x.eq(sweep.x),
            drain.sums.eq(lanes.sums),
            self.at_barrier.eq(control.at_barrier),
            self.done.eq(control.done),
        ]
        accounts = self._accumulate(m, control, sweep, lanes)
        m.d.comb += accounts.fetching.eq(fetch.busy)
        self._count(m, accounts)
        return m

    def _accumulate(self, m: Module, control: Control, sweep: Sweep, lanes: Lanes) -> Accounts:
        """The current weight to the lanes, at the position that the sweep visits; the accounts of that."""
        m.submodules.accounts = accounts = Accounts(self.config)
        layer, current, tile, step = self.layer, control.current, control.tile, lanes.step
        in_tile = Signal()
        active = Signal()
        identity = Signal()  # the weight is an identity shortcut's: no work
        biased = Signal()  # of an averaged map, one position has the bias
        spikes = control.window.word_select(Cat(sweep.x, sweep.y), self.config.ticks)
        inside = (sweep.y < tile.height) & (sweep.x < tile.width)
        m.d.comb += [
            in_tile.eq(sweep.valid & inside & ~control.flushing),
            active.eq(in_tile & ~current.empty),
            identity.eq(layer.identity & (current.channel >= layer.channels)),
            biased.eq(~layer.average | ((sweep.y == 0) & (sweep.x == 0))),
            lanes.valid.eq(sweep.valid),
            step.y.eq(sweep.y),
            step.x.eq(sweep.x),
            step.spikes.eq(Mux(active, spikes, 0)),
            step.accumulate.eq(in_tile),
            step.opening.eq(current.opening),
            step.drain.eq(control.draining),
            step.weight.eq(current.value),
            step.bias.eq(Mux(biased, current.bias, 0)),
            accounts.active.eq(active),
            accounts.identity.eq(identity),
            accounts.spikes.eq(step.spikes),
            accounts.running.eq(sweep.running),
            accounts.visiting.eq(sweep.valid),
            accounts.flushing.eq(control.flushing),
            accounts.empty.eq(current.empty),
            accounts.at_barrier.eq(control.at_barrier),
            accounts.ending.eq(control.ending),
            accounts.done.eq(control.done),
            accounts.blocked.eq(control.blocked),
            accounts.layer_active.eq(self.layer_active),
        ]
        return accounts

    def _count(self, m: Module, accounts: Accounts) -> None:
        """The accounts into the counters, and those into the chain."""
        m.submodules.counters = counters = Counters(self.config)
        m.d.comb += [
            counters.steps.eq(accounts.steps),
            counters.accumulates.eq(accounts.accumulates),
            counters.shortcut_accumulates.eq(accounts.shortcut_accumulates),
            counters.cycle.eq(accounts.cycle),
            counters.counting.eq(self.counting),
            counters.capture.eq(self.capture),
            counters.shift.eq(self.shift),
            counters.chain_in.eq(self.chain_in),
            self.chain_out.eq(counters.chain_out),
        ]
