"""`sim.energy`: Eq. 3, its views, and what the paper's tables say of it."""

import pytest

from sim.energy import Activity, eq3, layer_energies, load_technology
from sim.errors import BadInput

PAPER = load_technology()

# Table II of the paper (work and idle in 1e8 steps over 16 PEs, spike sparsity) for LTH and
# u-Ticket, the energy cut of its Fig. 7(a) and ours with E_leak = 0.21 E_dyn, both in percent.
TABLE_2 = {
    "VGG-16 CIFAR10": ((1.34, 0.41, 0.848), (0.94, 0, 0.859), 41.8, 42.2),
    "VGG-16 FMNIST": ((1.10, 0.42, 0.839), (0.81, 0, 0.814), 35.4, 35.4),
    "VGG-16 SVHN": ((1.15, 0.69, 0.849), (0.86, 0, 0.801), 37.2, 37.2),
    "ResNet-19 CIFAR10": ((1.66, 1.73, 0.641), (1.10, 0, 0.683), 55.5, 55.7),
    "ResNet-19 FMNIST": ((1.26, 1.89, 0.601), (0.73, 0, 0.629), 63.8, 63.6),
    "ResNet-19 SVHN": ((1.27, 1.34, 0.636), (0.84, 0, 0.682), 56.1, 56.1),
}
LATENCY_CUT = (46.3, 46.7, 53.3, 67.6, 76.8, 67.8)  # percent, latency = (work + idle) / 16
BALANCE_ALONE = (15.1, 17.8, 25.9, 27.8, 34.1, 27.9)  # energy cut in percent, LTH without idle


def energy(row):
    work, idle, sparsity = row
    return eq3(work=work, idle=idle, spike_sparsity=sparsity, technology=PAPER)


@pytest.mark.parametrize("name", TABLE_2)
def test_the_energy_cuts_of_figure_7a(name):
    lottery, uticket, printed, ours = TABLE_2[name]
    cut = 100 * (1 - energy(uticket) / energy(lottery))
    assert cut == pytest.approx(ours, abs=0.05)
    assert cut == pytest.approx(printed, abs=0.45)


@pytest.mark.parametrize(("row", "cut"), list(zip(TABLE_2.values(), LATENCY_CUT, strict=True)))
def test_latency_is_a_sixteenth_of_work_and_idle(row, cut):
    before, after = ((work + idle) / 16 for work, idle, _ in row[:2])
    assert 100 * (1 - after / before) == pytest.approx(cut, abs=0.05)


@pytest.mark.parametrize(("row", "cut"), list(zip(TABLE_2.values(), BALANCE_ALONE, strict=True)))
def test_the_share_of_balance_alone(row, cut):
    work, idle, sparsity = row[0]
    without_idle = energy((work, 0, sparsity))
    assert 100 * (1 - without_idle / energy((work, idle, sparsity))) == pytest.approx(cut, abs=0.05)


def test_technology_gives_its_figure_and_its_source():
    assert PAPER.accumulate == 1
    assert PAPER.leak == 0.21
    assert "Fig. 7(a)" in PAPER.source
    assert PAPER.sensitivity["components"] == pytest.approx(0.279 / (1.070 + 0.246), abs=5e-4)


def test_an_unknown_technology_is_refused_with_the_known():
    with pytest.raises(BadInput, match=r"'7nm'; known: .*paper"):
        load_technology("7nm")


def test_views_of_two_layers():
    layers = [
        Activity(work=100, idle=20, accumulates=30, input_zeros=60, inputs=80),
        Activity(work=200, idle=0, accumulates=20, input_zeros=10, inputs=20),
    ]
    assert layer_energies(layers, PAPER) == pytest.approx([30 + 120 * 0.21, 20 + 200 * 0.21])
    assert layer_energies(layers, PAPER, view="input_sparsity") == pytest.approx(
        [100 * 0.25 + 120 * 0.21, 200 * 0.5 + 200 * 0.21]
    )
    assert layer_energies(layers, PAPER, view="network_average") == pytest.approx(
        [100 * 0.3 + 120 * 0.21, 200 * 0.3 + 200 * 0.21]
    )


def test_a_layer_without_weights_costs_nothing_in_any_view():
    empty = Activity(work=0, idle=0, accumulates=0, input_zeros=1, inputs=2)
    assert empty.spike_sparsity is None
    for view in ("spikes", "input_sparsity", "network_average"):
        assert layer_energies([empty], PAPER, view=view) == [0]


def test_activity_out_of_range_is_refused():
    with pytest.raises(ValueError, match="accumulates = 11, work = 10"):
        Activity(work=10, idle=0, accumulates=11)
    with pytest.raises(ValueError, match="idle = -1"):
        Activity(work=10, idle=-1, accumulates=1)
    with pytest.raises(ValueError, match="input_zeros = 3"):
        Activity(work=10, idle=0, accumulates=1, input_zeros=3, inputs=2)


def test_a_view_without_its_counts_is_refused():
    layer = Activity(work=10, idle=0, accumulates=1)
    assert layer.input_sparsity is None
    with pytest.raises(ValueError, match="needs the input zeros"):
        layer_energies([layer], PAPER, view="network_average")
    with pytest.raises(ValueError, match="unknown view 'average'"):
        layer_energies([layer], PAPER, view="average")
