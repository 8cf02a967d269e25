"""`sw.balance`: targets, orders and masks, on worked examples and random layers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.models.workload import layer_workload
from sw.balance import POLICIES, balance, filter_nnz, ranked, sort_order, targets
from sw.sampling import flip_random

CHANGING = ("random", "magnitude")


@st.composite
def masks(draw):
    """Boolean masks of any density, (K, C, 3, 3) or (K, C), filters differing in density."""
    filters = draw(st.integers(1, 40))
    shape = (filters, *draw(st.sampled_from([(1,), (7,), (1, 3, 3), (5, 3, 3)])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.9, 1.0]))
    spread = rng.uniform(0, 2, (filters,) + (1,) * (len(shape) - 1))
    return rng.random(shape) < density * spread


def rng(seed=0):
    return np.random.default_rng(seed)


def utilizations(nnz, n_pe):
    """Utilization of each full group that has weights."""
    full = nnz[: len(nnz) // n_pe * n_pe].reshape(-1, n_pe)
    return [
        layer_workload(
            "g", group, parameters=int(group.sum()), positions=1, ticks=1, n_pe=n_pe
        ).utilization
        for group in full
        if group.any()
    ]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_filter_nnz_counts_what_is_not_zero(dtype):
    mask = np.array([[[[1, 0]], [[0, 0]]], [[[1, 1]], [[0, 1]]]], dtype)
    assert filter_nnz(mask).tolist() == [1, 3]
    assert filter_nnz(mask[..., ::-1]).tolist() == [1, 3]


def test_filter_nnz_counts_negative_weights_and_not_negative_zero():
    assert filter_nnz(np.array([[-0.5, -0.0, 1e-30]])).tolist() == [2]


def test_sort_order_is_descending_with_ties_by_index():
    assert sort_order(np.array([3, 5, 3, 9, 5])).tolist() == [3, 1, 4, 0, 2]


def test_exact_targets_carry_what_rounding_left_over():
    nnz = np.array(
        [1, 0, 0, 0] * 3
    )  # a quarter a filter: 0, owing 1; 0.5 rounds to 0, owing 2; ...
    assert targets(nnz, parameters=9, n_pe=4).tolist() == [0] * 8 + [1] * 4
    nnz = np.array([4, 3, 3, 3, 2, 2, 2, 1])  # 13 = 4 * 3 + 1, then 7 + 1 = 4 * 2
    assert targets(nnz, parameters=9, n_pe=4).tolist() == [3] * 4 + [2] * 4


def test_exact_targets_of_a_short_group_share_among_its_filters():
    assert targets(np.array([2, 2, 2, 6, 3]), parameters=9, n_pe=3).tolist() == [2, 2, 2, 4, 4]


def test_exact_targets_stay_within_a_filter():
    # 9 + 9 + 8 owes 2 after rounding up or 1 after rounding down; a filter holds 9 at most
    assert targets(np.array([9, 9, 8, 9, 9, 9]), parameters=9, n_pe=3).max() <= 9
    # the first group is given one too many (5 / 3 -> 2); an empty filter cannot give it back
    assert targets(np.array([5, 0, 0, 0]), parameters=9, n_pe=3).tolist() == [2, 2, 2, 0]


def test_ceil_targets_are_the_authors():
    nnz = np.array([1, 0, 0, 0, 3, 2, 2])
    assert targets(nnz, parameters=9, n_pe=4, target="ceil").tolist() == [1] * 4 + [3] * 3


@given(
    nnz=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    n_pe=st.integers(1, 20),
    parameters=st.integers(20, 30),
)
def test_exact_targets_move_a_layer_by_at_most_half_a_group(nnz, n_pe, parameters):
    nnz = np.array(nnz)
    wanted = targets(nnz, parameters=parameters, n_pe=n_pe)
    assert 2 * abs(int(wanted.sum() - nnz.sum())) <= n_pe
    assert wanted.min() >= 0
    assert wanted.max() <= parameters
    assert wanted.any() == nnz.any()
    if not np.array_equal(wanted, nnz):
        for start in range(0, len(nnz), n_pe):
            assert len(set(wanted[start : start + n_pe].tolist())) == 1


def test_exact_targets_never_take_a_layers_last_weight():
    assert targets(np.array([1] * 5 + [0] * 5), parameters=16, n_pe=16).sum() == 5
    assert targets(np.array([0, 1, 0, 0]), parameters=9, n_pe=2).tolist() == [0, 1, 0, 0]
    assert targets(np.zeros(4, int), parameters=9, n_pe=2).tolist() == [0] * 4


@given(nnz=st.lists(st.integers(0, 20), min_size=1, max_size=60), n_pe=st.integers(1, 20))
def test_ceil_targets_only_add(nnz, n_pe):
    nnz = np.array(nnz)
    wanted = targets(nnz, parameters=20, n_pe=n_pe, target="ceil")
    assert 0 <= wanted.sum() - nnz.sum() < len(nnz)


@pytest.mark.parametrize("policy", CHANGING)
@given(mask=masks(), n_pe=st.integers(1, 20), target=st.sampled_from(["exact", "ceil"]))
def test_balanced_filters_have_their_target_and_change_no_more_than_that(
    policy, mask, n_pe, target
):
    before = mask.copy()
    weights, score = rng(1).normal(size=(2, *mask.shape))
    after = balance(
        mask, n_pe=n_pe, policy=policy, target=target, rng=rng(), weights=weights, score=score
    )
    nnz = filter_nnz(mask)
    wanted = targets(nnz, parameters=mask[0].size, n_pe=n_pe, target=target)
    assert np.array_equal(mask, before)
    assert after.dtype == bool
    assert after.shape == mask.shape
    assert filter_nnz(after).tolist() == wanted.tolist()
    assert filter_nnz(after != mask).tolist() == np.abs(wanted - nnz).tolist()
    if not np.array_equal(wanted, nnz):  # as it stays where it would lose its last weight
        assert all(value == 1 for value in utilizations(filter_nnz(after), n_pe))


@pytest.mark.parametrize("policy", ["none", "sort"])
@given(mask=masks())
def test_none_and_sort_keep_the_mask(policy, mask):
    assert np.array_equal(balance(mask, n_pe=4, policy=policy, rng=rng()), mask)


@given(mask=masks(), n_pe=st.integers(1, 20))
def test_sorting_never_takes_longer(mask, n_pe):
    nnz = filter_nnz(mask)
    sizes = {"parameters": mask.size, "positions": 1, "ticks": 1, "n_pe": n_pe}
    before = layer_workload("before", nnz, **sizes)
    after = layer_workload("after", nnz[sort_order(nnz)], **sizes)
    assert after.latency <= before.latency


def test_magnitude_clears_the_smallest_weights_and_sets_the_largest_scores():
    weights = np.array([[5.0, -1, 2, 0, 0, 0], [0, 0, 3, 0, 0, 0]])
    score = np.array([[9.0, 9, 9, 9, 9, 9], [1, 2, 9, -4, 3, 0]])
    after = balance(
        weights != 0, n_pe=2, policy="magnitude", rng=rng(), weights=weights, score=score
    )
    assert after.astype(int).tolist() == [[1, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0]]


def test_magnitude_takes_ties_by_index():
    mask = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
    score = weights = np.ones(mask.shape, np.int8)
    after = balance(mask, n_pe=2, policy="magnitude", rng=rng(), weights=weights, score=score)
    assert after.astype(int).tolist() == [[0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8])
def test_magnitude_ranks_scores_of_any_type(dtype):
    mask = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], bool)
    score = np.array([[0] * 4, [0, 1, 0, 1]]).astype(dtype)
    if dtype == np.int8:
        score[1, 1] = -128  # its absolute value is no int8
    after = balance(mask, n_pe=2, policy="magnitude", rng=rng(), score=score)
    assert after[1].tolist() == [False, True, False, True]


def test_magnitude_draws_what_it_is_not_given():
    mask = rng().random((8, 40)) < np.linspace(0.1, 0.9, 8)[:, None]
    results = [balance(mask, n_pe=8, policy="magnitude", rng=rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_memory_layout_does_not_matter():
    mask = rng().random((16, 8, 3, 3)) < 0.3
    strided = np.asfortranarray(mask)
    for policy in CHANGING:
        expected = balance(mask, n_pe=8, policy=policy, rng=rng(), weights=mask, score=mask)
        actual = balance(strided, n_pe=8, policy=policy, rng=rng(), weights=strided, score=strided)
        assert np.array_equal(actual, expected)


@pytest.mark.parametrize(
    ("size", "nnz", "outcomes"),
    [
        (6, (6, 0), (20, 20)),  # three of six, drawn from the whole row
        (6, (1, 5), (10, 10)),  # two of five
        (6, (0, 2), (6, 2)),  # one of six; one of two, drawn from a list
        (12, (0, 0, 4), (12, 12, 4)),  # three of four: the list says which one stays
    ],
)
def test_random_choices_are_equally_likely(size, nnz, outcomes):
    mask = np.arange(size) < np.array(nnz)[:, None]
    generator = rng(7)
    draws = [balance(mask, n_pe=len(nnz), policy="random", rng=generator) for _ in range(3000)]
    for row, possible in enumerate(outcomes):
        seen = Counter(result[row].tobytes() for result in draws)
        assert len(seen) == possible
        expected = len(draws) / possible
        chi2 = sum((count - expected) ** 2 / expected for count in seen.values())
        free = possible - 1
        assert chi2 <= free + 5 * (2 * free) ** 0.5  # five standard deviations


def test_flip_random_stays_in_its_segments():
    bits = np.zeros(30, bool)
    flip_random(
        bits,
        start=np.array([0, 20]),
        length=np.array([10, 10]),
        count=np.array([10, 3]),
        old=np.array([False, False]),
        rng=rng(),
    )
    assert bits[:10].all()
    assert not bits[10:20].any()
    assert bits[20:].sum() == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "best"}, "unknown policy 'best'; allowed: none, sort, random, magnitude"),
        ({"policy": "random", "target": "floor"}, "unknown target 'floor'; allowed: exact, ceil"),
        ({"policy": "random", "n_pe": 0}, "n_pe = 0; allowed: 1 or more"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        balance(np.ones((2, 2), bool), **{"n_pe": 2, "rng": rng(), **arguments})


def test_every_policy_takes_an_empty_layer():
    empty = np.zeros((5, 3, 3, 3), bool)
    for policy in POLICIES:
        assert not balance(empty, n_pe=4, policy=policy, rng=rng()).any()


def test_ranked_keeps_whole_ranks_of_the_largest_mean():
    values = {
        "a": np.array([[9.0, -1, 5, 0], [2, 3, -8, 0], [7, 0, 0, 0]]),  # two filters, one alone
        "b": np.array([[-4.0, 0.5], [0.5, 4]]),
    }
    # means of ranks: a 8.5, 4, 1.5, 0 (two weights each); 7, 0, 0, 0 (one); b 4, 0.5 (two)
    kept = ranked(values, nnz=7, n_pe=2)
    assert kept["a"].astype(int).tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]]
    assert kept["b"].astype(int).tolist() == [[1, 0], [0, 1]]
    assert sum(m.sum() for m in ranked(values, nnz=4, n_pe=2).values()) == 3  # 3 before 5
    assert not any(m.any() for m in ranked(values, nnz=0, n_pe=2).values())
    floor = ranked(values, nnz=3, n_pe=2, floor=0.25)  # a rank of every group
    assert [filter_nnz(m).tolist() for m in floor.values()] == [[1, 1, 1], [0, 0]]
    floor = ranked(values, nnz=5, n_pe=2, floor=0.25)
    assert [filter_nnz(m).tolist() for m in floor.values()] == [[1, 1, 1], [1, 1]]


@settings(deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_pe=st.integers(1, 20),
    keep=st.floats(0, 1),
    floor=st.sampled_from([0.0, 0.01]),
)
def test_ranked_masks_are_balanced_and_hold_the_largest_of_each_filter(seed, n_pe, keep, floor):
    draw = rng(seed)
    shapes = {"a": (int(draw.integers(1, 40)), 3, 3, 3), "b": (10, 17)}
    values = {name: draw.normal(size=shape) for name, shape in shapes.items()}
    nnz = round(keep * sum(v.size for v in values.values()))
    kept = ranked(values, nnz=nnz, n_pe=n_pe, floor=floor)
    found = sum(int(m.sum()) for m in kept.values())
    assert 2 * abs(found - nnz) <= n_pe
    for name, mask in kept.items():
        assert mask.shape == shapes[name]
        counts = filter_nnz(mask)
        for start in range(0, len(counts), n_pe):
            assert len(set(counts[start : start + n_pe].tolist())) == 1
        for row, value in zip(mask.reshape(len(mask), -1), values[name], strict=True):
            magnitude = np.abs(value.ravel())
            if 0 < row.sum() < row.size:
                assert magnitude[row].min() >= magnitude[~row].max()


def test_ranked_masks_keep_more_magnitude_than_any_other_split():
    """Means of ranks fall along a filter, so the largest first is the best choice: all others are tried."""
    values = {"a": rng(1).normal(size=(4, 3)), "b": rng(2).normal(size=(2, 3)) * 2}
    kept = ranked(values, nnz=8, n_pe=2)
    best = 0.0
    for each in np.ndindex(4, 4, 4):  # ranks of the groups of a, and of b
        if 2 * sum(each) == 8:
            rows = [*-np.sort(-np.abs(values["a"])), *-np.sort(-np.abs(values["b"]))]
            best = max(best, sum(rows[i][: each[i // 2]].sum() for i in range(6)))
    assert sum(np.abs(values[n])[kept[n]].sum() for n in values) == pytest.approx(best)
