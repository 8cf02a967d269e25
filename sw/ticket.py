"""The ticket file: a trained sparse network with its metadata, in one `.npz` (docs/formats.md).

Nothing in it is pickled; `numpy.load` alone reads it. `load` trusts nothing: whatever is missing,
damaged, out of range or contradictory is a ValueError of one line that names file, array and value.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from pydantic import TypeAdapter

from sw import archive, ticket_v1
from sw.balance import filter_nnz
from sw.layers import Encoding, Layer, Network, Source, refuse
from sw.ticket_metadata import FORMAT, VERSION, Metadata, MetadataV2, checked

NOT_MEASURED = -1.0  # in `history.<layer>.input_sparsity`


@dataclass(frozen=True)
class Norm:
    """Batch norm y = (x - mean) / sqrt(var + eps) * weight + bias, float32 arrays (K,)."""

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    eps: float


@dataclass(frozen=True)
class Parameters:
    """What training found for one source of a layer."""

    layer: Layer
    source: Source
    weight: np.ndarray  # float32, source.weight_shape, 0 outside the mask
    mask: np.ndarray  # bool, the same shape; all True for a layer that runs in software
    bias: np.ndarray  # float32 (K,)
    norm: Norm | None  # None: no batch norm

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name


@dataclass(frozen=True)
class Ticket:
    """The content of a ticket file. `metadata` is what `uticket show` prints (docs/formats.md)."""

    metadata: dict[str, Any]
    network: Network
    parameters: tuple[Parameters, ...]  # in the order of `Network.sources`
    history_nnz: dict[str, np.ndarray]  # source on the array -> int32 (rounds, K)
    history_input_sparsity: dict[str, np.ndarray]  # float32 (rounds,), NOT_MEASURED where unknown
    version: int = VERSION  # of the file that it was read from

    @property
    def array(self) -> tuple[Parameters, ...]:
        """Of the layers that the array runs."""
        return self.parameters if self.network.host is None else self.parameters[1:]

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """Masks of the sources that the array runs, by name."""
        return {p.name: p.mask for p in self.array}


def counts(masks: dict[str, np.ndarray]) -> dict[str, Any]:
    """The metadata that follows from the masks: `nnz` and `weight_sparsity` (docs/report.md)."""
    nnz = sum(int(np.count_nonzero(m)) for m in masks.values())
    return {"nnz": nnz, "weight_sparsity": 1 - nnz / sum(m.size for m in masks.values())}


def save(ticket: Ticket, path: Path) -> None:
    """Write a ticket atomically; equal tickets give equal bytes.

    Raises ValueError where `load` would refuse the result, and then leaves `path` as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as f:
            archive.write(f, _arrays(ticket))
        load(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Ticket:
    """Read and check a ticket. Raises ValueError (one line) for anything but a valid ticket."""
    path = Path(path)
    arrays = _read(path)
    return _Check(path.name, arrays).ticket()


def _arrays(ticket: Ticket) -> dict[str, Any]:
    """The arrays of the file, by name."""
    arrays: dict[str, Any] = {}
    host = ticket.network.host
    for p in ticket.parameters:
        name = p.name
        if host is not None and p.layer.name == host.name:
            arrays[f"{name}.weight"] = p.weight.astype(np.float32)
        else:
            index = np.flatnonzero(p.mask)
            arrays[f"{name}.index"] = index.astype(np.int32)
            arrays[f"{name}.value"] = p.weight.ravel()[index].astype(np.float32)
            if ticket.metadata.get("rounds"):
                nnz, share = ticket.history_nnz[name], ticket.history_input_sparsity[name]
                arrays[f"history.{name}.nnz"] = nnz.astype(np.int32)
                arrays[f"history.{name}.input_sparsity"] = share.astype(np.float32)
        arrays[f"{name}.bias"] = p.bias.astype(np.float32)
        if p.norm is not None:
            for part in ("weight", "bias", "mean", "var"):
                arrays[f"{name}.norm.{part}"] = getattr(p.norm, part).astype(np.float32)
            arrays[f"{name}.norm.eps"] = np.array(p.norm.eps, np.float64)
    content = public_metadata(replace(ticket, version=VERSION)) | described(ticket.network)
    arrays["metadata"] = np.array(json.dumps(content, sort_keys=True, allow_nan=False))
    return arrays


def described(network: Network) -> dict[str, Any]:
    """`input` and `layers` of the metadata, plain."""
    content = TypeAdapter(Network).dump_python(network, mode="json")
    return {"input": content["input"], "layers": content["layers"]}


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with archive.opened(path) as file:
            if "metadata" not in file.names:
                raise ValueError(f"{path.name}: metadata is missing; is this a ticket?")
            return {name: file[name] for name in file.names}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: a folder, allowed: a ticket file (.npz)") from None
    except archive.Unreadable as error:
        raise ValueError(f"{path.name}: not a ticket file, or a damaged one ({error})") from None


def check_network(network: Network) -> None:
    """Raises ValueError, naming field and value, unless the input is complete and the layers meet."""
    seen = network.input
    if seen.encoding is Encoding.IMAGE:
        for what, values in (("mean", seen.mean), ("std", seen.std)):
            if values is None or len(values) != seen.shape[0]:
                refuse(f"input.{what}", values, f"{seen.shape[0]} numbers, one a channel")
    elif seen.mean is not None or seen.std is not None:
        refuse("input.mean", seen.mean, "null for spikes, as std")
    network.shapes()
    host = network.host
    if host and (len(host.sources) > 1 or host.neuron is None or host.reduce):
        refuse("layers[0]", host.name, "one source and neurons, since it runs in software")
    for number, layer in enumerate(network.layers[:-1]):
        if layer.neuron is None:
            refuse(f"layers[{number}].neuron", None, "a neuron; the last layer alone has none")
    if not network.array:
        refuse("layers", f"{len(network.layers)} layer", "one that the array runs")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class _Check:
    """Builds a Ticket out of a file's arrays, refusing whatever it cannot vouch for."""

    def __init__(self, file: str, arrays: dict[str, np.ndarray]) -> None:
        self.file, self.arrays, self.used = file, arrays, {"metadata"}

    def refuse(self, what: str, value: object, allowed: str) -> NoReturn:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        raise ValueError(f"{self.file}: {what} = {shown}, allowed: {allowed}")

    def ticket(self) -> Ticket:
        version, content, network = self.metadata()
        rounds, history = content.rounds, content.history
        if len(history) != rounds:
            self.refuse("metadata.history", f"{len(history)} rounds", f"{rounds} rounds")
        parameters = tuple(
            self.parameters(layer, source, host=layer is network.host, old=version == 1)
            for layer, source in network.sources()
        )
        metadata = content.model_dump(exclude_unset=True, exclude={"input", "layers"})
        metadata = {k: v for k, v in metadata.items() if v is not None}
        metadata |= {"rounds": rounds, "history": history}
        ticket = Ticket(metadata, network, parameters, {}, {}, version)
        for p in ticket.array:
            ticket.history_nnz[p.name] = self.history_nnz(p, rounds)
            ticket.history_input_sparsity[p.name] = self.history_input_sparsity(p, rounds)
        for name in self.arrays:
            if name not in self.used:
                raise ValueError(f"{self.file}: {name} is no array of this network's ticket")
        for name, value in counts(ticket.masks).items():
            if not math.isclose(metadata.setdefault(name, value), value, rel_tol=0, abs_tol=1e-9):
                self.refuse(f"metadata.{name}", metadata[name], f"{value}, by the masks")
        leaks = {layer.neuron.leak for layer in network.layers if layer.neuron}
        if len(leaks) == 1 and metadata.setdefault("leak", *leaks) not in leaks:
            self.refuse("metadata.leak", metadata["leak"], f"{leaks.pop()}, as of the neurons")
        return ticket

    def metadata(self) -> tuple[int, Metadata, Network]:
        """Version, content and network."""
        text = self.arrays["metadata"]
        if text.dtype.kind != "U" or text.ndim:
            self.refuse("metadata", text.dtype.str, "one string")
        try:
            content = json.loads(
                str(text),
                parse_constant=_no_constant,
                parse_float=_finite,
                object_pairs_hook=_each_once,
            )
            json.dumps(content, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.file}: metadata is not JSON ({error})") from None
        if not isinstance(content, dict):
            self.refuse("metadata", content, "a JSON object")
        if content.pop("format", None) != FORMAT:
            raise ValueError(f"{self.file}: metadata.format is missing or not {FORMAT!r}")
        version = content.pop("version", None)
        try:
            if version == 1:
                old = checked(ticket_v1.MetadataV1, json.dumps(content), "metadata")
                network = ticket_v1.network(old)
                network.shapes()
                return 1, old, network
            if version == VERSION:
                new = checked(MetadataV2, json.dumps(content), "metadata")
                network = Network(input=new.input, layers=tuple(new.layers))
                check_network(network)
                return VERSION, new, network
        except ValueError as error:
            prefix = "" if str(error).startswith("metadata") else "metadata."
            raise ValueError(f"{self.file}: {prefix}{error}") from None
        return self.refuse("metadata.version", version, f"1, {VERSION}")

    def array(self, name: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """An array of dtype kind "i" or "f" and a shape in which None is any length."""
        if name not in self.arrays:
            raise ValueError(f"{self.file}: {name} is missing")
        self.used.add(name)
        a = self.arrays[name]
        if a.dtype.kind != kind:
            self.refuse(f"{name}.dtype", str(a.dtype), {"i": "integers", "f": "floats"}[kind])
        if a.ndim != len(shape) or any(
            want not in (None, n) for n, want in zip(a.shape, shape, strict=True)
        ):
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
            self.refuse(f"{name}.shape", a.shape, wanted)
        self.demand(name, a, np.isfinite(a), "finite numbers")
        return a

    def demand(self, name: str, a: np.ndarray, valid: np.ndarray, allowed: str) -> None:
        """Refuse the first element of `a` that is not `valid`."""
        if not np.all(valid):
            where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(valid))[0])
            self.refuse(f"{name}{list(where)}", np.atleast_1d(a)[where].item(), allowed)

    def parameters(self, layer: Layer, source: Source, *, host: bool, old: bool) -> Parameters:
        """host: it runs in software. old: of version 1, where every convolution has a batch norm."""
        name, shape = source.name, source.weight_shape(layer.filters)
        if host:
            weight = self.array(f"{name}.weight", "f", shape)
            mask = np.ones(shape, bool)
        else:
            index = self.array(f"{name}.index", "i", (None,))
            size = math.prod(shape)
            self.demand(f"{name}.index", index, (index >= 0) & (index < size), f"0 to {size - 1}")
            ascending = np.diff(index, prepend=-1) > 0
            self.demand(f"{name}.index", index, ascending, "ascending, no duplicates")
            weight, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
            weight.flat[index] = self.array(f"{name}.value", "f", (len(index),))
            mask.flat[index] = True
        bias = self.array(f"{name}.bias", "f", (layer.filters,))
        norm = None
        if any(other.startswith(f"{name}.norm.") for other in self.arrays):
            parts = {
                part: self.array(f"{name}.norm.{part}", "f", (layer.filters,))
                for part in ("weight", "bias", "mean", "var")
            }
            self.demand(f"{name}.norm.var", parts["var"], parts["var"] >= 0, "at least 0")
            eps = self.array(f"{name}.norm.eps", "f", ())
            self.demand(f"{name}.norm.eps", eps, eps > 0, "above 0")
            norm = Norm(**parts, eps=float(eps))
        elif old and source.kernel is not None:
            raise ValueError(f"{self.file}: {name}.norm.weight is missing")
        return Parameters(layer, source, weight, mask, bias, norm)

    def history_nnz(self, p: Parameters, rounds: int) -> np.ndarray:
        name = f"history.{p.name}.nnz"
        if not rounds and name not in self.arrays:
            return np.zeros((0, p.layer.filters), np.int32)
        nnz = self.array(name, "i", (rounds, p.layer.filters))
        most = p.weight[0].size
        self.demand(name, nnz, (nnz >= 0) & (nnz <= most), f"0 to {most}")
        last = filter_nnz(p.mask)
        if rounds:
            self.demand(name, nnz, (nnz == last) | _not_last(rounds), "in the end, the mask's nnz")
        return nnz

    def history_input_sparsity(self, p: Parameters, rounds: int) -> np.ndarray:
        name = f"history.{p.name}.input_sparsity"
        if not rounds and name not in self.arrays:
            return np.zeros(0, np.float32)
        share = self.array(name, "f", (rounds,))
        valid = ((share >= 0) & (share <= 1)) | (share == NOT_MEASURED)
        self.demand(name, share, valid, f"0 to 1, or {NOT_MEASURED:g} (not measured)")
        return share


def _not_last(rounds: int) -> np.ndarray:
    """Boolean (rounds, 1): True for every row but the last."""
    return (np.arange(rounds) < rounds - 1)[:, None]


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is too large")
    return float(text)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return found


def public_metadata(ticket: Ticket) -> dict[str, Any]:
    """Metadata with the format's name and version first, as `uticket show` prints it."""
    return {"format": FORMAT, "version": ticket.version, **ticket.metadata}
