"""What the tops of both machines have: all but how weights get from the loader to the PEs."""

from __future__ import annotations

from typing import Any

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.apu import Apu
from hw.config import BANKS, Config
from hw.loader import Error, beat_layout
from hw.pe_array import PeArray
from hw.results import Results
from hw.sequencer import Sequencer
from hw.spike_buffer import granules
from hw.widths import ADDRESS_BITS


class Chip(wiring.Component):
    """Runs programs one after the other, without the host between layers. beat: of the program stream.

    program, results: streams with `last`; results are in the order of results.py.
    error: sticky, see loader.Error; a reset and a new program get on.
    layer_end: a pulse in the last cycle of each layer; all its writes are done.
    written_*: a tap of every write to the spike buffer: which banks take it, the address, the
    granules, and the word for even and odd banks. It has no flow control: it only watches.
    """

    def __init__(self, config: Config, beat: data.StructLayout) -> None:
        self.config = config
        super().__init__(
            {
                "program": In(stream.Signature(beat)),
                "results": Out(stream.Signature(beat_layout())),
                "error": Out(Error),
                "layer_end": Out(1),
                "written_banks": Out(BANKS),
                "written_address": Out(ADDRESS_BITS),
                "written_enable": Out(granules(config)),
                "written_even": Out(config.word_bits),
                "written_odd": Out(config.word_bits),
            }
        )

    def _around(self, m: Module, loader: Any, array: PeArray) -> None:
        """Puts a loader, which is a hw.loader.ProgramReader, and an array between the two streams."""
        config = self.config
        m.submodules.loader = loader
        m.submodules.apu = apu = Apu(config)
        m.submodules.array = array
        m.submodules.results = results = Results(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        connect(m, flipped(self.program), loader.i)
        connect(m, loader.activations, apu.i)
        connect(m, loader.layer, sequencer.i)
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
            loader.finished.eq(sequencer.finished),
            array.row_valid.eq(apu.row_valid),
            array.row.eq(apu.row),
            apu.row_ready.eq(array.row_ready),
            array.layer.eq(sequencer.layer),
            array.layer_start.eq(sequencer.layer_start),
            array.layer_active.eq(sequencer.layer_active),
            array.counting.eq(sequencer.counting),
            array.capture.eq(sequencer.capture),
            array.shift.eq(results.shift),
            array.result_room.eq(results.room),
            results.input_valid.eq(sequencer.begun),
            results.input_spikes.eq(apu.spikes),
            results.input_cycles.eq(sequencer.input_cycles),
            results.result_valid.eq(array.result_valid),
            results.result.eq(array.result),
            results.capture.eq(sequencer.capture),
            results.last_layer.eq(sequencer.last_layer),
            results.chain.eq(array.chain),
            sequencer.first.eq(loader.first),
            sequencer.layers.eq(loader.layers),
            sequencer.begin.eq(loader.begin),
            sequencer.all_done.eq(array.all_done),
            sequencer.results_idle.eq(results.idle),
        ]
