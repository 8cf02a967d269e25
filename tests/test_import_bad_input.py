"""`uticket import` of what is damaged or does not meet: one line with the node's name, exit 2, no file."""

import pickle
import re

import nir
import numpy as np
import pytest

from sim.cli import main
from sw.importers.graph import Options, Refused
from tests.nir_networks import chain, conv, flatten, integrate, save

W = np.full((4, 2, 3, 3), 0.25, np.float32)
CONV, SPIKES = chain((2, 4, 4), conv(W), integrate(4, 4, 4)), ("--encoding", "spikes")


def twice():
    graph = chain((2, 4, 4), conv(W), integrate(4, 4, 4))
    graph.edges.append(("conv2d0", "if1"))
    return graph


FILES = {
    "net.nir": CONV,
    "two.nir": chain(
        (2, 4, 4), conv(W), integrate(4, 4, 4), flatten(), nir.Linear(np.ones((3, 64))), integrate(3)
    ),
    "bias.nir": chain((2, 4, 4), conv(W, bias=np.zeros(3)), integrate(4, 4, 4)),
    "affine.nir": chain((2,), nir.Affine(np.ones((3, 2)), np.zeros(4)), integrate(3)),
    "neurons.nir": chain((2, 4, 4), conv(W), integrate(3, 4, 4)),
    "stride.nir": chain((2, 4, 4), conv(W, stride=0), integrate(4, 4, 4)),
    "twice.nir": twice(),
}  # fmt: skip
MODEL = """
import sys
import torch
from torch import nn
from spikingjelly.activation_based import neuron

def build():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), neuron.IFNode())

def ends():
    sys.exit("over")

def empty():
    with torch.device("meta"):
        return build()
"""
REFERENCES = {
    "short.npz": {"if1": np.zeros((1, 4, 4, 4, 4), np.uint8)},
    "scalar.npz": {"if1": np.zeros(())},
    "nan.npz": {"if1": np.full((3, 4, 4, 4, 4), np.nan)},
    "potentials.npz": {"if1": np.full((3, 4, 4, 4, 4), 0.5)},
    "names.npz": {"lif": np.zeros((3, 4, 4, 4, 4))},
}


class Code:
    """A pickle of it runs code."""

    def __reduce__(self):
        return open, ("ran", "w")


def reference(name):
    return (*SPIKES, "--images", "x.npz", "--reference", name)


BAD = {
    "a bias too short": ("bias.nir", SPIKES, r"node conv2d0: bias of shape \(3,\), and 4 filters"),
    "a bias too long": (
        "affine.nir", (*SPIKES, "--input", "2"), r"node affine0: bias of shape \(4,\), and 3 filters"),
    "neurons of another map": (
        "neurons.nir", SPIKES, r"node if1: gain of shape \(3, 4, 4\), and its input is 4x4x4"),
    "a stride of 0": ("stride.nir", SPIKES, r"stride.nir: not a NIR file, or a damaged one"),
    "an edge twice": ("twice.nir", SPIKES, r"node if1.sum: adds conv2d0 twice; allowed: once"),
    "a deviation that is none": ("two.nir", ("--std", "nan"), r"--std nan,nan; allowed: 2 numbers above 0"),
    "a mean without end": ("two.nir", ("--mean", "0,inf"), r"--mean 0.0,inf; allowed: 2 numbers$"),
    "a reference of fewer images": (
        "net.nir", reference("short.npz"), r"--reference: if1 = uint8 \(1, 4, 4, 4, 4\); allowed: \(3, T, \.\.\.\)"),
    "a reference of one number": ("net.nir", reference("scalar.npz"), r"--reference: if1 = float64 \(\); allowed"),
    "a reference of no numbers": ("net.nir", reference("nan.npz"), r"--reference: if1 holds nan; allowed: 0 and 1"),
    "a reference of potentials": ("net.nir", reference("potentials.npz"), r"if1 holds 0.5; allowed: 0 and 1"),
    "a reference of no layer": ("net.nir", reference("names.npz"), r"lif is no layer's node; allowed: if1"),
    "a file that ends Python": ("model.py:ends", SPIKES, r"model.py:ends: SystemExit: over"),
    "weights without values": ("model.py:empty", SPIKES, r"node 0.weight: on device meta"),
    "no function": ("model.py", SPIKES, r"model.py names no function; allowed: model.py:FUNCTION"),
    "a pickle with code": (
        "model.py:build", (*SPIKES, "--weights", "code.pt"),
        r"code.pt: no state dict of tensors alone; a pickle that can run code needs --trust$"),
    "no weights": (
        "model.py:build", (*SPIKES, "--weights", "text.pt"), r"text.pt: no weights, or damaged \("),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_one_line_and_no_file(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, graph in FILES.items():
        save(tmp_path / file, graph)
    (tmp_path / "model.py").write_text(MODEL)
    np.savez("x.npz", images=np.zeros((3, 4, 2, 4, 4), np.uint8))
    for file, arrays in REFERENCES.items():
        np.savez(file, **arrays)
    (tmp_path / "text.pt").write_text("text")
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Code()))
    network, more, line = BAD[name]
    equations = () if ".py" in network else ("--dt", "1", "--reset", "zero")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stop:
        main(["import", network, "out.npz", "--input", "2,4,4", "--ticks", "4", *equations, *more])
    error = capsys.readouterr().err.strip()
    assert stop.value.code == 2
    assert re.search(line, error), error
    assert error.startswith("uticket: error: ")
    assert "\n" not in error
    after = sorted(path for path in tmp_path.iterdir() if path.name != "__pycache__")
    assert after == before


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"shape": (2, 0, 4)}, "input = 2,0,4; allowed: channels, height, width, at least 1 each"),
        ({"shape": (1, 2, 4, 4)}, "input = 1,2,4,4; allowed: channels, height, width"),
        ({"ticks": 0}, "ticks = 0; allowed: a whole number, at least 1"),
        ({"ticks": 2.5}, "ticks = 2.5; allowed: a whole number"),
        ({"dt": float("nan")}, "dt = nan; allowed: above 0"),
        ({"reset": "soft"}, "reset = 'soft'; allowed: zero, subtract, late"),
        ({"start": "third"}, "start = 'third'; allowed: zero, half"),
    ],
)
def test_options_that_cannot_be(changed, line):
    """By the Python door, too, which no parser of options stands before."""
    with pytest.raises(Refused, match=f"^{line}"):
        Options(**{"shape": (2, 4, 4), "ticks": 4, "dt": 1.0} | changed)
