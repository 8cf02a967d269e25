"""`sim.models.memory`: accesses counted by hand, against the program and the encoders, and energy of the system."""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import PRESETS, Config
from hw.counters import CYCLES, counter_names
from sim.models import memory
from sim.models.components import breakdown, total_pj
from sim.models.cycles import bound, predict
from sim.models.memory import KINDS
from sim.models.technology import load_table
from sim.rtl.checks import expected_steps
from sim.rtl.harness import Rtl
from sw import csr, golden, wsp
from sw.event.batch import batch_from
from tb.random_programs import Shape, build, random_case
from tests.random_networks import random_spikes
from tests.soak import times

TINY = PRESETS["tiny"]


def test_a_layer_counted_by_hand():
    # 640 bits of weights, 100 of input, 64 of output: 10, 2 and 1 accesses; 3 groups read the input
    accesses = memory.paper_accesses(
        weight_bits=640, input_bits=100, output_bits=64, groups=3, accumulates=77
    )
    assert accesses.dram == {"weights": 10, "spikes_in": 2, "spikes_out": 1, "potentials": 0}
    assert accesses.glb_reads == {"weights": 10, "spikes_in": 6, "spikes_out": 1, "potentials": 0}
    assert accesses.glb_writes == {"weights": 10, "spikes_in": 2, "spikes_out": 1, "potentials": 0}
    assert (accesses.spad_reads, accesses.spad_writes) == (77, 40)
    assert accesses.dram_total == 13
    assert accesses.sram_total == 17 + 13 + 117
    twice = memory.add([accesses, accesses])
    assert twice.dram_total == 26
    assert twice.sram_total == 2 * accesses.sram_total


@pytest.mark.parametrize("side", [1, 5, 16])
def test_bits_of_a_map_are_those_of_the_encoder(side):
    spikes = random_spikes(np.random.default_rng(side), (4, 3, side, side), 0.2)
    bits = 0
    for c in range(3):
        channel = csr.encode(spikes[:, c])
        bits += 16 * len(channel.row_pointers) + 8 * len(channel.columns) + 8 * len(channel.ticks)
    assert memory.csr_bits(memory.active_positions(spikes), side=side) == bits


@pytest.mark.parametrize("shape", [(5, 300, 3, 3), (7, 900, 1, 1), (4, 400)])
@pytest.mark.parametrize("density", [0.0, 0.001, 0.02, 0.6, 1.0])
def test_lengths_are_those_of_the_encoder(shape, density):
    mask = np.random.default_rng(1).random(shape) < density
    assert wsp.lengths(mask).tolist() == [len(wsp.encode(m.astype(int), m)) for m in mask]


def test_expected_words_are_the_mean_over_random_masks():
    rng = np.random.default_rng(2)
    nnz = np.array([0, 5, 60, 900])
    counts = []
    for _ in range(300):
        mask = np.zeros((4, 900), bool)
        for row, n in zip(mask, nnz, strict=True):
            row[rng.permutation(900)[:n]] = True
        counts.append(wsp.lengths(mask.reshape(4, 100, 3, 3)).sum())
    assert wsp.expected_words(nnz, channels=100, positions=9) == pytest.approx(
        np.mean(counts), rel=0.002
    )


@pytest.mark.parametrize("seed", range(times(8)))
def test_what_crosses_the_edge_is_the_program(seed):
    case = random_case(TINY, seed)
    parts = [memory.rtl_accesses(layer, TINY) for layer in case.program.layers]
    parts.append(memory.rtl_input_accesses(case.program, case.spikes))
    assert memory.add(parts).dram_total == len(case.program.beats(case.spikes))
    assert memory.add(parts).dram["potentials"] == 0


def test_the_array_reads_a_window_a_weight_and_tile():
    # one 16x16 map of 4 tiles; 8 filters of 3 channels, all weights there
    case = build(Config(n_pe=4), (Shape(filters=8, density=1.0),), side=16, channels=3)
    accesses = memory.rtl_accesses(case.program.layers[0], case.program.config)
    assert accesses.glb_reads["spikes_in"] == 8 * 27 * 4 * 4 * 4  # tiles, banks, 64 bits
    assert accesses.glb_writes["spikes_out"] == 8 * 4 * 4
    assert accesses.spad_reads == 8 * 30 * 4  # a header a channel
    assert accesses.spad_writes == 8 * 32
    assert memory.lif_updates(case.program.layers[0], case.program.config) == 8 * 256 * 4


def test_rings_are_read_in_each_visit_and_written_once():
    """Of rounds of ticks, and of a batch's images."""
    event = replace(TINY, machine="event", scratchpad_depth=128, buffer_depth=512)
    shapes = (Shape(filters=8), Shape(filters=8))

    def counts(program):
        nothing = np.zeros(event.n_pe)
        counters = dict.fromkeys(counter_names("event"), nothing)
        return [memory.rtl_counts(layer, counters, event) for layer in program.layers]

    case, many = (build(event, shapes, side=12, channels=8, ticks=n * event.ticks) for n in (1, 3))
    batch = batch_from(case.program, 3, 0)
    once = counts(case.program)
    for repeated in (counts(many.program), counts(batch.programs[0])):
        for one, three in zip(once, repeated, strict=True):
            assert one.spad_reads > one.spad_writes > 0  # several tiles
            assert three.spad_writes == one.spad_writes
            assert three.spad_reads == 3 * one.spad_reads
            assert three.slices == 3 * one.slices > 0
            assert three.lif_updates == 3 * one.lif_updates


def test_the_parts_of_the_system_add_up():
    table = load_table()
    accesses = memory.paper_accesses(
        weight_bits=640, input_bits=128, output_bits=64, groups=2, accumulates=5
    )
    parts = memory.system_energy(table, accesses, pe_pj=1000.0, cycles=400)
    assert parts["pe"] == 1000
    assert parts["dram"] == pytest.approx(13 * 468.762)
    assert parts["glb"] == pytest.approx(15 * 3.936 + 13 * 3.462)
    assert parts["glb_leakage"] == pytest.approx(400 * 926 / 400)
    assert set(accesses.dram) == set(KINDS)


def test_the_models_give_the_energy_of_the_counters():
    table = load_table()
    with Rtl(TINY) as rtl:
        for seed in range(times(5)):
            case = random_case(TINY, seed)
            run = rtl.run(case.program, case.spikes, max_cycles=bound(case.program, case.spikes))
            expected = golden.run(case.network, case.spikes)
            modelled = predict(case.program)
            for layer, done, cycles in zip(case.program.layers, run.layers, modelled, strict=True):
                steps = expected_steps(layer, expected, case.program)
                energies = [
                    breakdown(
                        table,
                        memory.rtl_counts(layer, counters, TINY),
                        accounting="rtl",
                        config=TINY,
                    )
                    for counters in (done.counters, {**cycles.counters, **steps})
                ]
                assert energies[0] == energies[1]


def test_every_cycle_costs():
    case = random_case(TINY, 3)
    table = load_table()
    expected = golden.run(case.network, case.spikes)
    for layer, cycles in zip(case.program.layers, predict(case.program), strict=True):
        steps = expected_steps(layer, expected, case.program)
        counts = memory.rtl_counts(layer, {**cycles.counters, **steps}, TINY)
        assert counts.pe_cycles == cycles.cycles * TINY.n_pe
        spikes = steps["accumulates"].sum() + steps["shortcut_accumulates"].sum()
        assert counts.accumulates == spikes
        more = {**cycles.counters, **steps, CYCLES[1]: cycles.counters[CYCLES[1]] + 1}
        before, after = (
            total_pj(breakdown(table, c, accounting="rtl", config=TINY))
            for c in (counts, memory.rtl_counts(layer, more, TINY))
        )
        assert after > before
