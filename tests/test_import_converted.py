"""Networks that SpikingJelly's ann2snn converts from trained ones with ReLUs: scales around IF neurons that start at 0 or half."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from sim.equivalence import compare, framework_spikes
from sw.importers import door
from sw.importers.graph import FILE, Choice, Options, Refused
from sw.importers.torch import from_module

SHAPE, TICKS = (2, 8, 8), 8
OPTIONS = Options(shape=SHAPE, ticks=TICKS, spikes=True)


@pytest.fixture
def converted(monkeypatch):
    """ann2snn's converter. It imports a progress bar and what downloads models, and needs neither here."""
    bar = ModuleType("tqdm")
    bar.tqdm = lambda steps, **_: steps
    monkeypatch.setitem(sys.modules, "tqdm", bar)
    monkeypatch.setitem(sys.modules, "requests", ModuleType("requests"))
    from spikingjelly.activation_based.ann2snn import FXConverter
    from spikingjelly.activation_based.ann2snn.recipes.rate_coding import RateCodingRecipe

    def convert(network, **given):
        images = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))
        return FXConverter(RateCodingRecipe(dataloader=[(images, 0)], **given)).convert(network)

    return convert


def trained(pool):
    """Seeded, as if it were trained."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), pool(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), pool(2),
        nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 5),
    ).eval()  # fmt: skip


def opened(module):
    return door.imported(from_module(module, OPTIONS), OPTIONS, door.Scaling())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("pool", [nn.AvgPool2d, nn.MaxPool2d])
def test_integers_fire_as_what_was_converted(pool, half, converted):
    network = opened(converted(trained(pool), channel_wise=half, half_threshold=half))
    assert network.report.verdict == "exact"
    starts = {c for c in network.report.layers[0].choices if c.what == "v at the start"}
    assert starts == {Choice("v at the start", "half the threshold" if half else "0", FILE)}
    spikes = (np.random.default_rng(1).random((4, TICKS, *SHAPE)) < 0.5).astype(np.uint8)
    known, framework = framework_spikes(network, spikes)
    assert framework.startswith("spikingjelly")
    assert [0.02 < float(values[0].mean()) < 0.9 for values in list(known.values())[:3]] == [
        True
    ] * 3
    found = compare(network, network.ticket(), spikes, known=known, against=framework)
    assert found["spikes_equal"] >= 0.999, found
    assert (
        compare(network, network.ticket(), spikes)["spikes_equal"] >= 0.999
    )  # floats, of scaled spikes


def test_a_scale_at_the_end_is_refused(converted):
    module = converted(nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU()).eval())
    with pytest.raises(Refused, match=r"node spiking_0.scaler1: a pool or scale at the end"):
        opened(module)
