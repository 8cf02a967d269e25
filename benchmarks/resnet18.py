"""A spiking ResNet-18 of full width through the event machine: its cycles, and how often it fires as its framework.

    python benchmarks/resnet18.py [--images 2] [--sparsity 0.95]

Built by SpikingJelly for images of 32x32: 64 to 512 channels, shortcuts that add currents, seeded weights, pruned by
magnitude. Of the first image every spike and every cycle of the RTL is compared with the models'.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from hw.config import Config
from sim.deployment import Deployment
from sim.equivalence import compare, framework_spikes
from sim.rtl.harness import Rtl
from sim.rtl.runner import ImageResult
from sw.importers import door
from sw.importers.torch import from_module
from sw.ticket import counts
from tests.zoo import ZOO, resnet18

HARDWARE = Config(machine="event", buffer_depth=1024)  # three maps of 64x32x32


def total(image: ImageResult) -> int:
    """Cycles, the input included."""
    return image.input_cycles + sum(image.cycles)


def main() -> None:
    """Print agreement, cycles, and what took how long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--sparsity", type=float, default=0.95)
    given = parser.parse_args()
    entry = replace(ZOO["ResNet-18"], make=resnet18, sparsity=given.sparsity)
    started = time.process_time()

    def tell(what: str) -> None:
        print(f"{time.process_time() - started:7.1f} CPU s: {what}", flush=True)

    module = entry.module()
    network = door.imported(
        from_module(module, entry.options), entry.options, door.Scaling(), HARDWARE
    )
    ticket = network.ticket()
    counted = counts(ticket.masks)
    tell(f"imported, {counted['nnz']:,} weights, sparsity {counted['weight_sparsity']:.4f}")
    images = entry.images(given.images)
    known, framework = framework_spikes(network, images)
    found = compare(network, ticket, images, known=known, against=framework)
    tell(f"{found['spikes_equal']:.6%} of the spikes equal {framework}'s, {found}")
    deployed = Deployment(ticket=ticket, config=HARDWARE, method="resnet18")
    predicted = deployed.predict(images)
    for image in predicted.images:
        tell(f"models: {total(image):,} cycles, {sum(image.accumulates):,} accumulates")
    with Rtl(HARDWARE) as rtl:
        tell("the RTL is built")
        run = deployed.run(images[:1], rtl=rtl, jobs=1)
    (image,) = run.images
    tell(f"RTL: {total(image):,} cycles; first difference: {run.mismatch}")
    names = (layer.integer.layer.name for layer in deployed.program.layers)
    for name, cycles in zip(names, image.cycles, strict=True):
        print(f"{name:20} {cycles:12,}")


if __name__ == "__main__":
    main()
