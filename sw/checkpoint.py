"""The files of a training run: written whole or not at all, and read only by the run they belong to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

VERSION = 3  # of what a checkpoint holds


def save(state: dict, identity: str, path: Path) -> None:
    """Write `state`, nested dictionaries and lists with tensors on any device, atomically.

    identity: of the run, as `load` will compare it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save({"version": VERSION, "identity": identity, **on_cpu(state)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path: Path, identity: str | None = None) -> dict:
    """The state of `save`, its tensors on the CPU.

    Raises ValueError for a file of another version, another run, or none at all.
    """
    afresh = f"to start afresh: rm {path}"
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever zip, pickle and PyTorch raise for a damaged file
        raise ValueError(f"{path} is damaged ({type(error).__name__}); {afresh}") from None
    found = state.get("version") if isinstance(state, dict) else None
    if found != VERSION:
        raise ValueError(f"{path} has version {found}; allowed: {VERSION}; {afresh}")
    if identity is not None and state["identity"] != identity:
        raise ValueError(f"{path} is of another network, schedule, seed or balancing; {afresh}")
    return state


def on_cpu(state: Any) -> Any:
    """A state of nested dictionaries and lists, its tensors on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {name: on_cpu(value) for name, value in state.items()}
    return [on_cpu(value) for value in state] if isinstance(state, list) else state
