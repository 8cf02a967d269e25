"""Accesses to DRAM and SRAM by kind, and the energy of the whole system; docs/energy.md.

Two accountings. `paper`: weights with WSP and every layer's spikes in CSR come from DRAM through the
global buffer (GLB), and the layer's own spikes go back; a spike map is read from the GLB again for
every group of filters. `rtl`: what this RTL does. Only the program (WSP words, headers, the image's
input spikes) crosses the edge; maps stay in the spike buffer. Potentials move in neither: all ticks
of a layer run before the next layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.config import STREAM_BITS, STREAM_WORDS, WORD_BITS, Config
from hw.counters import cycle_names
from hw.tiling import Storage
from sim.models import event_memory
from sim.models.components import Counts
from sim.models.cycles import LayerCycles
from sim.models.technology import ComponentTable
from sw.compile import CompiledLayer, Program
from sw.event.program import EventLayer
from sw.placement import Region

KINDS = ("weights", "spikes_in", "spikes_out", "potentials")
ACCESS_BITS = 64  # of DRAM and GLB; a beat of the program stream
POINTER_BITS, COLUMN_BITS = 16, 8  # of CSR
DESCRIPTOR_BEATS = 2


@dataclass(frozen=True, kw_only=True)
class Accesses:
    """Accesses of ACCESS_BITS to DRAM and GLB by kind, and of WORD_BITS to the scratchpads."""

    dram: dict[str, float]
    glb_reads: dict[str, float]
    glb_writes: dict[str, float]
    spad_reads: float
    spad_writes: float

    @property
    def dram_total(self) -> float:
        """All of DRAM."""
        return sum(self.dram.values())

    @property
    def sram_total(self) -> float:
        """GLB and scratchpads."""
        glb = sum(self.glb_reads.values()) + sum(self.glb_writes.values())
        return glb + self.spad_reads + self.spad_writes


def add(parts: list[Accesses]) -> Accesses:
    """Their sum: of a network's layers."""
    return Accesses(
        dram={k: sum(p.dram[k] for p in parts) for k in KINDS},
        glb_reads={k: sum(p.glb_reads[k] for p in parts) for k in KINDS},
        glb_writes={k: sum(p.glb_writes[k] for p in parts) for k in KINDS},
        spad_reads=sum(p.spad_reads for p in parts),
        spad_writes=sum(p.spad_writes for p in parts),
    )


def csr_bits(active: np.ndarray, *, side: int) -> int:
    """Bits of a map of `side` in CSR; active (C,): positions of each channel with any spike."""
    active = np.asarray(active, np.int64)
    pointers = len(active) * (side + 1) * POINTER_BITS
    tick_bytes = int(((active + 1) // 2).sum())
    return pointers + int(active.sum()) * COLUMN_BITS + 8 * tick_bytes


def active_positions(spikes: np.ndarray) -> np.ndarray:
    """Positions of each channel with a spike in any tick, (C,), of a map (T, C, H, W)."""
    return np.count_nonzero(spikes.any(axis=0), axis=(1, 2))


def paper_accesses(
    *,
    weight_bits: float,
    input_bits: float,
    output_bits: float,
    groups: int,
    accumulates: float,
    identity_bits: float = 0,
) -> Accesses:
    """One layer: bits of its weights and maps as stored, and how often its input is used.

    identity_bits: of the map that an identity shortcut adds, which is used once.
    """
    weights, spikes_in, spikes_out = (
        _accesses(bits) for bits in (weight_bits, input_bits, output_bits)
    )
    added = _accesses(identity_bits)
    none = dict.fromkeys(KINDS, 0.0)
    return Accesses(
        dram={
            **none,
            "weights": weights,
            "spikes_in": spikes_in + added,
            "spikes_out": spikes_out,
        },
        glb_reads={
            **none,
            "weights": weights,
            "spikes_in": spikes_in * groups + added,
            "spikes_out": spikes_out,
        },
        glb_writes={
            **none,
            "weights": weights,
            "spikes_in": spikes_in + added,
            "spikes_out": spikes_out,
        },
        spad_reads=accumulates,
        spad_writes=weight_bits / WORD_BITS,
    )


def rtl_accesses(layer: CompiledLayer, config: Config) -> Accesses:
    """One layer of a program, without the image's input, which `rtl_input_accesses` has.

    A row of four words is written to the ring at once, and words are read one by one, once a tile;
    a weight reads its window, one word of 256 bits of each bank, or of one for maps of 8 and less.
    """
    tiles = layer.tiling(config).count
    reads = writes = beats = 0
    for segment in layer.segments:
        passes = tiles if segment.all_tiles else 1
        rows = sum(-(-len(words) // STREAM_WORDS) for words in segment.words)
        reads += passes * sum(len(words) for words in segment.words)
        writes += rows * STREAM_WORDS
        beats += rows + len(segment.words)
    weights = sum(int(np.count_nonzero(part.mask)) for part in layer.integer.sources)
    none = dict.fromkeys(KINDS, 0.0)
    banks = _storage(layer.inputs[0], config).window_reads
    word = config.word_bits / ACCESS_BITS
    stored = 0.0 if layer.output is None else _stored(layer.output, config)
    return Accesses(
        dram={**none, "weights": float(beats + DESCRIPTOR_BEATS)},
        glb_reads={**none, "spikes_in": tiles * weights * banks * word},
        glb_writes={**none, "spikes_out": stored * word},
        spad_reads=reads,
        spad_writes=writes,
    )


def rtl_input_accesses(program: Program, spikes: np.ndarray) -> Accesses:
    """Loading an image's input spikes, uint8 (T, C, H, W): beats in, words of the spike buffer out."""
    none = dict.fromkeys(KINDS, 0.0)
    beats = len(program.beats(spikes)) - len(program.layer_beats)
    stored = _stored(program.input, program.config)
    return Accesses(
        dram={**none, "spikes_in": float(beats)},
        glb_reads=none,
        glb_writes={**none, "spikes_in": stored * program.config.word_bits / ACCESS_BITS},
        spad_reads=0,
        spad_writes=0,
    )


def lif_updates(layer: CompiledLayer, config: Config) -> int:
    """(neuron, tick) pairs of a layer; none of a classifier, which is read out raw."""
    if layer.integer.threshold is None:
        return 0
    return len(layer.order) * layer.positions * config.ticks * layer.descriptor.rounds


def rtl_counts(layer: CompiledLayer, counters: Mapping[str, np.ndarray], config: Config) -> Counts:
    """Counts for `breakdown(accounting="rtl")` from a layer's counters, (n_pe,) by name.

    counters: `accumulates`, `shortcut_accumulates` and the cycles of hw.counters, the RTL's or the
    models'. What an identity shortcut adds costs as much as any other sum.
    """
    if isinstance(layer, EventLayer):
        visits = layer.tiling(config).count * layer.descriptor.rounds
        rings = event_memory.accesses(layer, visits)
        reads, writes, slices = rings.reads, rings.writes, rings.slices
    else:
        access = rtl_accesses(layer, config)
        reads, writes, slices = access.spad_reads, access.spad_writes, 0.0
    return Counts(
        accumulates=float(
            np.sum(counters["accumulates"]) + np.sum(counters["shortcut_accumulates"])
        ),
        pe_cycles=float(sum(np.sum(counters[name]) for name in cycle_names(config.machine))),
        spad_reads=reads,
        spad_writes=writes,
        slices=slices,
        lif_updates=lif_updates(layer, config),
    )


def expected_counts(
    layer: CompiledLayer, cycles: LayerCycles, config: Config, *, spike_sparsity: float
) -> Counts:
    """`rtl_counts` of a layer whose spikes nobody has: a share of its steps, without one, is given."""
    steps = config.ticks * layer.positions
    active = steps * (1 - spike_sparsity)
    weights = int(layer.integer.filter_nnz.sum())
    identities = layer.descriptor.filters * layer.descriptor.identity
    counters = {
        **cycles.counters,
        "accumulates": np.array([weights * active]),
        "shortcut_accumulates": np.array([identities * active]),
    }
    return rtl_counts(layer, counters, config)


def system_energy(
    table: ComponentTable, accesses: Accesses, *, pe_pj: float, cycles: float
) -> dict[str, float]:
    """Energy of the system in pJ by part; the parts add up to all of it.

    pe_pj: of the PEs. cycles: of the clock, in which one bank of the GLB leaks, as in SATA_Sim.
    """
    glb, dram = table.components["glb"], table.components["dram"]
    reads, writes = sum(accesses.glb_reads.values()), sum(accesses.glb_writes.values())
    return {
        "pe": pe_pj,
        "glb": reads * glb.dynamic.value + writes * glb.write.value,
        "glb_leakage": cycles * table.leakage_pj("glb"),
        "dram": accesses.dram_total * dram.dynamic.value,
    }


def _storage(region: Region, config: Config) -> Storage:
    return Storage(config, region.side, region.side)


def _stored(region: Region, config: Config) -> int:
    """Words of single banks that storing a map writes."""
    return _storage(region, config).writes(region.channels)


def _accesses(bits: float) -> float:
    return -(-bits // ACCESS_BITS)


assert ACCESS_BITS == STREAM_BITS  # noqa: S101 - a beat is an access
