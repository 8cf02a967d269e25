"""What a step sees: every image once an epoch, moved and mirrored, a function of the step alone."""

import numpy as np
import pytest
import torch

from sw.augment import Batches
from sw.schedule import FULL_SIDE

COUNT, SIDE = 20, 8


@pytest.fixture
def images():
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), np.uint8)
    )


def batches(images, **options):
    options = {"seed": 5, **options}
    return Batches(images, torch.arange(COUNT), mean=(0.5,) * 3, std=(0.25,) * 3, **options)


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(images):
    this = batches(images)
    epochs = [this.drawn(epoch * COUNT, COUNT)[0] for epoch in range(3)]
    assert all(sorted(e.tolist()) == list(range(COUNT)) for e in epochs)
    assert len({tuple(e.tolist()) for e in epochs}) == 3
    across = this.drawn(COUNT - 3, 8)[
        0
    ].tolist()  # a batch that begins in one epoch, ends in the next
    assert across == [*epochs[0].tolist()[-3:], *epochs[1].tolist()[:5]]


def test_the_same_step_sees_the_same_whatever_was_drawn_before(images):
    one, other = batches(images), batches(images)
    for start in (0, 7, 40):
        other.drawn(start, 7)
    for a, b in zip(one.drawn(63, 9), other.drawn(63, 9), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(batches(images, seed=6).drawn(0, COUNT)[0], one.drawn(0, COUNT)[0])


def test_an_image_is_mirrored_every_other_epoch(images):
    this = batches(images, shift=0)
    seen = {}
    for epoch in range(4):
        picked, labels = this.picked(*this.drawn(epoch * COUNT, COUNT))
        for image, label in zip(picked, labels, strict=True):
            seen.setdefault(int(label), []).append(image)
    first_mirrored = 0
    for label, versions in seen.items():
        plain, mirrored = images[label], images[label].flip(2)
        assert torch.equal(versions[0], versions[2])
        assert torch.equal(versions[1], versions[3])
        assert {torch.equal(v, plain) for v in versions} == {True, False}
        assert all(torch.equal(v, plain) or torch.equal(v, mirrored) for v in versions)
        first_mirrored += torch.equal(versions[0], mirrored)
    assert 0 < first_mirrored < COUNT


def test_images_are_moved_and_reflected_at_the_border(images):
    this = batches(images, shift=2)
    picked, labels = this.picked(*this.drawn(0, COUNT))
    offsets = set()
    for image, label in zip(picked.numpy(), labels.tolist(), strict=True):
        padded = np.pad(images[label].numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect")
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            for shown in (padded[:, y : y + SIDE, x : x + SIDE],)
            if np.array_equal(image, shown) or np.array_equal(image, shown[:, :, ::-1])
        ]
        assert found, label
        offsets.update(found)
    assert len(offsets) > 8


def test_images_are_normalized_and_averaged_down(images):
    this = batches(images)
    full = this.normalized(images, FULL_SIDE)
    np.testing.assert_allclose(
        full.numpy(), (images.numpy() / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-5
    )
    half = this.normalized(images, FULL_SIDE // 2)
    assert half.shape == (COUNT, 3, SIDE // 2, SIDE // 2)
    np.testing.assert_allclose(half[0, 0, 0, 0], full[0, 0, :2, :2].mean(), rtol=1e-4)
