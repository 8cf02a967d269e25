"""Where training runs: on one device, or on several, a process each, started by `torchrun`.

Every process draws the same random batch and trains on its own share of it; gradients are averaged.
So weights, masks and random state are the same everywhere, and the first process alone writes. Batch
norm sees the whole batch (sw/norm_fire.py).
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

# DistributedDataParallel imports it later, and then its default arguments keep the group of that time.
from torch.distributed.nn import functional  # noqa: F401

TIMEOUT = timedelta(hours=2)  # others wait as long as the first process takes to evaluate


@dataclass(frozen=True)
class Devices:
    """The device of this process, and its place among the processes."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes checkpoints, evaluates and logs."""
        return self.rank == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """The part of a batch that this process trains on; all have parts of the same size."""
        return batch.chunk(self.count)[self.rank]

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, in the layout that convolutions are fastest in."""
        return network.to(self.device, memory_format=torch.channels_last)

    def replicated(self, network: nn.Module) -> nn.Module:
        """What to call for outputs whose gradients are averaged over all processes.

        To be dropped before `connected` is left.
        """
        if self.count == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()


def keep_freed_memory() -> None:
    """Let freed memory stay with this process, where the C library can be told so.

    By default glibc gives large blocks back at once, and the kernel clears them anew for each step: a third
    of the time on a CPU.
    """
    threshold, maximum = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of <malloc.h>
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library
        return
    libc.mallopt(threshold, 2**31 - 1)
    libc.mallopt(maximum, 0)


def default_device() -> str:
    """CUDA where there is a GPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def connected(kind: str) -> Iterator[Devices]:
    """The devices of a command, `kind` "cpu" or "cuda", one a process where `torchrun` started it.

    When it is left, the threads of the process group have ended: one that still frees its last work while
    Python shuts down aborts the process.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = 'cuda', but PyTorch finds no GPU; allowed here: cpu")
    if count == 1:
        yield Devices(torch.device(kind))
        return
    device = torch.device(kind)
    if kind == "cuda":
        device = torch.device(kind, int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Devices(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
        gc.collect()
