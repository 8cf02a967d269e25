"""CPU time of `uticket check` and `uticket import` on a VGG-16 of SpikingJelly: `benchmarks/import_network.py`.

CPU seconds of whole processes, start and all imports included, so that other work on the machine hardly matters.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = """
import torch
from spikingjelly.activation_based import functional, layer, neuron

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)

def dense(kept=1.0):
    torch.manual_seed(0)
    parts, inputs = [], 3
    for width in WIDTHS:
        if not width:
            parts.append(layer.MaxPool2d(2, 2))
            continue
        conv = layer.Conv2d(inputs, width, 3, padding=1, bias=False)
        conv.weight.data *= torch.rand(conv.weight.shape) < kept
        parts += [conv, layer.BatchNorm2d(width), neuron.LIFNode(tau=4 / 3)]
        inputs = width
    end = layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Linear(512, 10)
    module = torch.nn.Sequential(*parts, *end)
    functional.set_step_mode(module, "m")
    return module

def sparse():
    return dense(0.02)
"""
GIVEN = ("--input", "3,32,32", "--ticks", "4")


def cpu_seconds(folder: Path, *arguments: str) -> float:
    """Of a `uticket` command, which must succeed."""
    before = os.times()
    command = [sys.executable, "-m", "sim.cli", *arguments, *GIVEN]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])  # of children


def main() -> None:
    """Print all four."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vgg16.py").write_text(MODEL)
        for kind in ("dense", "sparse"):
            network = f"vgg16.py:{kind}"
            print(f"{kind}: check {cpu_seconds(folder, 'check', network):.1f} s")
            print(f"{kind}: import {cpu_seconds(folder, 'import', network, 'out.npz'):.1f} s")


if __name__ == "__main__":
    main()
