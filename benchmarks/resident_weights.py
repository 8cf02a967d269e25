"""What it brings that late layers' weights are loaded once for a batch of images, at each width of the stream.

    python benchmarks/resident_weights.py [MODEL ...] [--images 8] [--depths 512 1024 2048]

The cycle model, from the golden model's spikes: cycles of an image alone, its input included; of images in a row whose next
input comes early; then, of images in batches, where the spike buffer of so many words a bank has room for one. Of a row and of
batches it is all cycles from the first image's input to the last one's end, over the images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hw.config import Config
from sim.catalog import load_model
from sim.deployment import Deployment, deployments
from sim.models.cycles import input_cycles
from sim.models.event_cycles import EventModel
from sim.rtl.batches import batch_cycles, batch_of, predict_batches
from sim.rtl.rows import event_program, row_program
from sim.rtl.runner import stored_maps
from sw import golden
from sw.event.batch import Batch, batch_from
from sw.limits import DoesNotFit

MODELS = ("vgg16_cifar10", "resnet19_cifar10", "vgg16_fashion_mnist")
SIZES = (2, 4, 8)
COLUMNS = ("resident", "inputs early", "beats an image", "cycles an image", "less")


def rows(one: Deployment, count: int, *, each: bool) -> Iterator[list[str]]:
    """Of a deployment: alone, in a row, and in batches; means over `count` images. each: with any first resident layer."""
    spikes = list(one.spikes(one.test_images(count)[0]))
    loaded, program = one.loaded, event_program(one.program)
    maps = [stored_maps(loaded, image, golden.run(one.network, image)) for image in spikes]
    alone = np.mean(
        [
            input_cycles(program, image)
            + sum(layer.cycles for layer in loaded.event_model.predict(seen))
            for image, seen in zip(spikes, maps, strict=True)
        ]
    )
    yield ["alone", "", "", f"{len(program.layer_beats):,}", f"{alone:,.0f}", ""]
    row = EventModel(row_program(program)).predict_row(maps)
    period = sum(image.period for image in row) / count
    beats = f"{len(program.layer_beats):,}"
    yield ["in a row", "", "all", beats, f"{period:,.0f}", f"{100 * (1 - period / alone):.1f} %"]
    for size in SIZES:
        if count % size:
            continue
        for batch in _batches(one, size, each=each):
            found = predict_batches(batch, maps)
            mean = sum(batch_cycles(batch, [run.period for run in found])) / count
            yield [
                f"batches of {size}",
                f"{batch.layers[0].name} on",
                ("all" if batch.programs[-1].early else "but the first") if batch.early else "none",
                f"{batch.beats / size:,.0f}",
                f"{mean:,.0f}",
                f"{100 * (1 - mean / alone):.1f} %",
            ]


def _batches(one: Deployment, size: int, *, each: bool) -> Iterator[Batch]:
    program = event_program(one.program)
    if not each:
        try:
            yield batch_of(one.loaded, size)
        except DoesNotFit:
            return
        return
    for first in range(len(program.layers)):
        try:
            yield batch_from(program, size, first)
        except DoesNotFit:
            continue


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--depths", type=int, nargs="*", default=(512, 1024, 2048))
    parser.add_argument("--bits", type=int, nargs="*", default=(64, 128, 256))
    parser.add_argument("--each", action="store_true", help="every first resident layer that fits")
    options = parser.parse_args()
    print(
        f"| stream, buffer_depth | images | {' | '.join(COLUMNS)} |\n|---|---{'|---' * len(COLUMNS)}|"
    )
    for model in options.models:
        chosen = load_model(model)
        for bits in options.bits:
            for depth in options.depths:
                config: Config = replace(
                    chosen.hardware, machine="event", stream_bits=bits, buffer_depth=depth
                )
                (one,) = deployments(chosen, [chosen.methods["uticket"]], config)
                for cells in rows(one, options.images, each=options.each):
                    name = f"{model}, {bits} bits, {depth}"
                    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
