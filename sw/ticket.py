"""The ticket file: a trained sparse network with its metadata, in one `.npz` (docs/formats.md).

Nothing in it is pickled; `numpy.load` alone reads it. `load` trusts nothing: whatever is missing,
damaged, out of range or contradictory is a ValueError of one line that names file, array and value.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sw.balance import POLICIES, filter_nnz
from sw.datasets import STATISTICS
from sw.networks import Layer

FORMAT = "uticket-ticket"
VERSION = 1
NOT_MEASURED = -1.0  # in `history.<layer>.input_sparsity`
# What NumPy and zipfile raise for a damaged file.
UNREADABLE = (
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    KeyError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


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
    """What training found for one layer."""

    layer: Layer
    weight: np.ndarray  # float32, layer.weight_shape, 0 outside the mask
    mask: np.ndarray  # bool, the same shape; all True for the first layer
    bias: np.ndarray  # float32 (K,)
    norm: Norm | None  # None: no batch norm (the classifier)


@dataclass(frozen=True)
class Ticket:
    """The content of a ticket file. `metadata` is what `uticket show` prints (docs/formats.md)."""

    metadata: dict[str, Any]
    parameters: tuple[Parameters, ...]  # in execution order, the first layer included
    history_nnz: dict[str, np.ndarray]  # array layer -> int32 (rounds, K)
    history_input_sparsity: dict[str, np.ndarray]  # float32 (rounds,), NOT_MEASURED where unknown

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers, in execution order."""
        return tuple(p.layer for p in self.parameters)

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """Masks of the layers that the array runs (all after the first), by name."""
        return {p.layer.name: p.mask for p in self.parameters[1:]}


def counts(masks: dict[str, np.ndarray]) -> dict[str, Any]:
    """The metadata that follows from the masks: `nnz` and `weight_sparsity` (design, section 2)."""
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
            np.savez_compressed(f, **_arrays(ticket))
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
    for number, p in enumerate(ticket.parameters):
        name = p.layer.name
        if number == 0:
            arrays[f"{name}.weight"] = p.weight.astype(np.float32)
        else:
            index = np.flatnonzero(p.mask)
            arrays[f"{name}.index"] = index.astype(np.int32)
            arrays[f"{name}.value"] = p.weight.ravel()[index].astype(np.float32)
            arrays[f"history.{name}.nnz"] = ticket.history_nnz[name].astype(np.int32)
            arrays[f"history.{name}.input_sparsity"] = ticket.history_input_sparsity[name].astype(
                np.float32
            )
        arrays[f"{name}.bias"] = p.bias.astype(np.float32)
        if p.norm is not None:
            for part in ("weight", "bias", "mean", "var"):
                arrays[f"{name}.norm.{part}"] = getattr(p.norm, part).astype(np.float32)
            arrays[f"{name}.norm.eps"] = np.array(p.norm.eps, np.float64)
    content = {
        "format": FORMAT,
        "version": VERSION,
        **ticket.metadata,
        "layers": [layer.to_dict() for layer in ticket.layers],
    }
    arrays["metadata"] = np.array(json.dumps(content, sort_keys=True, allow_nan=False))
    return arrays


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as f:  # numpy.load leaks the file it opens when that is damaged
            file = np.load(f, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            arrays = {name: file[name] for name in file.files}
            if not all(isinstance(a, np.ndarray) for a in arrays.values()):
                raise ValueError("a member is no array")
            return arrays
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: a folder, allowed: a ticket file (.npz)") from None
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name}: not a ticket file, or a damaged one ({reason})") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _whole(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _number(low: float, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda v: (
        isinstance(v, int | float)
        and not isinstance(v, bool)
        and math.isfinite(v)
        and low <= v <= high
    )


def _text(v: Any) -> bool:
    return isinstance(v, str) and bool(v)


def _one_of(*allowed: Any) -> Callable[[Any], bool]:
    return lambda v: type(v) in (str, int) and v in allowed


# Contract, section 5 of the design, and what else tells a reader how the ticket came about.
METADATA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "network": (_text, "a name"),
    "dataset": (_one_of(*STATISTICS), ", ".join(STATISTICS)),
    "method": (_text, "a name"),
    "schedule": (_text, "a name"),
    "policy": (_one_of(*POLICIES), ", ".join(POLICIES)),
    "n_pe": (_whole(1), "a whole number, at least 1"),
    "ticks": (_whole(1), "a whole number, at least 1"),
    "leak": (lambda v: _number(0, 1)(v) and v > 0, "a number above 0, at most 1"),
    "weight_bits": (_one_of(4, 8, 16), "4, 8 or 16"),
    "seed": (_whole(0), "a whole number, at least 0"),
    "rounds": (_whole(0), "a whole number, at least 0"),
    "epochs": (_number(0), "a number, at least 0"),
    "images_seen": (_whole(0), "a whole number, at least 0"),
    "rewound": (lambda v: isinstance(v, bool), "true or false"),
    "nnz": (_whole(0), "a whole number, at least 0"),
    "weight_sparsity": (_number(0, 1), "0 to 1"),
    "accuracy": (_number(0, 1), "0 to 1"),
    "accuracy_quantized": (_number(0, 1), "0 to 1"),
    "test_images": (_whole(1), "a whole number, at least 1"),
    "date": (_text, "a date"),
    "versions": (lambda v: isinstance(v, dict) and all(map(_text, v.values())), "name: version"),
    "history": (
        lambda v: isinstance(v, list) and all(isinstance(r, dict) for r in v),
        "a list with an object a round",
    ),
    "layers": (lambda v: isinstance(v, list) and len(v) >= 2, "a list of at least two layers"),
}

LAYER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_text, "a name"),
    "kind": (_one_of("conv", "linear"), "conv, linear"),
    "in_channels": (_whole(1), "a whole number, at least 1"),
    "out_channels": (_whole(1), "a whole number, at least 1"),
    "kernel": (_one_of(1, 3), "1 or 3"),
    "stride": (_one_of(1, 2), "1 or 2"),
    "padding": (_one_of(0, 1), "0 or 1"),
    "pool": (lambda v: v in (None, "max2", "avg"), "null, max2, avg"),
    "input": (_text, "a layer's name"),
    "shortcut": (lambda v: v in (None, "identity", "conv"), "null, identity, conv"),
    "shortcut_input": (lambda v: v is None or _text(v), "null or a layer's name"),
}


class _Check:
    """Builds a Ticket out of a file's arrays, refusing whatever it cannot vouch for."""

    def __init__(self, file: str, arrays: dict[str, np.ndarray]) -> None:
        self.file, self.arrays, self.used = file, arrays, {"metadata"}

    def refuse(self, what: str, value: object, allowed: str) -> NoReturn:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        raise ValueError(f"{self.file}: {what} = {shown}, allowed: {allowed}")

    def ticket(self) -> Ticket:
        metadata = self.metadata()
        layers = self.layers(metadata.pop("layers"))
        parameters = tuple(self.parameters(layer, first=i == 0) for i, layer in enumerate(layers))
        rounds = metadata["rounds"]
        if len(metadata["history"]) != rounds:
            self.refuse(
                "metadata.history", f"{len(metadata['history'])} rounds", f"{rounds} rounds"
            )
        nnz = {p.layer.name: self.history_nnz(p, rounds) for p in parameters[1:]}
        silent = {p.layer.name: self.history_input_sparsity(p, rounds) for p in parameters[1:]}
        for name in self.arrays:
            if name not in self.used:
                raise ValueError(f"{self.file}: {name} is no array of this network's ticket")
        ticket = Ticket(metadata, parameters, nnz, silent)
        for name, value in counts(ticket.masks).items():
            if not math.isclose(metadata[name], value, rel_tol=0, abs_tol=1e-9):
                self.refuse(f"metadata.{name}", metadata[name], f"{value}, by the masks")
        return ticket

    def metadata(self) -> dict[str, Any]:
        if "metadata" not in self.arrays:
            raise ValueError(f"{self.file}: metadata is missing; is this a ticket?")
        text = self.arrays["metadata"]
        if text.dtype.kind != "U" or text.ndim:
            self.refuse("metadata", text.dtype.str, "one string")
        try:
            content = json.loads(str(text), parse_constant=_no_constant)
        except ValueError as error:
            raise ValueError(f"{self.file}: metadata is not JSON ({error})") from None
        if not isinstance(content, dict):
            self.refuse("metadata", content, "a JSON object")
        if content.pop("format", None) != FORMAT:
            raise ValueError(f"{self.file}: metadata.format is missing or not {FORMAT!r}")
        version = content.pop("version", None)
        if version != VERSION:
            self.refuse("metadata.version", version, str(VERSION))
        self.fields("metadata", content, METADATA)
        return content

    def fields(self, what: str, content: dict, table: dict) -> None:
        for name, (valid, allowed) in table.items():
            if name not in content:
                raise ValueError(f"{self.file}: {what}.{name} is missing")
            if not valid(content[name]):
                self.refuse(f"{what}.{name}", content[name], allowed)

    def layers(self, rows: list) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        for i, row in enumerate(rows):
            what = f"metadata.layers[{i}]"
            if not isinstance(row, dict) or set(row) - set(LAYER):
                self.refuse(what, row, "an object with " + ", ".join(LAYER))
            self.fields(what, row, LAYER)
            known = [layer.name for layer in layers] or ["image"]
            for source in {row["input"], row["shortcut_input"]} - {None}:
                if source not in known:
                    self.refuse(f"{what}.input", source, "an earlier layer: " + ", ".join(known))
            if row["name"] in known:
                self.refuse(f"{what}.name", row["name"], "a name no other layer has")
            layer = Layer(**row)
            self.channels(what, layer, {other.name: other for other in layers})
            layers.append(layer)
        if layers[0].kind != "conv" or layers[-1].kind != "linear":
            self.refuse("metadata.layers", layers[-1].kind, "from a convolution to a classifier")
        return tuple(layers)

    def channels(self, what: str, layer: Layer, earlier: dict[str, Layer]) -> None:
        """A convolution takes its input's channels, a linear layer the flattened map."""
        if layer.input not in earlier:
            return
        given = earlier[layer.input].out_channels
        if layer.in_channels % given or (layer.kind == "conv" and layer.in_channels != given):
            self.refuse(f"{what}.in_channels", layer.in_channels, f"{given}, as its input gives")

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

    def parameters(self, layer: Layer, *, first: bool) -> Parameters:
        name, shape = layer.name, layer.weight_shape
        if first:
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
        bias = self.array(f"{name}.bias", "f", (layer.out_channels,))
        norm = None
        if any(other.startswith(f"{name}.norm.") for other in self.arrays):
            parts = {
                part: self.array(f"{name}.norm.{part}", "f", (layer.out_channels,))
                for part in ("weight", "bias", "mean", "var")
            }
            self.demand(f"{name}.norm.var", parts["var"], parts["var"] >= 0, "at least 0")
            eps = self.array(f"{name}.norm.eps", "f", ())
            self.demand(f"{name}.norm.eps", eps, eps > 0, "above 0")
            norm = Norm(**parts, eps=float(eps))
        elif layer.kind == "conv":
            raise ValueError(f"{self.file}: {name}.norm.weight is missing")
        return Parameters(layer, weight, mask, bias, norm)

    def history_nnz(self, p: Parameters, rounds: int) -> np.ndarray:
        name = f"history.{p.layer.name}.nnz"
        nnz = self.array(name, "i", (rounds, p.layer.out_channels))
        most = math.prod(p.layer.weight_shape[1:])
        self.demand(name, nnz, (nnz >= 0) & (nnz <= most), f"0 to {most}")
        last = filter_nnz(p.mask)
        if rounds:
            self.demand(name, nnz, (nnz == last) | _not_last(rounds), "in the end, the mask's nnz")
        return nnz

    def history_input_sparsity(self, p: Parameters, rounds: int) -> np.ndarray:
        name = f"history.{p.layer.name}.input_sparsity"
        share = self.array(name, "f", (rounds,))
        valid = ((share >= 0) & (share <= 1)) | (share == NOT_MEASURED)
        self.demand(name, share, valid, f"0 to 1, or {NOT_MEASURED:g} (not measured)")
        return share


def _not_last(rounds: int) -> np.ndarray:
    """Boolean (rounds, 1): True for every row but the last."""
    return (np.arange(rounds) < rounds - 1)[:, None]


def public_metadata(ticket: Ticket) -> dict[str, Any]:
    """Metadata with the format's name and version first, as `uticket show` prints it."""
    return {"format": FORMAT, "version": VERSION, **ticket.metadata}
