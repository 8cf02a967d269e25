"""`sim/rivals`: hand-made masks with known answers, a plain FIFO, and the golden model's counts."""

from collections import deque
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure

from hw.config import Config
from sim.models.event_cycles import EventModel
from sim.models.technology import load_table
from sim.rivals import _rival, base, rivals
from sim.rivals.as_it_is import AsItIs
from sim.rivals.base import Operand, Task
from sim.rivals.event import Event
from sim.rivals.gospa import GoSPA
from sim.rivals.n_of_m import n_of_m_mask
from support.errors import BadInput
from sw import golden
from sw.balance import filter_nnz
from sw.layers import Source, conv
from tb.random_programs import random_case
from tests.random_networks import random_layer, random_spikes
from tests.soak import times


def task(nnz, *, size=16, positions=10):
    """A 1x1 layer whose filters have `nnz` weights, the first ones."""
    mask = np.arange(size) < np.array(nnz)[:, None]
    layer = conv("l", (size, len(nnz)), "image", kernel=1)
    return Task(operands=(Operand(source=layer.own, mask=mask),), positions=positions)


def masked():
    """Rivals that see masks alone."""
    return [rival for rival in rivals().values() if not rival.needs_spikes]


def figures(one):
    return one.busy, one.latency, one.occupancy, one.utilization


def test_a_lottery_ticket_by_hand():
    # groups (4, 2) and (1, 3) on two PEs: slowest 4 and 3, 10 positions
    assert figures(rivals()["as it is"].load(task([4, 2, 1, 3]), 2)) == pytest.approx(
        (100, 70, 100 / 140, (2 / 4 + 1 / 3) / 2)
    )


def test_sorting_by_hand():
    # groups (4, 3) and (2, 1)
    assert figures(rivals()["sort"].load(task([4, 2, 1, 3]), 2)) == pytest.approx(
        (100, 60, 100 / 120, (3 / 4 + 1 / 2) / 2)
    )


def test_pairing_by_hand():
    # sorted 4 3 2 1: PE 0 has 4 + 1, PE 1 has 3 + 2
    assert figures(rivals()["GB-S"].load(task([4, 2, 1, 3]), 2)) == pytest.approx((100, 50, 1, 1))
    # a short group: 4 alone on PE 0, 3 and 2 on the others of three
    assert figures(rivals()["GB-S"].load(task([4, 2, 3]), 3))[:2] == pytest.approx((90, 40))


def test_pairing_chunk_by_chunk_by_hand():
    mask = np.zeros((4, 256), bool)
    for k, (first, second) in enumerate([(9, 1), (5, 2), (1, 6), (1, 3)]):
        mask[k, :first] = mask[k, 128 : 128 + second] = True
    layer = conv("l", (256, 4), "image", kernel=1)
    one = rivals()["GB-H"].load(
        Task(operands=(Operand(source=layer.own, mask=mask),), positions=1), 2
    )
    # chunk 1: 9 5 1 1 -> 10 and 6; chunk 2: 6 3 2 1 -> 7 and 5, 7 to the PE that has 6
    assert figures(one)[:2] == (28, 15)


def test_one_pe_is_always_busy():
    for rival in masked():
        one = rival.load(task([4, 2, 1, 3], size=64), 1)
        assert (one.occupancy, one.utilization) == (1, 1)


def test_an_empty_layer_has_no_utilization():
    for name in ("as it is", "sort", "GB-S", "GB-H"):
        one = rivals()[name].load(task([0, 0, 0]), 2)
        assert figures(one) == (0, 0, None, None)


def test_n_of_m_masks():
    rng = np.random.default_rng(0)
    mask = rng.random((6, 32, 3, 3)) < 0.05
    made = n_of_m_mask(mask, 64)
    blocks = made.reshape(6, -1)[:, : 288 // 64 * 64].reshape(6, -1, 64)
    assert (blocks.sum(axis=2) == 3).all()  # 0.05 * 64 = 3.2
    assert len(set(filter_nnz(made))) == 1
    before = mask.reshape(6, -1)[:, :256].reshape(6, -1, 64)
    kept = (before & blocks).sum(axis=2)
    assert (kept == np.minimum(before.sum(axis=2), 3)).all()  # the ticket's weights come first


def test_networks_weigh_utilization_by_parameters():
    loads = [
        rivals()["as it is"].load(task([4, 2]), 2),
        rivals()["as it is"].load(task([3, 3], size=32), 2),
    ]
    total = base.network(loads)
    assert figures(total) == pytest.approx((120, 70, 120 / 140, (0.5 + 2) / 3))


def spiking(seed, stride=1, kernel=3, side=7, rate=0.3):
    rng = np.random.default_rng(seed)
    layer = conv(
        "l", (5, 11), "image", kernel=kernel, stride=stride, padding=1 if kernel == 3 else 0
    )
    integer = random_layer(rng, layer, density=0.3)
    spikes = random_spikes(rng, (4, 5, side, side), rate)
    return integer, Task(
        operands=(Operand(source=layer.own, mask=integer.own.mask, spikes=spikes),),
        positions=layer.own.output(side, side)[0] ** 2,
    )


@pytest.mark.parametrize(("stride", "kernel", "side"), [(1, 3, 7), (2, 3, 7), (1, 1, 4), (2, 1, 8)])
def test_loas_counts_what_the_golden_model_counts(stride, kernel, side):
    integer, one = spiking(1, stride, kernel, side)
    awake = np.repeat(one.operands[0].spikes.any(axis=0)[None], 4, axis=0).astype(np.uint8)
    counted = golden.run_layer(integer, [awake]).filter_accumulates["l"] // 4
    groups = np.append(counted, [0]).reshape(3, 4)
    assert figures(rivals()["LoAS"].load(one, 4))[:2] == (counted.sum(), groups.max(axis=1).sum())
    assert GoSPA().load(one, 4).busy == counted.sum()


def plain_fifo(one, n_pe, depth):
    """Latency of `gospa`, job by job with real queues."""
    mask = one.operands[0].mask
    padded = np.zeros((-(-len(mask) // n_pe) * n_pe, *mask.shape[1:]), bool)
    padded[: len(mask)] = mask
    channel, seen = base.visits(one)
    total = 0
    for start in range(0, len(padded), n_pe):
        queues = [deque() for _ in range(n_pe)]  # when each waiting job starts
        end, front = [0] * n_pe, 0
        for c, mine in zip(channel, seen, strict=True):
            jobs = [int((padded[start + i, c].ravel() & mine).sum()) for i in range(n_pe)]
            front += 1
            for i, job in enumerate(jobs):
                if job and len(queues[i]) == depth:
                    front = max(front, queues[i].popleft())
            for i, job in enumerate(jobs):
                if job:
                    begin = max(end[i], front + 1)
                    queues[i].append(begin)
                    end[i] = begin + job
        total += max(front, *end)
    return total


@pytest.mark.parametrize("depth", [1, 2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_gospa_is_a_plain_fifo(depth, seed):
    _, one = spiking(seed)
    assert GoSPA(depth).load(one, 4).latency == plain_fifo(one, 4, depth)


def test_deeper_fifos_never_hurt_and_the_front_end_bounds():
    _, one = spiking(5, side=12)
    latencies = [GoSPA(depth).load(one, 4).latency for depth in (1, 2, 4, 16)]
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[0] > latencies[-1]
    neurons = np.count_nonzero(one.operands[0].spikes.any(axis=0))
    assert latencies[-1] >= 3 * neurons  # three groups, each sees the input


@pytest.mark.parametrize("banks", [1, 4, 8])
def test_the_event_machine_is_its_cycle_model_without_waiting(banks):
    """Cycles at a tap, of all PEs, as the machine's own model has them; any kernel, stride and shortcut."""
    config = Config(machine="event", n_pe=3, buffer_depth=256, banks=banks, lifs=min(banks, 2))
    for seed in range(times(6)):
        case = random_case(config, seed, max_side=20, max_layers=3)
        expected = golden.run(case.network, case.spikes)
        maps = {one.name: expected[one.name].output[:, one.order] for one in case.program.layers}
        maps[case.network.first_map] = case.spikes
        for layer, one in zip(
            case.program.layers, EventModel(case.program).predict(maps), strict=True
        ):
            inputs = expected[layer.name].inputs
            operands = tuple(
                Operand(source=part.source, mask=part.mask, spikes=inputs[part.name])
                for part in reversed(layer.integer.learned)  # the layer's own first
            )
            busy = Event(banks).load(Task(operands=operands, positions=1), config.n_pe).busy
            at_taps = one.counters["work_cycles"] + one.counters["stall_bank"]
            assert busy == at_taps.sum(), layer.name


def test_rivals_that_see_data_need_it():
    seeing = [rival for rival in rivals().values() if rival.needs_spikes]
    assert {"event machine", "GoSPA", "LoAS"} <= {rival.name for rival in seeing}
    for rival in seeing:
        with pytest.raises(ValueError, match="needs the input's spikes"):
            rival.load(task([1, 2]), 2)


def test_area_of_what_is_added():
    table = load_table()
    area = {name: rival.added_area(table, 16) for name, rival in rivals().items()}
    pe = 256 * (67.872 + 101.555 + 49.392 + 67.872) + 1024 * 101.555 + 4 * 13.44 + 8125
    assert area["sort"] == 0
    assert area["GB-S"] == pytest.approx(256 * 101.555 / pe)
    assert area["GB-H"] == pytest.approx(area["GB-S"] + 4 * (3 * 20.16 + 101.555) / pe)
    assert area["GoSPA"] == pytest.approx(540.12 / pe)
    assert GoSPA(32).added_area(table, 16) == pytest.approx(4 * 540.12 / pe)
    assert area["LoAS"] is None


def test_a_rival_is_a_file(tmp_path):
    """Every file but base.py holds one; a file that holds none, or one that is not whole, is named."""
    files = {path.stem for path in Path(base.__file__).parent.glob("*.py")}
    assert len(rivals()) == len(files - {"__init__", "base"})
    assert all(rival.name == name for name, rival in rivals().items())
    mine = "from sim.rivals.base import Rival\nclass Mine(Rival):\n    name = 'mine'\n"
    style, load = "    style = ('red', '-')\n", "    def load(self, task, n_pe): ...\n"
    for text in ("", mine + load, mine + style):
        module = ModuleType("mine")
        module.__file__ = "mine.py"
        exec(text, vars(module))  # noqa: S102 - our own lines
        with pytest.raises(BadInput, match=r"mine.py: . rivals; allowed: one subclass .* style"):
            _rival(module)
    exec(mine + style + load, vars(module))  # noqa: S102 - our own lines
    assert _rival(module).name == "mine"


def test_two_rivals_of_one_name(monkeypatch):
    find = import_module

    def imported(name):
        module = find(name)
        if name.endswith(".sort"):
            module = ModuleType(name)
            module.__file__ = "sort.py"
            kind = type("Twin", (AsItIs,), {"__module__": name})
            kind.name, kind.style = "as it is", ("red", "-")
            module.Twin = kind
        return module

    monkeypatch.setattr("importlib.import_module", imported)
    with pytest.raises(BadInput, match=r"sort.py: name = 'as it is'; allowed: one that no other"):
        rivals.__wrapped__()


def test_curves_can_be_drawn_and_told_apart():
    axes = Figure().subplots()
    for rival in rivals().values():
        axes.plot([0], [0], rival.style[1], color=rival.style[0])
    assert len({rival.style for rival in rivals().values()}) == len(rivals())


def test_synthetic_masks_have_the_recorded_weights():
    nnz = np.array([0, 3, 27])
    made = base.synthetic_mask(nnz, (3, 3, 3, 3), np.random.default_rng(0))
    assert filter_nnz(made).tolist() == nnz.tolist()


def test_a_layer_and_its_shortcut_are_one_filter():
    """Two groups of two; the shortcut's 1x1 weights in the centre of the 3x3 kernel, channels behind."""
    own, more = np.zeros((4, 2, 3, 3), bool), np.zeros((4, 3, 1, 1), bool)
    own[0].flat[:4] = own[1].flat[:1] = own[2].flat[:2] = own[3].flat[:2] = True
    more[1, :3] = more[3, 0] = True
    layer = conv("l", (2, 4), "image")
    beside = Source(name="s", map="other", channels=3, kernel=(1, 1), stride=2)
    spikes = np.zeros((1, 2, 4, 4), np.uint8), np.zeros((1, 3, 8, 8), np.uint8)
    spikes[1][0, 1, 2, 2] = spikes[1][0, 1, 3, 3] = 1  # of which a stride of 2 sees the first
    operands = (
        Operand(source=layer.own, mask=own, spikes=spikes[0]),
        Operand(source=beside, mask=more, spikes=spikes[1]),
    )
    both = Task(operands=operands, positions=16)
    assert both.filter_nnz.tolist() == [4, 4, 2, 3]
    assert both.slices.shape == (4, 5, 9)
    assert both.slices[1, 2:, 4].all()
    assert both.parameters == own.size + more.size
    assert figures(rivals()["as it is"].load(both, 2))[:2] == (13 * 16, (4 + 3) * 16)
    assert rivals()["LoAS"].load(both, 2).busy == 1  # filter 1 has a weight for channel 1
    assert GoSPA().load(both, 2).busy == 1
