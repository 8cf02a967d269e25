"""`uticket unpack`: what the hardware computes, in NumPy arrays, for anyone to recompute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np

    from sw.quantize import IntegerNetwork


@click.command()
@click.argument("ticket", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def command(ticket: Path, out: Path) -> None:
    """Write the folded float and the integer network of TICKET to OUT (.npz).

    docs/formats.md lists the arrays. They are in the network's own channel order.
    """
    from sim.files import write_npz
    from sw.quantize import quantize, ticket_config
    from sw.ticket import load

    loaded = load(ticket)
    write_npz(out, unpacked(quantize(loaded, ticket_config(loaded))))
    click.echo(f"{out}: {len(loaded.layers)} layers")


def unpacked(network: IntegerNetwork) -> dict[str, np.ndarray]:
    """The arrays of the file, by name (design, section 7)."""
    import json

    import numpy as np

    first = network.layers[0].name
    arrays = {f"{first}.weight": network.first_weight, f"{first}.bias": network.first_bias}
    for integer in network.array:
        name = integer.layer.name
        arrays[f"{name}.weight"] = integer.float_weight
        arrays[f"{name}.bias"] = integer.float_bias
        arrays[f"{name}.weight_int"] = integer.weight
        arrays[f"{name}.bias_int"] = integer.bias
        if integer.threshold is not None:
            arrays[f"{name}.threshold_int"] = integer.threshold
        arrays[f"{name}.scale"] = integer.scale
        if integer.shortcut is not None:
            arrays[f"{name}.shortcut_int"] = integer.shortcut
    arrays["network"] = np.array(json.dumps([layer.to_dict() for layer in network.layers]))
    return arrays
