"""PyTorch modules of SpikingJelly and snnTorch: their own spikes against the integers', and what is refused."""

import json
import re
from importlib.metadata import version

import numpy as np
import pytest
import snntorch
import torch
from safetensors.torch import save_file
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn
from torch.nn.utils import prune

from sim import equivalence
from sim.equivalence import compare
from sim.equivalence import framework_spikes as live_spikes
from sw import ticket as tickets
from sw.importers import door, reference
from sw.importers.graph import Options, Refused, Spiking
from sw.importers.torch import from_module
from tests import torch_networks as networks
from tests.command import status as run
from tests.test_import_nir import images

SHAPE = (2, 8, 8)


def options(**changes):
    return Options(**{"shape": SHAPE, "ticks": 4, "spikes": True} | changes)


def opened(module, **changes):
    given = options(**changes)
    return door.imported(from_module(module, given), given, door.Scaling())


@torch.no_grad()
def framework_spikes(module, network, spikes):
    """Each layer's spikes by the framework, by node, (N, T, ...): hooks on its neurons, one call or one a tick."""
    spiking = [node.name for node in network.graph.nodes if isinstance(node.operation, Spiking)]
    neurons = {}  # of each layer, by node: the last of its nodes that is a module of neurons
    for row in network.lowered.rows:
        names = [node.partition(" ")[0] for node in row.nodes]
        known = [n for n in names if n in spiking]
        neurons[row.node] = known[-1]
    outputs = {name: [] for name in neurons.values()}
    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda _, __, out, keep=keep.append: keep(out[0] if isinstance(out, tuple) else out)
        )
        for name, keep in outputs.items()
    ]
    x = torch.tensor(spikes, dtype=torch.float32).transpose(0, 1)  # (T, N, ...)
    functional.reset_net(module)
    for part in module.modules():
        if isinstance(part, snntorch.Leaky):
            part.reset_mem()
    whole = isinstance(module, networks.TorchVgg) or getattr(module[0], "step_mode", "s") == "m"
    for once in [x] if whole else x:
        module(once)
    for hook in hooks:
        hook.remove()
    functional.reset_net(module)
    result = {}
    for row in network.lowered.rows:
        layer = next(one for one in network.lowered.network.layers if one.name == row.name)
        ticks = outputs[neurons[row.node]]
        found = ticks[0] if len(ticks) == 1 else torch.stack(ticks)  # (T, N, ...)
        if layer.pool:
            found = nn.functional.max_pool2d(found.flatten(0, 1), 2).unflatten(0, found.shape[:2])
        result[row.node] = found.transpose(0, 1).numpy()
    return result


RUN = {
    "SpikingJelly VGG": (networks.jelly_vgg, 0.999),  # norms are not on a grid
    "SpikingJelly converted": (networks.jelly_converted, 1),
    "SpikingJelly depthwise": (networks.jelly_depthwise, 1),
    "SpikingJelly ResNet": (networks.jelly_resnet, 0.999),
    "snnTorch VGG": (networks.TorchVgg, 1),
    "snnTorch MLP": (networks.torch_mlp, 1),
    "snnTorch MLP, its default reset, no leak": (networks.torch_lossless, 1),
    "snnTorch MLP, its default reset": (networks.torch_default, 1),
    "SpikingJelly, soft resets": (networks.jelly_soft, 1),
}
LISTS = (networks.torch_mlp, networks.torch_lossless, networks.torch_default)


@pytest.mark.parametrize("name", RUN)
def test_integers_spike_as_the_framework(name, monkeypatch):
    make, share = RUN[name]
    module = networks.seeded(make())
    shape = (128, 1, 1) if make in LISTS else SHAPE
    network = opened(module, shape=shape)
    assert network.report.verdict == "exact", network.report.reason
    spikes = images(shape, 4, 8)
    theirs = framework_spikes(module, network, spikes)
    shares = [float(part.mean()) for part in theirs.values()]
    assert sum(0.02 < share < 0.98 for share in shares) >= 2, shares
    found = compare(network, network.ticket(), spikes, known=theirs)
    assert found["spikes_equal"] >= share, found
    assert compare(network, network.ticket(), spikes)["spikes_equal"] >= share
    monkeypatch.setattr(equivalence, "BATCH", 3)
    ran, framework = live_spikes(network, spikes)  # as `uticket import --images` does
    assert framework in {f"{name} {version(name)}" for name in ("spikingjelly", "snntorch")}
    assert ran.keys() == theirs.keys()
    for node, values in theirs.items():
        for n, image in enumerate(values):
            assert np.array_equal(ran[node][n].ravel(), image.ravel()), (node, n)


class Weird(nn.Module):
    """Takes ticks last."""

    def __init__(self):
        super().__init__()
        self.conv, self.neurons = nn.Conv2d(2, 4, 3, padding=1), neuron.IFNode()

    def forward(self, x):
        return self.neurons(self.conv(x.contiguous(memory_format=torch.channels_last_3d)))


def test_a_module_that_cannot_be_run_is_compared_with_floats():
    network = opened(networks.seeded(Weird()))
    ran, against = live_spikes(network, images(SHAPE, 4, 2))
    assert ran is None
    assert re.search(r"^floats \(spikingjelly \S+ did not run: Weird: forward fails: ", against)


def test_frames_of_two_polarities_go_all_the_way(tmp_path, monkeypatch, capsys):
    """Spikes for each tick: the first layer runs on the array, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    frames = images(SHAPE, 4, 6)
    np.savez("frames.npz", images=frames, labels=np.arange(6) % 4)
    given = ("--input", "2,8,8", "--ticks", "4", "--images", "frames.npz", "--json", "r.json")
    assert run("import", "model.py:build", "t.npz", *given) == 0
    assert f"integers against spikingjelly {version('spikingjelly')}, 6 images:" in (
        capsys.readouterr().out
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["agreement"]["against"].startswith("spikingjelly")
    assert {"what": "encoding", "value": "spikes", "source": "given"} in report["choices"]
    assert run("evaluate", "t.npz", "--images", "frames.npz") == 0
    hardware = ("--machine", "event", "--images", "frames.npz", "--json", "e.json")
    assert run("estimate", "t.npz", *hardware) == 0
    estimate = json.loads((tmp_path / "e.json").read_text())
    assert [layer["name"] for layer in estimate["layers"]] == ["0", "2"]
    share = 1 - estimate["layers"][0]["spike_sparsity"]
    assert 0.7 * frames.mean() < share < frames.mean()  # steps at the border see padding
    np.savez("counts.npz", images=3 * frames)
    assert run("estimate", "t.npz", "--images", "counts.npz") == 2
    assert "counts.npz: images hold 3; allowed: spikes, 0 or 1" in capsys.readouterr().err


def test_snntorchs_subtraction_at_once_is_approximate():
    """It differs where a potential is still above its threshold after the subtraction, and there alone."""
    module, shape = networks.seeded(networks.torch_at_once()), (128, 1, 1)
    network = opened(module, shape=shape)
    assert network.report.verdict == "approximate"
    assert "above it after a spike" in network.report.layers[0].approximate[0]
    spikes = images(shape, 4, 8)
    theirs = framework_spikes(module, network, spikes)
    assert 0.9 < compare(network, network.ticket(), spikes, known=theirs)["spikes_equal"] < 1
    assert compare(network, network.ticket(), spikes)["spikes_equal"] == 1
    module[2].threshold.fill_(8.0)  # no sum is twice as large
    module[4].threshold.fill_(8.0)
    network = opened(module, shape=shape)
    theirs = framework_spikes(module, network, spikes)
    assert compare(network, network.ticket(), spikes, known=theirs)["spikes_equal"] == 1


@pytest.mark.parametrize(("beta", "reset"), [(0.9, "late"), (230 / 256, "late"), (1.0, "subtract")])
def test_snntorchs_default_reset_is_the_array_s(beta, reset):
    """Weights that lie on no grid, 25 ticks. Floats are run as the file says, whatever its leak."""
    shape = (128, 1, 1)
    module = networks.seeded(networks.torch_default(beta), grid=False)
    network = opened(module, shape=shape, ticks=25)
    assert {
        choice.value for choice in network.report.layers[0].choices if choice.what == "reset"
    } == {reset}
    spikes = images(shape, 25, 8)
    theirs, _ = live_spikes(network, spikes)
    assert all(0.02 < values[0].mean() < 0.98 for values in theirs.values())
    for number, sample in enumerate(spikes):
        ran = reference.run(network.graph, sample)
        for node, values in theirs.items():
            assert np.array_equal(ran[node].ravel(), values[number].ravel()), node
    if beta == 0.9:  # no 256th
        assert network.report.reason.startswith("layer 1: leak 0.9 wanted")
        return
    assert network.report.verdict == "exact"
    lacks = "reset = subtract" if beta == 1 else "leak 0.8984375 wanted"
    assert lacks in network.report.layers[0].why_not["sweep"]
    assert compare(network, network.ticket(), spikes, known=theirs)["spikes_equal"] >= 0.999


def test_a_neuron_of_snntorch_that_keeps_nothing_is_refused():
    with pytest.raises(Refused, match=r"^node 2: leak = 0, a neuron that keeps nothing; nearest"):
        opened(networks.torch_default(0.0), shape=(128, 1, 1))


def test_what_a_loop_over_ticks_repeats_is_one_layer():
    network = opened(networks.seeded(networks.TorchVgg()))
    assert [layer.name for layer in network.lowered.network.layers] == ["conv1", "conv2", "fc"]
    assert network.report.choices[-1].value == "the first of 2 values that forward returns"


def test_as_many_ticks_as_forward_has():
    line = r"^node conv1: forward calls it 4 times, a tick each; --ticks 2"
    with pytest.raises(Refused, match=line):
        opened(networks.seeded(networks.TorchVgg()), ticks=2)


def test_masks_of_prune_are_zeros():
    module = networks.seeded(networks.torch_mlp())
    prune.random_unstructured(module[1], "weight", amount=0.5)
    (ours, *_) = opened(module, shape=(128, 1, 1)).ticket().parameters
    assert np.array_equal(
        ours.mask, (module[1].weight_orig * module[1].weight_mask).numpy(force=True) != 0
    )


def chain(*parts):
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *parts)


class Sew(nn.Module):
    """Adds spikes."""

    def __init__(self):
        super().__init__()
        self.conv1, self.if1 = nn.Conv2d(2, 4, 3, padding=1), neuron.IFNode()
        self.conv2, self.if2 = nn.Conv2d(4, 4, 3, padding=1), neuron.IFNode()

    def forward(self, x):
        x = self.if1(self.conv1(x))
        return self.if2(self.conv2(x)) + x


class Shared(nn.Module):
    """One convolution twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.node1, self.node2 = (
            nn.Conv2d(2, 2, 3, padding=1),
            neuron.IFNode(),
            neuron.IFNode(),
        )

    def forward(self, x):
        return self.node2(self.conv(self.node1(self.conv(x))))


class Branch(nn.Module):
    """Decides by its input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


def leaky(**given):
    return snntorch.Leaky(**{"beta": 0.5, "init_hidden": True} | given)


def inhibited():
    node = leaky(reset_mechanism="zero")
    node.inhibition = True  # its constructor warns
    return node


REFUSED = {
    "leak 0.9": (
        chain(leaky(beta=0.9, reset_mechanism="zero")),
        r"layer 0: leak 0.9 wanted; .* nearest: 0.898438 or 0.902344"),
    "tau 3": (chain(neuron.LIFNode(tau=3.0)), r"layer 0: leak 0.6666667 wanted; .* nearest: 0.664062 or 0.667969"),
    "maximum of currents": (chain(nn.MaxPool2d(2), neuron.IFNode()), r"node 1: a maximum of currents"),
    "spikes added": (Sew(), r"node add: a sum of spikes is 0, 1 or 2"),
    "shared weights": (Shared(), r"node conv: is called again with another input"),
    "not traceable": (Branch(), r"Branch cannot be traced: symbolically traced"),
    "unknown module": (chain(nn.ReLU()), r"node 1: torch ReLU; allowed: AdaptiveAvgPool2d, "),
    "inhibition": (
        chain(inhibited()), r"node 1: inhibition is set; allowed: False"),
    "maximum over 3x3": (
        chain(neuron.IFNode(), nn.MaxPool2d(3), nn.Flatten()), r"node 2: a maximum over \(3, 3\); the array has"),
    "mean pool over 4x4 before 3x3": (
        chain(neuron.IFNode(), nn.AvgPool2d(4), nn.Conv2d(4, 4, 3, padding=1), neuron.IFNode()),
        r"layer 3: a stride of 4; the array has 1 and 2"),
    "no statistics": (
        chain(nn.BatchNorm2d(4, track_running_stats=False), neuron.IFNode()), r"node 1: no running statistics"),
    "another neuron": (chain(neuron.QIFNode()), r"node 1: spikingjelly QIFNode; allowed: "),
    "a container with its own forward": (
        chain(neuron.IFNode(), layer.SeqToANNContainer(nn.Conv2d(4, 4, 8)), neuron.IFNode()),
        r"layer 2.0: a kernel of 8"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    module, line = REFUSED[name]
    with pytest.raises(Refused, match=f"^{line}"):
        opened(module).ticket()


MODEL = """
from torch import nn
from spikingjelly.activation_based import neuron

def build():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), neuron.IFNode(), nn.Conv2d(4, 4, 3), neuron.IFNode())

def broken():
    raise RuntimeError("no\\nluck")
"""
GIVEN = ("--input", "2,8,8", "--ticks", "4", "--encoding", "spikes")


def test_a_file_and_its_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    module = networks.seeded(chain(neuron.IFNode(), nn.Conv2d(4, 4, 3), neuron.IFNode()), 5)
    torch.save(module.state_dict(), "w.pt")
    save_file(module.state_dict(), "w.safetensors")
    for weights in ("w.pt", "w.safetensors"):
        assert run("import", "model.py:build", "t.npz", *GIVEN, "--weights", weights) == 0
        found = tickets.load(tmp_path / "t.npz").parameters[0].weight
        assert np.array_equal(found, module[0].weight.numpy(force=True))
    torch.save(module, "whole.pt")
    assert run("import", "model.py:build", "t2.npz", *GIVEN, "--weights", "whole.pt") == 2
    assert not (tmp_path / "t2.npz").exists()
    assert (
        run("import", "model.py:build", "t2.npz", *GIVEN, "--weights", "whole.pt", "--trust") == 0
    )


@pytest.mark.parametrize(
    ("network", "more", "line"),
    [
        ("none.py:build", (), "none.py: no such file"),
        ("model.py:nothing", (), "model.py has no 'nothing'"),
        ("model.py:broken", (), "model.py:broken: RuntimeError: no"),
        ("model.py:build", ("--weights", "other.pt"), "other.pt: Error.* in loading state_dict"),
        ("model.py:build", ("--weights", "text.pt"), "text.pt: no weights, or damaged"),
        (
            "net.nir",
            ("--weights", "other.pt"),
            "--weights with net.nir; allowed: with FILE.py:FUNCTION",
        ),
    ],
)
def test_bad_files_are_one_line(network, more, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "text.pt").write_text("text")
    torch.save({"x": torch.zeros(1)}, "other.pt")
    assert run("import", network, "t.npz", *GIVEN, *more) == 2
    error = capsys.readouterr().err
    assert re.search(line, error), error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "t.npz").exists()


def sinabs_network(**given):
    import sinabs.layers
    from sinabs.activation import MembraneReset, SingleSpike

    node = {"spike_fn": SingleSpike, "reset_fn": MembraneReset()} | given
    return chain(sinabs.layers.IAF(**node), nn.Conv2d(4, 4, 3), sinabs.layers.IAF(**node))


@torch.no_grad()
def test_sinabs():
    module = networks.seeded(sinabs_network())
    network = opened(module)
    spikes = images(SHAPE, 4, 8)
    x, theirs = torch.tensor(spikes, dtype=torch.float32), {}
    for name, part in module.named_children():
        flat = isinstance(part, nn.Conv2d)
        x = part(x.flatten(0, 1)).unflatten(0, (8, 4)) if flat else part(x)
        theirs[name] = x.numpy()
    theirs = {row.node: theirs[row.node] for row in network.lowered.rows}
    assert all(0.02 < part.mean() < 0.98 for part in theirs.values())
    assert compare(network, network.ticket(), spikes, known=theirs)["spikes_equal"] == 1


def test_sinabs_defaults_are_refused():
    import sinabs.layers

    with pytest.raises(Refused, match=r"^node 1: spike_fn = MultiSpike; allowed: SingleSpike"):
        opened(chain(sinabs.layers.IAF()))
    with pytest.raises(
        Refused, match=r"^layer 0: leak 0.904837\d* wanted; .* nearest: 0.902344 or 0.90625"
    ):
        opened(sinabs_lif()).ticket()


def sinabs_lif():
    import sinabs.layers
    from sinabs.activation import MembraneReset, SingleSpike

    return chain(sinabs.layers.LIF(tau_mem=10.0, spike_fn=SingleSpike, reset_fn=MembraneReset()))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@torch.no_grad()
def test_norse():
    from norse.torch import LIFBoxCell
    from norse.torch.functional.lif_box import LIFBoxParameters

    half = LIFBoxParameters(
        tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.25)
    )  # a half, at dt = 1 ms
    module = networks.seeded(chain(LIFBoxCell(half), nn.Conv2d(4, 4, 3), LIFBoxCell(half)))
    network = opened(module)
    assert network.lowered.network.layers[0].neuron.leak == 0.5
    spikes = images(SHAPE, 4, 8)
    theirs, states = {"1": [], "3": []}, {"1": None, "3": None}
    for x in torch.tensor(spikes, dtype=torch.float32).transpose(0, 1):
        for name, part in module.named_children():
            if name in states:
                x, states[name] = part(x, states[name])
                theirs[name].append(x.numpy())
            else:
                x = part(x)
    theirs = {name: np.stack(ticks, axis=1) for name, ticks in theirs.items()}
    shares = [float(part.mean()) for part in theirs.values()]
    assert all(0.01 < share < 0.99 for share in shares), shares
    assert compare(network, network.ticket(), spikes, known=theirs)["spikes_equal"] == 1
