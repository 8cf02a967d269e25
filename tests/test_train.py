"""Pruning and the trainer: what is kept, that balance survives training, and that a run resumes."""

import functools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sw import prune, schedules
from sw.balance import filter_nnz
from sw.datasets import Dataset
from sw.devices import Devices
from sw.forward import Forward
from sw.layers import IMAGE, Pool, conv, linear
from sw.model import loss
from sw.schedule import Output, Rank, Round, Schedule
from sw.train import Trainer

LAYERS = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 12), "conv1", pool=Pool.MAX2),
    conv("conv3", (12, 16), "conv2", pool=Pool.MAX2),
)


FC = linear("fc", (16, 10), "conv3")
NETWORK = (*LAYERS, FC)
SCHEDULE = Schedule(
    dense=(Round(keep=1.0, images=64, ticks=1, learning_rate=0.05),),
    pruned=(
        Round(keep=0.5, images=64, ticks=2, learning_rate=0.05),
        Round(keep=0.2, images=64, ticks=2, learning_rate=0.05),
    ),
    batch=16,
)


@pytest.fixture(autouse=True)
def few_validation_images(monkeypatch):
    monkeypatch.setattr("sw.history.VALIDATION_IMAGES", 50)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    count = 250
    return Dataset(
        "cifar10",
        rng.integers(0, 256, (count, 3, 8, 8), np.uint8),
        rng.integers(0, 10, count),
        rng.integers(0, 256, (10, 3, 8, 8), np.uint8),
        rng.integers(0, 10, 10),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )


def trainer(dataset, folder, policy="magnitude", schedule=SCHEDULE, **options):
    return Trainer(
        NETWORK,
        dataset,
        schedule,
        policy=policy,
        n_pe=4,
        seed=3,
        folder=folder,
        log=lambda line: None,
        **options,
    )


@given(seed=st.integers(0, 1000), keep=st.floats(0.05, 1.0), floor=st.floats(0.0, 0.05))
def test_global_magnitude_keeps_the_largest(seed, keep, floor):
    rng = np.random.default_rng(seed)
    weights = {"a": rng.normal(0, 1, (6, 5)), "b": rng.normal(0, 0.1, (40, 3, 3, 3))}
    masks = {name: np.ones(w.shape, bool) for name, w in weights.items()}
    kept = prune.global_magnitude(weights, masks, keep=keep, floor=floor)
    size = sum(w.size for w in weights.values())
    assert sum(int(m.sum()) for m in kept.values()) == round(keep * size)
    for name, mask in kept.items():
        assert mask.sum() >= np.ceil(floor * mask.size) or keep == floor
        if 0 < mask.sum() < mask.size:
            assert np.abs(weights[name][mask]).min() >= np.abs(weights[name][~mask]).max()


@given(seed=st.integers(0, 1000))
def test_layer_adaptive_scores_are_those_of_their_definition(seed):
    """Each computed alone, from the definition: w^2 / sum of the squares of the weights as large."""
    rng = np.random.default_rng(seed)
    weights = {"a": rng.normal(0, 1, (3, 4)), "b": rng.normal(0, 1e-3, (2, 3, 3, 3))}
    masks = {name: rng.random(w.shape) < 0.7 for name, w in weights.items()}
    for name, scores in prune.layer_adaptive(weights, masks).items():
        weight, mask = weights[name], masks[name]
        for index, score in np.ndenumerate(scores):
            as_large = mask & (np.abs(weight) >= abs(weight[index]))
            expected = weight[index] ** 2 / np.sum(weight[as_large] ** 2) if mask[index] else 0
            assert score == pytest.approx(expected, rel=1e-6)


def test_layer_adaptive_scores_of_an_empty_layer_are_0():
    nothing = {"a": np.zeros((2, 2), bool)}
    assert not prune.layer_adaptive({"a": np.ones((2, 2))}, nothing)["a"].any()


def test_a_schedule_that_ranks_by_layer_does_not_care_about_a_layers_scale(dataset, tmp_path):
    """Weights of one layer a hundred times smaller: the same masks. By magnitude, the layer is emptied."""
    for rank, equal in ((Rank.LAYER, True), (Rank.MAGNITUDE, False)):
        run = trainer(dataset, tmp_path, "none", replace(SCHEDULE, rank=rank))
        before = run.pruner.chosen(0.2)
        run.kept.last_alive["conv3"] *= 0.01
        after = run.pruner.chosen(0.2)
        assert all(np.array_equal(before[name], after[name]) for name in before) == equal, rank


@pytest.mark.parametrize("name", list(schedules.SCHEDULES))
def test_another_sparsity_keeps_the_way_there(name):
    """Rounds that end before are as far on the way, and the last has the sparsity asked for."""
    plan = schedules.named(name)
    other = plan.at_sparsity(0.9)
    ends = np.array([[1 - r.keep for r in s.pruned] for s in (plan, other)])
    assert ends[1][-1] == pytest.approx(0.9)
    np.testing.assert_allclose(ends[0] / ends[0][-1], ends[1] / ends[1][-1])
    assert [replace(r, keep=0) for r in plan.pruned] == [replace(r, keep=0) for r in other.pruned]


def test_the_shipped_schedules_prune_evenly_in_rounds_that_a_ticket_tells():
    """Every pruning is as long after the one before, over the rounds; each keeps less."""
    plan = schedules.named("vgg")
    before, start, steps = 1.0, 0, []
    for current in plan.pruned:
        steps += [(start + image, keep) for image, keep in current.pruning_steps(before)]
        before, start = current.keep, start + current.images
    images, kept = zip(*steps, strict=True)
    assert len(steps) == 24
    assert np.ptp(np.diff(images)) <= 1  # whole images
    assert all(np.diff(kept) < 0)
    assert kept[-1] == plan.rounds[-1].keep == 0.018
    assert len({r.keep for r in plan.pruned}) == 4


def test_pruning_never_brings_a_weight_back():
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(0, 1, (20, 20))}
    masks = {"a": rng.random((20, 20)) < 0.5}
    kept = prune.global_magnitude(weights, masks, keep=0.3, floor=0.0)["a"]
    assert not np.any(kept & ~masks["a"])
    assert kept.sum() == 120
    few = {"a": masks["a"] & (rng.random((20, 20)) < 0.1)}  # the floor asks for more than there are
    kept = prune.global_magnitude(weights, few, keep=0.3, floor=0.2)["a"]
    assert np.array_equal(kept, few["a"])


@pytest.mark.parametrize(("keep", "floor"), [(0.1, 0.2), (1.1, 0.0), (0.5, -0.1)])
def test_global_magnitude_refuses(keep, floor):
    with pytest.raises(ValueError, match="0 <= floor <= keep <= 1"):
        prune.global_magnitude({}, {}, keep=keep, floor=floor)


def test_a_trained_network_is_balanced_and_its_pruned_weights_are_zero(dataset, tmp_path):
    run = trainer(dataset, tmp_path)
    run.run("uticket")
    for name, weight in run.network.prunable.items():
        mask = run.kept.masks[name].numpy()
        assert not np.any(weight.detach().numpy()[~mask]), name
        nnz = filter_nnz(mask)
        for start in range(0, len(nnz), 4):
            assert len(set(nnz[start : start + 4])) == 1, name
    history = run.progress.history
    assert [round(h["weight_sparsity"], 2) for h in history] == [0.0, 0.5, 0.8]
    assert [h["target"] for h in history] == [None, "exact", "exact"]
    assert (
        history[-1]["filter_nnz"]["conv3"] == filter_nnz(run.kept.masks["conv3"].numpy()).tolist()
    )


def test_methods_have_equal_nnz_in_every_round(dataset, tmp_path):
    """As near as the rounded means of each layer allow."""
    nnz = {}
    for policy in ("none", "random", "magnitude"):
        run = trainer(dataset, tmp_path, policy=policy)
        run.run(policy)
        nnz[policy] = np.array(
            [sum(map(sum, h["filter_nnz"].values())) for h in run.progress.history]
        )
    for policy in ("random", "magnitude"):
        assert np.abs(nnz[policy] - nnz["none"]).max() <= 3 * 4 / 2


def state(run):
    return {**run.network.state_dict(), **{f"mask.{n}": m for n, m in run.kept.masks.items()}}


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """The final state of a run of a schedule that nothing stops."""

    @functools.cache
    def final(schedule):
        run = trainer(dataset, tmp_path_factory.mktemp("whole"), schedule=schedule)
        run.run("uticket")
        return state(run)

    return final


def killed_and_resumed(dataset, folder, schedule, stop):
    """The final state of a run that is killed after `stop` steps, and another that goes on."""
    killed = trainer(dataset, folder, schedule=schedule)
    step, steps = killed._step, iter(range(stop))

    def counted(current):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(current)

    killed._step = counted
    with pytest.raises(KeyboardInterrupt):
        killed.run("uticket")
    resumed = trainer(dataset, folder, schedule=schedule)
    resumed.run("uticket")
    return state(resumed)


@pytest.mark.parametrize("stop", [1, 5, 9])
def test_a_killed_run_resumes_to_the_same_result(dataset, tmp_path, monkeypatch, whole, stop):
    expected = whole(SCHEDULE)
    monkeypatch.setattr("sw.train.CHECKPOINT_SECONDS", -1.0)  # after every step
    found = killed_and_resumed(dataset, tmp_path, SCHEDULE, stop)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_only_rounds_of_the_final_sparsity_train_quantized(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_tell_time", lambda *_: None)  # it runs the network, too
    again = Round(keep=0.2, images=64, ticks=2, learning_rate=0.05)
    plain = replace(SCHEDULE, pruned=(*SCHEDULE.pruned, again))
    schedule = replace(plain, weight_bits=4)
    assert [schedule.quantizes(r) for r in schedule.rounds] == [False, False, True, True]
    assert not any(plain.quantizes(r) for r in plain.rounds)
    runs = {}
    for name, kind in (("plain", plain), ("quantized", schedule)):
        seen = []
        run = trainer(dataset, tmp_path / name, schedule=kind)
        weight = run.network.weights["conv3"].weight
        run.network.register_forward_pre_hook(lambda *_, w=weight, s=seen: s.append(w[0].clone()))
        run.run("uticket")
        runs[name] = run, seen
    (plain_run, plain_seen), (run, seen) = runs.values()
    same = [torch.equal(a, b) for a, b in zip(plain_seen, seen, strict=True)]
    half = len(same) // 2  # two of four rounds of equal length
    assert all(same[:half])
    assert not any(same[half:])
    # in steps and in validation alike: at most 7 magnitudes, of which the largest is a 7
    for row in seen[half:]:
        assert len(row.abs().unique()) <= 8
        steps = row / row.abs().max() * 7
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert len(run.network.weights["conv3"].weight.detach()[0].unique()) > 15  # floats go on
    assert torch.equal(run.kept.masks["conv3"], plain_run.kept.masks["conv3"])


@pytest.mark.parametrize("output", [Output.SPIKE, Output.CLIP])
def test_rewinding_restores_weights_biases_and_norms(dataset, tmp_path, output):
    schedule = Schedule(
        dense=tuple(replace(r, output=output) for r in SCHEDULE.dense),
        pruned=(Round(keep=0.5, images=0, ticks=1, learning_rate=0.05, output=output),),
        rewind_images=32,
        batch=16,
    )
    run = trainer(dataset, tmp_path, policy="none", schedule=schedule)
    early, reached = {}, run.pruner.reached

    def seen(images):
        if images == 32:
            early.update({name: value.clone() for name, value in run.network.state_dict().items()})
        reached(images)

    run.pruner.reached = seen
    run.run("lth")
    for name, value in run.network.state_dict().items():
        rewound = early[name]
        layer = name.split(".")[1]
        if name.endswith("weight") and name.startswith("weights") and layer in run.kept.masks:
            rewound = rewound * run.kept.masks[layer]
        assert torch.equal(value, rewound), name


def test_the_rewound_schedule_is_the_shipped_one_but_for_pruning():
    """As many images, the same dense round, the same rounds with spikes; each pruning has a round."""
    shipped, rewound = schedules.named("vgg"), schedules.named("rewind")
    assert rewound.dense == shipped.dense
    assert 0 < rewound.rewind_images < shipped.dense[0].images / 5
    spiking = [r for r in shipped.pruned if r.output is Output.SPIKE]
    quiet = rewound.pruned[: -len(spiking)]
    assert rewound.pruned[-len(spiking) :] == tuple(spiking)
    assert [r.keep for r in quiet] == [r.keep for r in shipped.pruned[: len(quiet)]]
    assert all(r.prunings == 1 and r.output is Output.CLIP for r in quiet)
    count = [sum(r.images for r in s.rounds) for s in (shipped, rewound)]
    assert count[1] == pytest.approx(count[0], rel=0.001)


def test_the_shipped_schedule_is_as_sparse_as_the_tickets_must_be():
    for name in ("paper", "vgg", "resnet", "rewind"):
        assert schedules.SCHEDULES[name].rounds[-1].keep <= 0.02, name


class Recorder:
    """A watch that notes what it is told."""

    def __init__(self):
        self.told = []

    def start(self, text, total):
        self.told.append((text, total))

    def update(self, done, text):
        self.told.append(done)


def test_progress_is_told(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("sw.train.SHOW_SECONDS", -1.0)
    watch, lines = Recorder(), []
    run = trainer(dataset, tmp_path, watch=watch)
    run.log = lines.append
    run.run(None)
    assert watch.told == [("round 0", 64), 16, 32, 48, 64]
    assert re.fullmatch(
        r"about \d+:\d\d:\d\d \(h:mm:ss\) of training to go on this machine, .* FLOP", lines[0]
    )
    assert [line.partition(":")[0] for line in lines[1:]] == ["round 0 done"]


def test_a_broken_compiler_is_told_and_done_without(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("sw.norm_fire.can_fuse", lambda device: "RuntimeError: no compiler")
    run = trainer(dataset, tmp_path, fused=True)
    assert not run.network.fused


def test_a_batch_that_cannot_be_shared_is_refused(dataset, tmp_path):
    three = Devices(torch.device("cpu"), rank=0, count=3)
    with pytest.raises(ValueError, match="3 processes; allowed: divisors of the batch, 16"):
        trainer(dataset, tmp_path, devices=three)


def test_shares_make_up_the_batch(dataset, tmp_path, monkeypatch):
    """Whatever the number of processes, the same images are drawn and augmented alike."""
    whole = trainer(dataset, tmp_path)._drawn(16)
    parts = []
    for rank in range(2):
        run = trainer(dataset, tmp_path)
        run.devices = Devices(torch.device("cpu"), rank=rank, count=2)
        parts.append(run._drawn(16))
    for expected, *found in zip(whole, *parts, strict=True):
        assert torch.equal(expected, torch.cat(found))


TAUGHT = Schedule(
    dense=(
        Round(
            keep=1.0, images=64, ticks=1, learning_rate=0.05, orthogonal=0.03, output=Output.CLIP
        ),
    ),
    pruned=(
        Round(
            keep=0.2,
            images=96,
            ticks=1,
            learning_rate=0.05,
            prunings=4,
            teacher=0.5,
            output=Output.CLIP,
        ),
        Round(
            keep=0.2,
            images=32,
            ticks=1,
            learning_rate=0.002,
            teacher=0.5,
            optimizer="adamw",
            batch=8,
        ),
        Round(keep=0.2, images=32, ticks=2, learning_rate=0.05, teacher=0.5),
    ),
    batch=16,
    smoothing=0.1,
    classifier_rate=0.1,
)


def test_gradual_pruning_falls_with_the_cube_and_ends_in_time():
    steps = list(
        Round(keep=0.2, images=1000, ticks=1, learning_rate=1.0, prunings=5).pruning_steps(1)
    )
    assert [image for image, _ in steps] == [0, 125, 250, 375, 500]  # half the round
    kept = [keep for _, keep in steps]
    np.testing.assert_allclose(kept, [0.2 + 0.8 * (1 - k / 5) ** 3 for k in range(1, 6)])
    assert kept[-1] == 0.2
    assert not list(Round(keep=0.2, images=1000, ticks=1, learning_rate=1.0).pruning_steps(0.2))


def test_gradual_pruning_clears_what_the_optimizer_remembers(dataset, tmp_path):
    run = trainer(dataset, tmp_path, schedule=TAUGHT)
    kept, clear = [], run.kept.clear

    def cleared(optimizer):
        clear(optimizer)
        for name, w in run.network.prunable.items():
            buffer = run.optimizer.state.get(w, {}).get("momentum_buffer")
            assert not w[~run.kept.masks[name]].any(), name
            assert buffer is None or not buffer[~run.kept.masks[name]].any(), name
        kept.append(1 - prune.sparsity({n: m.numpy() for n, m in run.kept.masks.items()}))

    run.kept.clear = cleared
    run.run("uticket")
    np.testing.assert_allclose(kept, [0.2 + 0.8 * (1 - k / 4) ** 3 for k in range(1, 5)], atol=0.01)
    for name, w in run.network.prunable.items():
        assert not w[~run.kept.masks[name]].any(), name


def test_the_teacher_is_the_dense_network_without_spikes(dataset, tmp_path):
    run = trainer(dataset, tmp_path, schedule=TAUGHT)
    run.run(None)
    dense = {name: value.clone() for name, value in run.network.state_dict().items()}
    run = trainer(dataset, tmp_path, schedule=TAUGHT)
    biases, start = {}, run.network.start_spiking

    def started():
        biases["before"] = run.network.norms["conv2"].bias.detach().clone()
        start()
        biases["after"] = run.network.norms["conv2"].bias.detach().clone()

    run.network.start_spiking = started
    run.run("uticket")
    torch.testing.assert_close(
        biases["after"] - biases["before"], torch.full((12,), 1 / 0.75 - 0.5)
    )
    kept = torch.load(tmp_path / "answers.pt", weights_only=True)["answers"]
    shown = trainer(dataset, tmp_path / "other", schedule=TAUGHT)
    shown.network.load_state_dict(dense)
    drawn = run.batches.drawn(0, 8)
    index, mirrored = run.batches.seen(*drawn)
    assert set(mirrored.tolist()) == {0, 1}
    images = run.batches.images[index].permute(0, 3, 1, 2)
    images[mirrored == 1] = images[mirrored == 1].flip(3)
    images = run.batches.normalized(images, 32)
    with torch.no_grad(), run.runs.mixed_precision():
        expected = shown.network.eval()(images, 1, Output.CLIP)[0]
    torch.testing.assert_close(kept[index, mirrored], expected, atol=0.02, rtol=0.02)
    assert torch.equal(run.answers, kept)
    assert [row["output"] for row in run.progress.history] == ["clip", "clip", "spike", "spike"]


def test_answers_draw_the_loss_to_the_teacher():
    outputs, labels = torch.tensor([[[4.0, 0.0, 0.0]]]), torch.tensor([0])
    same, other = torch.tensor([[4.0, 0.0, 0.0]]), torch.tensor([[0.0, 4.0, 0.0]])
    plain = loss(outputs, labels)
    assert loss(outputs, labels, answers=same, share=1.0) == pytest.approx(0, abs=1e-6)
    assert loss(outputs, labels, answers=same, share=0.5) == pytest.approx(plain.item() / 2)
    assert loss(outputs, labels, answers=other, share=0.5) > plain


def test_where_activity_has_a_price_neurons_fire_less(dataset, tmp_path):
    def zeros(price):
        rounds = tuple(replace(r, images=640, price=price) for r in SCHEDULE.dense)
        schedule = replace(SCHEDULE, dense=rounds, pruned=())
        run = trainer(dataset, tmp_path / str(price), schedule=schedule)
        run.run(None)
        return min(run.progress.history[0]["input_sparsity"].values())

    assert zeros(3.0) > zeros(0.0) + 0.05


def test_the_price_is_shared_by_the_layers(dataset, tmp_path):
    """Of three layers with neurons, each mean output has a third of it."""
    run = trainer(dataset, tmp_path)
    images, norms = torch.rand(4, 3, 8, 8), run.network.norms

    def of_last(price):
        run.network.zero_grad()
        run.network(images, 1, price=price).sum().backward()
        return norms["conv3"].bias.grad.clone()

    captured = {}
    hook = run.network.weights["fc"].register_forward_pre_hook(
        lambda _, x: captured.update(mean=x[0].mean())
    )
    run.network.zero_grad()
    (run.network(images, 1).sum() + 6.0 / 3 * captured["mean"]).backward()
    hook.remove()
    expected = norms["conv3"].bias.grad.clone()
    torch.testing.assert_close(of_last(6.0), expected)
    assert not torch.allclose(of_last(0.0), expected)


def test_a_taught_round_without_a_teacher_is_refused(dataset, tmp_path):
    schedule = replace(TAUGHT, dense=(replace(TAUGHT.dense[0], output=Output.SPIKE),))
    with pytest.raises(ValueError, match=r"answers.pt is missing; to start afresh: rm -r"):
        trainer(dataset, tmp_path, schedule=schedule).run("uticket")


@pytest.mark.parametrize("stop", [3, 6, 9, 13, 15])
def test_a_taught_run_that_is_killed_resumes_to_the_same_result(
    dataset, tmp_path, monkeypatch, whole, stop
):
    expected = whole(TAUGHT)
    monkeypatch.setattr("sw.train.CHECKPOINT_SECONDS", -1.0)  # after every step
    found = killed_and_resumed(dataset, tmp_path, TAUGHT, stop)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_a_round_has_a_batch_and_an_optimizer_of_its_own(dataset, tmp_path):
    run = trainer(dataset, tmp_path, schedule=TAUGHT)
    step, seen = run._step, []

    def noted(current):
        before = run.progress.images
        value = step(current)
        seen.append((run.progress.images - before, type(run.optimizer).__name__))
        return value

    run._step = noted
    run.run("uticket")
    assert seen == [(16, "Muon")] * 10 + [(8, "AdamW")] * 4 + [(16, "Muon")] * 2
    with pytest.raises(ValueError, match=r"optimizer 'adamw' with orthogonalized steps 0.1; allow"):
        Round(keep=1.0, images=8, ticks=1, learning_rate=0.1, orthogonal=0.1, optimizer="adamw")


def test_a_checkpoint_of_another_run_is_refused_and_kept(dataset, tmp_path):
    trainer(dataset, tmp_path).run("uticket")
    before = (tmp_path / "uticket.pt").read_bytes()
    longer = replace(SCHEDULE, pruned=(*SCHEDULE.pruned, SCHEDULE.pruned[-1]))
    for other in (
        trainer(dataset, tmp_path, schedule=longer),
        trainer(dataset, tmp_path, policy="none"),
    ):
        with pytest.raises(
            ValueError, match=r"uticket.pt is of another network, schedule, seed or balancing"
        ):
            other.run("uticket")
    trainer(dataset, tmp_path, schedule=longer).run("other")  # the dense rounds are the same
    assert (tmp_path / "uticket.pt").read_bytes() == before
    state = torch.load(tmp_path / "uticket.pt", weights_only=True)
    torch.save({**state, "version": 1}, tmp_path / "uticket.pt")
    with pytest.raises(
        ValueError, match=r"uticket.pt has version 1; allowed: 3; to start afresh: rm"
    ):
        trainer(dataset, tmp_path).run("uticket")
    (tmp_path / "uticket.pt").write_bytes(before[:1000])
    with pytest.raises(ValueError, match=r"uticket.pt is damaged"):
        trainer(dataset, tmp_path).run("uticket")


@pytest.mark.parametrize("ticks", [1, 3])
def test_operations_are_those_of_the_sums(dataset, tmp_path, ticks):
    """Forwards once, backwards twice: by weights, and by inputs, which the image does not need."""
    first, *maps, classes = 3 * 8 * 9 * 64, 8 * 12 * 9 * 16, 12 * 16 * 9 * 4, 16 * 10
    current = Round(keep=1.0, images=1, ticks=ticks, learning_rate=0.1)
    found = trainer(dataset, tmp_path).runs.operations_an_image(current)
    assert found == 2 * (2 * first + 3 * ticks * (sum(maps) + classes))


def test_the_time_left_counts_what_is_left(dataset, tmp_path, monkeypatch):
    run = trainer(dataset, tmp_path, schedule=TAUGHT)
    seconds = {1: 1.0, 2: 10.0}
    monkeypatch.setattr(Forward, "seconds_an_image", lambda _, current: seconds[current.ticks])
    assert run.seconds_left(method=False) == 64
    assert run.seconds_left() == 64 + 96 + 32 + 320
    assert run.seconds_left(again=1) == 64 + 2 * (96 + 32 + 320)
    run.progress.round, run.progress.images = 2, 16
    assert run.seconds_left() == 16 + 320
    before = state(run)
    before = {name: value.clone() for name, value in before.items()}
    monkeypatch.undo()
    assert 0 < run.seconds_left() < 3600
    assert all(torch.equal(value, before[name]) for name, value in state(run).items())


def test_schedules_by_name_and_factor():
    half = schedules.named("vgg:0.5")
    whole = schedules.named("vgg")
    for a, b in zip(half.rounds, whole.rounds, strict=True):
        assert a.images % whole.batch_of(b) == 0
        assert abs(a.images - b.images / 2) <= whole.batch_of(b) / 2
    assert schedules.named("vgg:1") == whole
    tiny = schedules.named("paper:0.0001")
    assert min(r.images for r in tiny.rounds) == tiny.batch * 8
    for name in ("vgg:0", "vgg:-1", "vgg:x", "vgg:inf", "vgg:nan"):
        with pytest.raises(ValueError, match="allowed: a number above 0"):
            schedules.named(name)
    with pytest.raises(ValueError, match="unknown schedule 'best'; allowed: paper, vgg"):
        schedules.named("best:2")
