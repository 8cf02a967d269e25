"""`sim.rivals`: hand-made masks with known answers, a plain FIFO, and the golden model's counts."""

from collections import deque

import numpy as np
import pytest

from hw.config import Config
from sim.models import golden
from sim.models.components import load_table
from sim.paper import rivals
from sim.paper.rivals import Task
from sw.balance import filter_nnz
from tests.random_networks import conv, random_layer, random_spikes


def task(nnz, *, size=16, positions=10):
    """A 1x1 layer whose filters have `nnz` weights, the first ones."""
    mask = np.arange(size) < np.array(nnz)[:, None]
    layer = conv("l", (size, len(nnz)), "image", kernel=1, padding=0)
    return Task(layer=layer, mask=mask, positions=positions)


def figures(one):
    return one.busy, one.latency, one.occupancy, one.utilization


def test_a_lottery_ticket_by_hand():
    # groups (4, 2) and (1, 3) on two PEs: slowest 4 and 3, 10 positions
    assert figures(rivals.as_it_is(task([4, 2, 1, 3]), 2)) == pytest.approx(
        (100, 70, 100 / 140, (2 / 4 + 1 / 3) / 2)
    )


def test_sorting_by_hand():
    # groups (4, 3) and (2, 1)
    assert figures(rivals.sort(task([4, 2, 1, 3]), 2)) == pytest.approx(
        (100, 60, 100 / 120, (3 / 4 + 1 / 2) / 2)
    )


def test_pairing_by_hand():
    # sorted 4 3 2 1: PE 0 has 4 + 1, PE 1 has 3 + 2
    assert figures(rivals.gb_s(task([4, 2, 1, 3]), 2)) == pytest.approx((100, 50, 1, 1))
    # a short group: 4 alone on PE 0, 3 and 2 on the others of three
    assert figures(rivals.gb_s(task([4, 2, 3]), 3))[:2] == pytest.approx((90, 40))


def test_pairing_chunk_by_chunk_by_hand():
    mask = np.zeros((4, 256), bool)
    for k, (first, second) in enumerate([(9, 1), (5, 2), (1, 6), (1, 3)]):
        mask[k, :first] = mask[k, 128 : 128 + second] = True
    layer = conv("l", (256, 4), "image", kernel=1, padding=0)
    one = rivals.gb_h(Task(layer=layer, mask=mask, positions=1), 2)
    # chunk 1: 9 5 1 1 -> 10 and 6; chunk 2: 6 3 2 1 -> 7 and 5, 7 to the PE that has 6
    assert figures(one)[:2] == (28, 15)


def test_one_pe_is_always_busy():
    for rival in rivals.RIVALS.values():
        one = rival(task([4, 2, 1, 3], size=64), 1)
        assert (one.occupancy, one.utilization) == (1, 1)


def test_an_empty_layer_has_no_utilization():
    for name in ("as it is", "sort", "GB-S", "GB-H"):
        one = rivals.RIVALS[name](task([0, 0, 0]), 2)
        assert figures(one) == (0, 0, None, None)


def test_n_of_m_masks():
    rng = np.random.default_rng(0)
    mask = rng.random((6, 32, 3, 3)) < 0.05
    made = rivals.n_of_m_mask(mask, 64)
    blocks = made.reshape(6, -1)[:, : 288 // 64 * 64].reshape(6, -1, 64)
    assert (blocks.sum(axis=2) == 3).all()  # 0.05 * 64 = 3.2
    assert len(set(filter_nnz(made))) == 1
    before = mask.reshape(6, -1)[:, :256].reshape(6, -1, 64)
    kept = (before & blocks).sum(axis=2)
    assert (kept == np.minimum(before.sum(axis=2), 3)).all()  # the ticket's weights come first


def test_networks_weigh_utilization_by_parameters():
    loads = [rivals.as_it_is(task([4, 2]), 2), rivals.as_it_is(task([3, 3], size=32), 2)]
    total = rivals.network(loads)
    assert figures(total) == pytest.approx((120, 70, 120 / 140, (0.5 + 2) / 3))


def spiking(seed, stride=1, kernel=3, side=7, rate=0.3):
    rng = np.random.default_rng(seed)
    layer = conv(
        "l", (5, 11), "image", kernel=kernel, stride=stride, padding=1 if kernel == 3 else 0
    )
    integer = random_layer(rng, layer, density=0.3)
    spikes = random_spikes(rng, (4, 5, side, side), rate)
    return integer, Task(
        layer=layer,
        mask=integer.mask,
        positions=layer.output_side(side) ** 2,
        spikes=spikes,
    )


@pytest.mark.parametrize(("stride", "kernel", "side"), [(1, 3, 7), (2, 3, 7), (1, 1, 4), (2, 1, 8)])
def test_loas_counts_what_the_golden_model_counts(stride, kernel, side):
    integer, one = spiking(1, stride, kernel, side)
    awake = np.repeat(one.spikes.any(axis=0)[None], 4, axis=0).astype(np.uint8)
    counted = golden.run_layer(integer, awake, Config().neuron).filter_accumulates // 4
    groups = np.append(counted, [0]).reshape(3, 4)
    assert figures(rivals.loas(one, 4))[:2] == (counted.sum(), groups.max(axis=1).sum())
    assert rivals.gospa(one, 4).busy == counted.sum()


def plain_fifo(one, n_pe, depth):
    """Latency of `gospa`, job by job with real queues."""
    padded = np.zeros((-(-len(one.mask) // n_pe) * n_pe, *one.mask.shape[1:]), bool)
    padded[: len(one.mask)] = one.mask
    channel, seen = rivals._visits(one)
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
    assert rivals.gospa(one, 4, depth).latency == plain_fifo(one, 4, depth)


def test_deeper_fifos_never_hurt_and_the_front_end_bounds():
    _, one = spiking(5, side=12)
    latencies = [rivals.gospa(one, 4, depth).latency for depth in (1, 2, 4, 16)]
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[0] > latencies[-1]
    neurons = np.count_nonzero(one.spikes.any(axis=0))
    assert latencies[-1] >= 3 * neurons  # three groups, each sees the input


def test_rivals_that_see_data_need_it():
    for rival in (rivals.loas, rivals.gospa):
        with pytest.raises(ValueError, match="needs the input's spikes"):
            rival(task([1, 2]), 2)


def test_area_of_what_is_added():
    table = load_table()
    area = {n: rivals.added_area(n, table, n_pe=16) for n in ("sort", "GB-S", "GB-H", "GoSPA")}
    pe = 256 * (67.872 + 101.555 + 49.392 + 67.872) + 1024 * 101.555 + 4 * 13.44 + 8125
    assert area["sort"] == 0
    assert area["GB-S"] == pytest.approx(256 * 101.555 / pe)
    assert area["GB-H"] == pytest.approx(area["GB-S"] + 4 * (3 * 20.16 + 101.555) / pe)
    assert area["GoSPA"] == pytest.approx(540.12 / pe)
    assert rivals.added_area("GoSPA", table, n_pe=16, depth=32) == pytest.approx(4 * 540.12 / pe)
    assert rivals.added_area("LoAS", table, n_pe=16) is None
    with pytest.raises(ValueError, match="unknown rival 'EIE'"):
        rivals.added_area("EIE", table, n_pe=16)


def test_synthetic_masks_have_the_recorded_weights():
    nnz = np.array([0, 3, 27])
    made = rivals.synthetic_mask(nnz, (3, 3, 3, 3), np.random.default_rng(0))
    assert filter_nnz(made).tolist() == nnz.tolist()
