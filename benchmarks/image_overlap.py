"""What it brings that the next image's input comes while this one's layers run, at each width of the stream.

    python benchmarks/image_overlap.py [MODEL ...] [--images 10]

The cycle model, from the golden model's spikes: cycles of an image alone, its input included; then, of images in a row but for the
first and the last, cycles from the end of one to the end of the next, and from the first beat of its input to its end.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from hw.config import Config
from sim.catalog import load_model
from sim.deployment import Deployment, deployments
from sim.models.cycles import input_cycles
from sim.models.event_cycles import EventModel
from sim.rtl.rows import row_program
from sim.rtl.runner import stored_maps
from sw import golden

MODELS = ("vgg16_cifar10", "resnet19_cifar10", "vgg16_fashion_mnist")
COLUMNS = ("alone", "of it input", "a period", "less", "input to end")


def row(one: Deployment, count: int) -> list[str]:
    """Of a deployment: means over images 1 to `count` - 2."""
    program = row_program(one.program)
    spikes = list(one.spikes(one.test_images(count)[0]))
    loaded = one.loaded
    maps = [stored_maps(loaded, each, golden.run(one.network, each)) for each in spikes]
    inputs = np.mean([input_cycles(program, each) for each in spikes[1:-1]])
    alone = inputs + np.mean(
        [sum(layer.cycles for layer in loaded.event_model.predict(each)) for each in maps[1:-1]]
    )
    found = EventModel(program).predict_row(maps)[1:-1]
    period = np.mean([image.period for image in found])
    latency = np.mean([image.latency for image in found])
    saved = f"{100 * (1 - period / alone):.1f} %"
    return [f"{alone:,.0f}", f"{inputs:,.0f}", f"{period:,.0f}", saved, f"{latency:,.0f}"]


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=10)
    options = parser.parse_args()
    print(f"| stream | {' | '.join(COLUMNS)} |\n|---{'|---' * len(COLUMNS)}|")
    for model in options.models:
        chosen = load_model(model)
        kinds: list[tuple[str, Config]] = [
            (f"{bits} bits", replace(chosen.hardware, machine="event", stream_bits=bits))
            for bits in (64, 128, 256)
        ]
        larger = replace(kinds[-1][1], buffer_depth=2 * chosen.hardware.buffer_depth)
        kinds.append((f"256 bits, buffer_depth {larger.buffer_depth}", larger))
        for name, config in kinds:
            (one,) = deployments(chosen, [chosen.methods["uticket"]], config)
            print(f"| {model}, {name} | {' | '.join(row(one, options.images))} |", flush=True)


if __name__ == "__main__":
    main()
