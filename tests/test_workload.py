"""`sim.models.workload` against worked examples and a naive model written from the definitions."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.models.cycles import predict
from sim.models.workload import (
    Part,
    group_utilization,
    layer_workload,
    of_program,
    part_workloads,
    rtl_bound_cycles,
    totals,
)
from sw.machines import compile_network
from sw.order import sort_orders
from sw.quantize import quantize, ticket_config
from sw.ticket import load

TICKETS = sorted((Path(__file__).parent.parent / "tickets").glob("*/*.npz"))


def workload(nnz, *, parameters=1000, positions=1, ticks=1, n_pe=4, name="layer"):
    return layer_workload(
        name, nnz, parameters=parameters, positions=positions, ticks=ticks, n_pe=n_pe
    )


def test_worked_example_of_a_full_and_a_short_group():
    layer = workload([4, 2, 2, 0, 3, 1], parameters=54, positions=9, ticks=2)
    assert layer.filters == 6
    assert layer.nnz == 12
    assert layer.work == 2 * 9 * 12
    assert layer.latency == 2 * 9 * (4 + 3)
    assert layer.idle == 4 * layer.latency - layer.work
    # Group 1: mean 2, max 4: 1 - 2/4 * 4/3 = 1/3. Group 2: mean 1, max 3: 1 - 2/3 * 4/3 = 1/9.
    assert layer.utilization == pytest.approx((1 / 3 + 1 / 9) / 2, rel=1e-15)
    assert layer.occupancy == pytest.approx(12 / 28, rel=1e-15)


@pytest.mark.parametrize(
    ("group", "n_pe", "expected"),
    [
        ([7, 7, 7, 7], 4, 1.0),
        ([1, 0, 0, 0], 4, 0.0),  # the authors' ceil(mean) gives 1
        ([5, 5], 4, 1 - 0.5 * 4 / 3),
        ([5], 1, 1.0),
        ([2, 1], 2, 0.0 + 1 - 0.25 * 2),
    ],
)
def test_group_utilization_is_eq2_with_the_exact_mean(group, n_pe, expected):
    assert group_utilization(group, n_pe) == pytest.approx(expected, abs=1e-15)


def test_groups_without_weights_are_left_out_of_the_mean():
    assert workload([3, 3, 3, 3, 0, 0, 0, 0]).utilization == 1.0


def test_a_layer_without_weights_has_no_ratios():
    layer = workload([0, 0, 0], positions=16, ticks=4)
    assert (layer.work, layer.idle, layer.latency) == (0, 0, 0)
    assert layer.utilization is None
    assert layer.occupancy is None


def test_totals_weigh_utilization_by_parameters_and_leave_empty_layers_out():
    layers = [
        workload([2, 2, 2, 2], parameters=300, positions=4),
        workload([1, 0, 0, 0], parameters=100),
        workload([0, 0], parameters=600),
    ]
    total = totals(layers)
    assert total.utilization == pytest.approx(300 / 400, rel=1e-15)
    assert total.work == 4 * 8 + 1
    assert total.latency == 4 * 2 + 1
    assert total.idle == 3
    assert total.occupancy == pytest.approx(33 / 36, rel=1e-15)
    assert total.weight_sparsity == pytest.approx(1 - 9 / 1000, rel=1e-15)
    assert (total.filters, total.nnz, total.parameters, total.positions) == (10, 9, 1000, 6)


def test_totals_of_empty_layers_have_no_ratios():
    total = totals([workload([0])])
    assert total.utilization is None
    assert total.occupancy is None
    assert total.weight_sparsity == 1


def test_counts_are_exact_beyond_64_bits():
    layer = workload([2, 1], positions=10**12, ticks=10**9, n_pe=10**6)
    assert layer.work == 3 * 10**21
    assert layer.idle == 10**6 * 2 * 10**21 - 3 * 10**21


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nnz": [1], "n_pe": 0}, r"fc: n_pe = 0; allowed: 1 or more"),
        ({"nnz": [1], "ticks": 0}, r"fc: ticks = 0"),
        ({"nnz": [1], "positions": -4}, r"fc: positions = -4"),
        ({"nnz": []}, r"fc: filters = 0"),
        ({"nnz": [5, 6], "parameters": 10}, r"fc: 11 non-zero weights out of 10"),
    ],
)
def test_bad_sizes_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        workload(**arguments, name="fc")


@given(
    nnz=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    n_pe=st.integers(1, 20),
    positions=st.integers(1, 64),
    ticks=st.integers(1, 4),
)
def test_every_layer_agrees_with_the_definitions(nnz, n_pe, positions, ticks):
    layer = workload(np.array(nnz), n_pe=n_pe, positions=positions, ticks=ticks, parameters=1600)
    work = latency = 0
    ratios = []
    for start in range(0, len(nnz), n_pe):
        group = nnz[start : start + n_pe]
        group += [0] * (n_pe - len(group))
        work += ticks * positions * sum(group)
        latency += ticks * positions * max(group)
        if max(group) and n_pe > 1:
            mean = Fraction(sum(group), n_pe)
            ratios.append(1 - (max(group) - mean) / max(group) * Fraction(n_pe, n_pe - 1))
        elif max(group):
            ratios.append(Fraction(1))
    assert (layer.work, layer.latency, layer.idle) == (work, latency, n_pe * latency - work)
    assert type(layer.work) is type(layer.latency) is type(layer.idle) is int
    if ratios:
        assert layer.utilization == pytest.approx(float(sum(ratios) / len(ratios)), abs=1e-12)
        assert 0 <= layer.utilization <= 1
        assert layer.occupancy == pytest.approx(work / (n_pe * latency), rel=1e-12)
    else:
        assert layer.utilization is layer.occupancy is None


@given(work=st.integers(0, 10**20), lanes=st.integers(1, 8), n_pe=st.integers(1, 64))
def test_rtl_bound_is_the_ceiling(work, lanes, n_pe):
    cycles = rtl_bound_cycles(work, lanes=lanes, n_pe=n_pe)
    assert (cycles - 1) * lanes * n_pe < work <= cycles * lanes * n_pe or cycles == work == 0


def test_a_layer_and_its_shortcut_are_one_filter():
    """4 PEs: filters of both parts together wait at one barrier; work and nnz stay a row each."""
    parts = [
        Part(name="shortcut", filter_nnz=[3, 0, 1, 0, 2], parameters=10),
        Part(name="host", filter_nnz=[1, 4, 1, 2, 0], parameters=45),
    ]
    shortcut, host = part_workloads(parts, positions=9, ticks=2, n_pe=4)
    assert (shortcut.nnz, shortcut.work) == (6, 6 * 18)
    assert (shortcut.idle, shortcut.latency, shortcut.utilization, shortcut.occupancy) == (
        0,
        0,
        None,
        None,
    )
    together = layer_workload("both", [4, 4, 2, 2, 2], parameters=55, positions=9, ticks=2, n_pe=4)
    assert (host.nnz, host.work, host.parameters) == (8, 8 * 18, 45)
    assert (host.latency, host.idle) == (together.latency, together.idle) == (6 * 18, 10 * 18)
    assert (host.utilization, host.occupancy) == (together.utilization, together.occupancy)
    total = totals([shortcut, host])
    assert total.work + total.idle == 4 * total.latency
    assert (total.utilization, total.occupancy) == (host.utilization, host.occupancy)


@pytest.mark.parametrize("path", TICKETS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_layer_takes_fewer_cycles_than_its_latency_needs(path):
    """Every shipped ticket: latency / lanes <= cycles; the cycles are the RTL's (test_network.py)."""
    ticket = load(path)
    config = ticket_config(ticket)
    network = quantize(ticket, config)
    for orders in (None, sort_orders(network)):
        program = compile_network(network, config, orders=orders)
        rows = {row.name: row for row in of_program(program)}
        for layer, cycles in zip(program.layers, predict(program), strict=True):
            row = rows[layer.name]
            assert row.latency <= cycles.cycles * config.lanes, row.name
            assert row.work + row.idle <= cycles.cycles * config.lanes * config.n_pe, row.name
        total = totals(rows.values())
        assert total.work + total.idle == config.n_pe * total.latency
