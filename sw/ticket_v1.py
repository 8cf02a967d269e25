"""Metadata of a version-1 ticket: one row a convolution, strings for shortcuts; read for ever, never written.

Version 1 knew images of 32x32 of three data sets, one leak for all neurons, and no layer without a
batch norm but the classifier. `network` and `rest` turn it into what version 2 says.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hw.neuron import trained
from sw import networks
from sw.fields import STRICT, Leak, Name, Whole
from sw.layers import Layer, Network, Pool, Reduce, Source, identity, refuse
from sw.ticket_metadata import History, Metadata
from sw.trained_neuron import TrainedNeuron

Side = Annotated[Literal[1, 3], Field(description="1 or 3")]


class Row(BaseModel):
    """A convolution or linear map of version 1."""

    model_config = STRICT

    name: Name
    kind: Annotated[Literal["conv", "linear"], Field(description="conv, linear")]
    in_channels: Whole
    out_channels: Whole
    kernel: Side
    stride: Annotated[Literal[1, 2], Field(description="1 or 2")]
    padding: Annotated[Literal[0, 1], Field(description="0 or 1")]
    pool: Annotated[Literal["max2", "avg"] | None, Field(description="null, max2, avg")]
    input: Annotated[Name, Field(description="a layer's name")]
    shortcut: Annotated[
        Literal["identity", "conv"] | None, Field(description="null, identity, conv")
    ]
    shortcut_input: Annotated[Name | None, Field(description="null or a layer's name")]


class MetadataV1(Metadata):
    """All fields that version 2 leaves open were there."""

    network: Name
    dataset: Annotated[
        Literal["cifar10", "fashion_mnist", "svhn"],
        Field(description="cifar10, fashion_mnist, svhn"),
    ]
    method: Name
    schedule: Name
    policy: Annotated[
        Literal["none", "sort", "random", "magnitude"],
        Field(description="none, sort, random, magnitude"),
    ]
    n_pe: Whole
    leak: Leak
    seed: Annotated[int, Field(ge=0, description="a whole number, at least 0")]
    rounds: Annotated[int, Field(ge=0, description="a whole number, at least 0")]
    epochs: Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number, at least 0")]
    images_seen: Annotated[int, Field(ge=0, description="a whole number, at least 0")]
    rewound: Annotated[bool, Field(description="true or false")]
    nnz: Annotated[int, Field(ge=0, description="a whole number, at least 0")]
    weight_sparsity: Annotated[float, Field(ge=0, le=1, description="0 to 1")]
    accuracy: Annotated[float, Field(ge=0, le=1, description="0 to 1")]
    accuracy_quantized: Annotated[float, Field(ge=0, le=1, description="0 to 1")]
    test_images: Whole
    date: Annotated[Name, Field(description="a date")]
    versions: Annotated[dict[str, Name], Field(description="name: version")]
    history: History
    layers: Annotated[list[Row], Field(min_length=2, description="a list of at least two layers")]


def network(content: MetadataV1) -> Network:
    """The network of version-1 metadata. Raises ValueError, naming field and value, for rows that do not meet."""
    rows = {row.name: row for row in content.layers}
    hosts = {row.shortcut_input: row.name for row in content.layers if row.shortcut == "conv"}
    known: list[str] = []
    for i, row in enumerate(content.layers):
        _check(f"layers[{i}]", row, known, rows, hosts)
        known.append(row.name)
    if content.layers[0].kind != "conv" or content.layers[-1].kind != "linear":
        refuse("layers", content.layers[-1].kind, "from a convolution to a classifier")
    hardware = trained(content.leak)
    gain = hardware.gain if hardware else 1 - content.leak or 1.0
    neuron = TrainedNeuron(leak=content.leak, gain=gain)
    layers = [
        _layer(row, rows, neuron if row is not content.layers[-1] else None)
        for row in content.layers
        if row.name not in hosts
    ]
    return Network(input=networks.images(content.dataset), layers=tuple(layers))


def _check(
    where: str, row: Row, known: list[str], rows: dict[str, Row], hosts: dict[str | None, str]
) -> None:
    """Refuse a row that contradicts those before it."""
    for what, source in (("input", row.input), ("shortcut_input", row.shortcut_input)):
        if source is not None and source not in (known or ["image"]):
            earlier = "an earlier layer: " + ", ".join(known or ["image"])
            refuse(f"{where}.{what}", source, earlier)
    if row.name in known:
        refuse(f"{where}.name", row.name, "a name no other layer has")
    if (row.shortcut is None) != (row.shortcut_input is None):
        refuse(f"{where}.shortcut_input", row.shortcut_input, "a layer with a shortcut, else null")
    if row.shortcut_input in known and row.shortcut is not None:
        added = rows[row.shortcut_input]
        plain = added.kind == "conv" and added.pool is None and added.shortcut is None
        if row.shortcut == "conv" and (added.name == known[0] or not plain):
            refuse(f"{where}.shortcut_input", added.name, "a convolution without pool or shortcut")
        if row.shortcut == "conv" and hosts[added.name] != row.name:
            refuse(f"{where}.shortcut_input", added.name, "a convolution that no other layer adds")
        if row.shortcut == "identity" and added.name in hosts:
            refuse(f"{where}.shortcut_input", added.name, "a layer with neurons")
    if row.input in hosts:
        refuse(f"{where}.input", row.input, "a layer with neurons")
    if row.input in rows and row.kind == "conv":
        given = rows[row.input].out_channels
        if row.in_channels != given:
            refuse(f"{where}.in_channels", row.in_channels, f"{given}, as its input gives")


def _source(row: Row) -> Source:
    if row.kind == "linear":
        return Source(name=row.name, map=row.input, channels=row.in_channels)
    return Source(
        name=row.name,
        map=row.input,
        channels=row.in_channels,
        kernel=(row.kernel, row.kernel),
        stride=row.stride,
        padding=row.padding,
    )


def _layer(row: Row, rows: dict[str, Row], neuron: TrainedNeuron | None) -> Layer:
    sources = [_source(row)]
    if row.shortcut == "conv" and row.shortcut_input is not None:
        sources.append(_source(rows[row.shortcut_input]))
    elif row.shortcut == "identity" and row.shortcut_input is not None:
        sources.append(identity(f"{row.name}_identity", row.shortcut_input, row.out_channels))
    return Layer(
        name=row.name,
        filters=row.out_channels,
        sources=tuple(sources),
        reduce=Reduce.MEAN if row.pool == "avg" else None,
        neuron=neuron,
        pool=Pool.MAX2 if row.pool == "max2" else None,
    )


def rows_of(network: Network) -> list[dict[str, Any]]:
    """The rows of a network as version 1 and `uticket unpack` list them."""
    rows = []
    for layer in network.layers:
        for source in layer.learned:
            own = source is layer.own
            others = [other for other in layer.sources if other is not source] if own else []
            tall, wide = source.kernel or (1, 1)
            rows.append(
                {
                    "name": source.name,
                    "kind": "linear" if source.kernel is None else "conv",
                    "in_channels": source.channels,
                    "out_channels": layer.filters,
                    "kernel": tall if tall == wide else [tall, wide],
                    "stride": source.stride,
                    "padding": source.padding,
                    "pool": ("avg" if layer.reduce else layer.pool) if own else None,
                    "input": source.map,
                    "shortcut": ("identity" if others[0].identity else "conv") if others else None,
                    "shortcut_input": (others[0].map if others[0].identity else others[0].name)
                    if others
                    else None,
                }
            )
    return rows
