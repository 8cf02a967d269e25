"""Networks of real shapes by each framework: imported, held to the framework's own spikes, and through the RTL."""

from dataclasses import replace

import pytest

from hw.config import Config
from sim.deployment import Deployment
from sim.equivalence import compare, framework_spikes
from sim.rtl.harness import Rtl
from sw.importers import door
from sw.importers.graph import Refused
from sw.importers.torch import from_module
from tb.test_event_machine import CONFIGS
from tests.soak import times
from tests.zoo import ZOO, TorchConv, resnet18, settled

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
PAPER = Config(machine="event")
SOAKED = times(1) > 1
HARDWARE = (
    PAPER if SOAKED else CONFIGS["three PEs, tiles of 8x8, 8 banks, 256 bits"]
)  # built anyway
SMALL = ("SpikingJelly CSNN", "snnTorch 5x5", "depthwise separable", "sinabs N-MNIST")
IN_RTL = tuple(ZOO) if SOAKED else SMALL


def opened(entry, module, hardware=None, **changes):
    given = replace(entry.options, **changes)
    return door.imported(from_module(module, given), given, door.Scaling(), hardware)


@pytest.fixture(scope="module")
def imported():
    """By name, each once: the entry, and the network."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = opened(ZOO[name], ZOO[name].module())
        return ZOO[name], made[name]

    return get


@pytest.fixture(scope="module")
def rtl():
    with Rtl(HARDWARE) as model:
        yield model


@pytest.mark.parametrize("name", ZOO)
def test_integers_fire_as_the_framework(name, imported):
    entry, network = imported(name)
    assert [fit.why_not["event"] for fit in network.report.layers] == [None] * len(
        network.report.layers
    )
    images = entry.images(2)
    known, framework = framework_spikes(network, images)
    assert framework.split()[0] in ("spikingjelly", "snntorch", "sinabs", "norse"), framework
    rates = [float(values[0].mean()) for values in known.values()]
    assert all(0.01 < rate < 0.4 for rate in rates[:-1]), rates  # the last: sums, or few neurons
    found = compare(network, network.ticket(), images, known=known, against=framework)
    assert found["spikes_equal"] >= entry.share, found


@pytest.mark.parametrize("name", ZOO)
def test_models_run_it(name, imported):
    entry, network = imported(name)
    deployed = Deployment(ticket=network.ticket(), config=PAPER, method=name)
    first, second = deployed.predict(entry.images(2)).images
    assert first.accumulates != second.accumulates
    assert min(first.cycles) > 0


@pytest.mark.parametrize("name", IN_RTL)
def test_the_rtl_is_the_models(name, imported, rtl):
    entry, network = imported(name)
    deployed = Deployment(ticket=network.ticket(), config=HARDWARE, method=name)
    run = deployed.run(entry.images(1), rtl=rtl, jobs=1)
    assert run.mismatch is None


def test_the_whole_resnet18_fits():
    """64 to 512 channels, 11 million weights: three maps of 64x32x32 need twice the preset's spike buffer."""
    entry, module = ZOO["ResNet-18"], resnet18()
    small = opened(entry, module).report
    assert small.reason.endswith("nearest: --hardware with a buffer_depth above 512")
    report = opened(entry, module, Config(machine="event", buffer_depth=1024)).report
    assert report.verdict == "exact"
    assert len(report.layers) == 18
    added = [fit for fit in report.layers if " + " in fit.becomes]
    assert len(added) == 8  # a shortcut a block
    assert all(fit.why_not["event"] is None for fit in report.layers)


def test_norms_of_a_deep_network_are_rounded():
    """A neuron within rounding of its threshold fires or not, and 17 layers behind it follow."""
    entry = replace(ZOO["ResNet-18"], exact_norms=False)
    network = opened(entry, entry.module())
    images = entry.images(2)
    known, _ = framework_spikes(network, images)
    found = compare(network, network.ticket(), images, known=known)
    assert 0.99 <= found["spikes_equal"] < 1, found


def test_a_leak_of_nine_tenths_is_rounded_and_said():
    """SnnTorch's beta = 0.9 is no 256th: its spikes differ by more than those of beta = 230 / 256."""
    entry = ZOO["snnTorch 5x5"]
    module = settled(entry, TorchConv(0.9))
    with pytest.raises(
        Refused, match=r"leak 0.9 wanted; .* \(--round-leak; import also needs --accept\)$"
    ):
        opened(entry, module).ticket()
    network = opened(entry, module, round_leak=True)
    assert "leak 0.9 rounded to 0.898438, -0.17%" in network.report.layers[0].approximate[0]
    images = entry.images(2)
    known, _ = framework_spikes(network, images)
    found = compare(network, network.ticket(), images, known=known)
    assert 0.97 <= found["spikes_equal"] < ZOO["snnTorch 5x5"].share
