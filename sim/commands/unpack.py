"""`uticket unpack`: what the hardware computes, in NumPy arrays, for anyone to recompute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np

    from sw.integers import IntegerNetwork


@click.command()
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--method", help="Of a name or a YAML: uticket, lth, ... [default: its first]")
def command(model: str, out: Path, method: str | None) -> None:
    """Write the folded float and the integer network of MODEL's ticket to OUT (.npz).

    MODEL is a name of tickets/, a YAML or a ticket. docs/formats.md lists the arrays. They are in the network's own channel order.
    """
    from sim.catalog import ticket_path
    from support.files import write_npz
    from sw.quantize import quantize, ticket_config
    from sw.ticket import load

    loaded = load(ticket_path(model, method))
    write_npz(out, unpacked(quantize(loaded, ticket_config(loaded))))
    click.echo(f"{out}: {len(loaded.parameters)} layers")


def unpacked(network: IntegerNetwork) -> dict[str, np.ndarray]:
    """The arrays of the file, by name (docs/formats.md)."""
    import json

    import numpy as np

    from hw.neuron import PAPER
    from hw.program import NEURON
    from sw.ticket_v1 import rows_of

    arrays: dict[str, np.ndarray] = {}
    if network.host is not None:
        first = network.host.layer.name
        arrays = {f"{first}.weight": network.host.weight, f"{first}.bias": network.host.bias}
    for layer in network.array:
        for source in layer.learned:
            own, name = source is layer.own, source.name
            arrays[f"{name}.weight"] = source.float_weight
            arrays[f"{name}.bias"] = layer.float_bias if own else np.zeros_like(layer.float_bias)
            arrays[f"{name}.weight_int"] = source.weight
            arrays[f"{name}.bias_int"] = layer.bias if own else np.zeros_like(layer.bias)
            if own and layer.threshold is not None:
                arrays[f"{name}.threshold_int"] = layer.threshold
                if layer.neuron != PAPER:
                    code = layer.neuron.code
                    told = [code[key] for key, _ in NEURON]
                    arrays[f"{name}.neuron_int"] = np.array(told, np.int64)
            arrays[f"{name}.scale"] = layer.scale
        for identity in layer.identities:
            arrays[f"{layer.name}.shortcut_int"] = identity.weight
    arrays["network"] = np.array(json.dumps(rows_of(network.description)))
    return arrays
