"""Weights of a PyTorch module from a file: a state dict (.pt, .pth) or safetensors, as NumPy arrays; docs/masks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

SUFFIXES = (".pt", ".pth", ".safetensors")
PRUNED, MASK = "weight_orig", "weight_mask"
"""What torch.nn.utils.prune makes of a module's `weight`."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file, by its name, in the file's order.

    A checkpoint may hold the state dict under `state_dict` or `model`. Nothing is unpickled but tensors
    (`weights_only`). Raises ValueError for another file, and where the package that reads it is missing.
    """
    return _safetensors(path) if path.suffix == ".safetensors" else _pickle(path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError, numpy
    except ImportError:
        raise ValueError(
            f"{path}: safetensors is missing; .venv/bin/pip install -e '.[import]'"
        ) from None
    path.open("rb").close()  # an OSError that names the file
    try:
        return numpy.load_file(path)
    except (SafetensorError, KeyError, TypeError) as error:  # TypeError: bfloat16
        raise ValueError(f"{path}: no safetensors that NumPy can hold ({error})") from None


def _pickle(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path}: PyTorch is missing; .venv/bin/pip install -e '.[train]'"
        ) from None
    path.open("rb").close()
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path}: no state dict of tensors alone ({reason})") from None
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in found.values()
    ):
        raise ValueError(f"{path}: holds {type(found).__name__}; allowed: a state dict of tensors")
    return {
        name: (t.float() if t.is_floating_point() else t).detach().numpy()
        for name, t in found.items()
    }


def layers(
    tensors: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Name, weights and score of each layer: whatever has 2 or 4 axes, under its module's name.

    A pruned module's weights are `weight_orig` times `weight_mask`; its score, which says what to add
    first, is `weight_orig`. Biases and norms have one axis or none, and are left out.
    """
    for name, values in tensors.items():
        module, _, kind = name.rpartition(".")
        if values.ndim not in (2, 4) or (kind == MASK and _of(module, PRUNED) in tensors):
            continue
        if kind == PRUNED:
            mask = tensors.get(_of(module, MASK))
            if mask is None or mask.shape != values.shape:
                raise ValueError(f"{name} has no {_of(module, MASK)} of its shape, {values.shape}")
            yield module or "weight", values * (mask != 0), values
        else:
            yield (module or name) if kind == "weight" else name, values, None


def _of(module: str, kind: str) -> str:
    return f"{module}.{kind}" if module else kind


def apply_masks(module: nn.Module, masks: Mapping[str, np.ndarray]) -> None:
    """Prune a PyTorch module in place: `masks` by the names of its submodules, bool as their weights.

    They become `torch.nn.utils.prune`'s `weight_mask`: gradients reach what is left, and
    `prune.remove(submodule, "weight")` makes it final. A mask that was there is replaced; weights that
    come back have the value that they had. Raises ValueError, naming the layer, for one that the module
    does not have, or of another shape.
    """
    import torch
    from torch.nn.utils import prune

    known = {name: part for name, part in module.named_modules() if hasattr(part, "weight")}
    for name, mask in masks.items():
        if name not in known:
            raise ValueError(f"{name!r} is no layer; allowed: {', '.join(known)}")
        shape = tuple(known[name].weight.shape)
        if mask.shape != shape:
            raise ValueError(f"{name}: a mask of {mask.shape}; allowed: {shape}")
    for name, mask in masks.items():
        part = known[name]
        given = torch.from_numpy(np.ascontiguousarray(mask)).to(part.weight.device)
        if hasattr(part, MASK):
            part.weight_mask.copy_(given)
        else:
            prune.custom_from_mask(part, "weight", given)
