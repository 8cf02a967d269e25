"""Masks or weights of a network from a file, checked: an .npz, a PyTorch state dict, safetensors.

Of a state dict (sw/state_dict.py) every tensor with 2 or 4 axes is a layer. In an .npz every array is a layer, in order, of rank 2 (K, C) or 4 (K, C, kh, kw); non-zero = present.
`<layer>.order` (K,) says in which order the array runs its filters (new position -> channel), and
`<layer>.score` has the layer's shape: the larger its magnitude, the sooner a weight is recovered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from support.errors import BadInput
from sw import archive, prune, state_dict


@dataclass(frozen=True, kw_only=True)
class MaskLayer:
    """One layer: `values` as read (boolean, integer or float), `order` and `score` if given."""

    name: str
    values: np.ndarray
    order: np.ndarray | None = None
    score: np.ndarray | None = None


def load_masks(path: Path, *, scores: bool = False) -> list[MaskLayer]:
    """The layers of a file; `scores` says whether scores are read or ignored.

    Raises BadInput, naming file and array, for anything else than described above; OSError for a
    file that cannot be read.
    """
    if path.suffix in state_dict.SUFFIXES:
        return _of_state_dict(path, scores)
    try:
        with archive.opened(path) as file:
            return _layers(file, path, scores)
    except archive.Unreadable as error:
        raise BadInput(f"{path}: not an .npz file, or a damaged one ({error})") from None


def pruned(layers: list[MaskLayer], sparsity: float) -> list[MaskLayer]:
    """Without the smallest weights over all layers, which become scores: what was cut comes back first.

    Raises BadInput for a sparsity that the layers exceed already, and for masks, which do not say what is small.
    """
    values = {layer.name: layer.values for layer in layers}
    masks = {name: value != 0 for name, value in values.items()}
    there = prune.sparsity(masks)
    if not there <= sparsity < 1:
        raise BadInput(f"--sparsity {sparsity}; allowed: {there:.6g}, the file's, to below 1")
    present = np.concatenate([np.abs(value[value != 0]).ravel() for value in values.values()])
    if present.size and np.all(present == present[0]):
        raise BadInput(
            f"--sparsity {sparsity} of masks, which do not say what is small; allowed: of weights"
        )
    kept = prune.global_magnitude(values, masks, keep=1 - sparsity, floor=0)
    return [
        replace(
            layer,
            values=np.where(kept[layer.name], layer.values, 0),
            score=layer.values if layer.score is None else layer.score,
        )
        for layer in layers
    ]


def _of_state_dict(path: Path, scores: bool) -> list[MaskLayer]:
    try:
        found = list(state_dict.layers(state_dict.read(path)))
    except ValueError as error:
        text = str(error)
        raise BadInput(text if text.startswith(str(path)) else f"{path}: {text}") from None
    if not found:
        raise BadInput(f"{path}: no layers; allowed: tensors (K, C) or (K, C, kh, kw)")
    return [
        MaskLayer(name=name, values=_checked(values, path, name), score=score if scores else None)
        for name, values, score in found
    ]


def _layers(file: archive.Archive, path: Path, scores: bool) -> list[MaskLayer]:
    names = file.names
    if not names:
        raise BadInput(f"{path}: no arrays; allowed: one or more")
    extras = {
        name: base
        for name in names
        for base, dot, kind in [name.rpartition(".")]
        if dot and kind in ("order", "score")
    }
    for name, base in extras.items():
        if base not in names:
            raise BadInput(f"{path}: {name}: there is no layer {base!r}")
    layers = []
    for name in names:
        if name in extras:
            continue
        values = _array(file, path, name)
        if values.ndim not in (2, 4) or values.size == 0:
            raise BadInput(
                f"{path}: {name} has shape {values.shape}; "
                "allowed: (K, C) or (K, C, kh, kw), every side 1 or more"
            )
        order = score = None
        if f"{name}.order" in names:
            order = _order(_array(file, path, f"{name}.order"), path, name, len(values))
        if scores and f"{name}.score" in names:
            score = _array(file, path, f"{name}.score")
            if score.shape != values.shape:
                raise BadInput(
                    f"{path}: {name}.score has shape {score.shape}; "
                    f"allowed: that of {name}, {values.shape}"
                )
        layers.append(MaskLayer(name=name, values=values, order=order, score=score))
    return layers


def _array(file: archive.Archive, path: Path, name: str) -> np.ndarray:
    try:
        array = file[name]
    except archive.Unreadable as error:
        raise BadInput(f"{path}: {name} cannot be read ({error}); allowed: plain arrays") from None
    return _checked(array, path, name)


def _checked(array: np.ndarray, path: Path, name: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{path}: {name} holds {array.dtype}; allowed: booleans, integers, floats")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput(f"{path}: {name} holds NaN or infinity; allowed: finite numbers")
    return array


def _order(order: np.ndarray, path: Path, name: str, filters: int) -> np.ndarray:
    integers = order.ndim == 1 and order.dtype.kind in "iu"
    if not integers or not np.array_equal(np.sort(order), np.arange(filters)):
        raise BadInput(
            f"{path}: {name}.order is no permutation; "
            f"allowed: each of the channels 0 to {filters - 1} once, as integers (K,)"
        )
    return order
