"""Training that is really killed, and training in two processes."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from sw import history
from tests import training_worker
from tests.soak import times

ROOT = Path(__file__).parent.parent
LAUNCHER = [*(sys.executable, "-m", "torch.distributed.run"), "--standalone", "--nproc-per-node=2"]
QUIET = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
# A process that has imported PyTorch, from which all others are forked.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.training_worker"])


class Run:
    """Training in a process of its own, or a pair of them; its output as a file."""

    def __init__(self, pair: bool, folder: Path, run: str) -> None:
        reader, writer = FORKS.Pipe(duplex=False)
        self.errors = folder.with_suffix(".err")
        self.process = FORKS.Process(
            target=training_worker.forked, args=(pair, folder, run, writer, self.errors)
        )
        with mock.patch.dict(os.environ, QUIET):
            self.process.start()
        writer.close()
        self.lines = os.fdopen(os.dup(reader.fileno()))
        reader.close()

    def status(self) -> int | None:
        """Exit status, once the process has ended and all of its output is out."""
        with self.lines:
            self.lines.read()
        self.process.join(300)
        return self.process.exitcode


def finish(run: Run) -> None:
    assert run.status() == 0, run.errors.read_text()


def kill(run: Run, rng: random.Random, first: int) -> None:
    """SIGKILL whichever worker comes to a random step, a little later: in that step or its checkpoint.

    first: the earliest step.
    """
    for _ in range(rng.randint(first, training_worker.STEPS // 3)):
        line = run.lines.readline()
        assert line.startswith("step of"), run.errors.read_text()
    time.sleep(rng.uniform(0, 0.02))
    os.kill(int(line.split()[-1]), signal.SIGKILL)
    assert run.status() != 0


def differences(a: object, b: object, where: str = "") -> list[str]:
    """Where two checkpoints differ."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [d for key in a for d in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [
            d
            for i, (x, y) in enumerate(zip(a, b, strict=True))
            for d in differences(x, y, f"{where}[{i}]")
        ]
    return [] if a == b else [where]


def checkpoint(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("trial", range(times(1)))
@pytest.mark.parametrize(
    ("pair", "kills", "first"), [(False, 3, 1), (True, min(times(1), 3), 3)], ids=["alone", "pair"]
)
def test_a_run_killed_at_random_moments_resumes_to_the_same_result(
    pair, kills, first, trial, tmp_path
):
    """first: 3 for the pair, so that there is a checkpoint even after one kill."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(Run(pair, whole, "long"))
    rng, places = random.Random(), []
    for _ in range(kills):
        kill(Run(pair, killed, "long"), rng, first)
        newest = max(killed.glob("*.pt"), key=lambda path: path.stat().st_mtime, default=None)
        if newest is not None:  # the first step may be the last
            progress = checkpoint(newest)["progress"]
            places.append((progress["round"], progress["images"]))
    assert places == sorted(places)
    assert (0, 0) < places[-1] < (3, 0)
    finish(Run(pair, killed, "long"))
    expected, found = (checkpoint(folder / "uticket.pt") for folder in (whole, killed))
    assert len(expected["progress"]["history"]) == 3
    assert differences(expected, found) == []
    if pair:
        ranks = [checkpoint(killed / f"rank{rank}.pt") for rank in (0, 1)]
        assert differences(ranks[0]["masks"], ranks[1]["masks"]) == []
        weights = [
            {n: w for n, w in rank["network"].items() if "running" not in n and "num" not in n}
            for rank in ranks
        ]
        assert differences(*weights) == []
        assert differences(expected["masks"], ranks[1]["masks"]) == []


def test_two_processes_train_on_the_same_batch(tmp_path, monkeypatch):
    """As one process: batch norm sees the whole batch. Started as users start it, by torchrun."""
    command = [*LAUNCHER, "-m", "tests.training_worker", str(tmp_path / "pair"), "short"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **QUIET},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(history, "VALIDATION_IMAGES", 50)
    one = training_worker.trainer(tmp_path / "one", "short")
    untrained = {n: w.clone() for n, w in one.network.named_parameters()}
    one.run("uticket")
    pair = checkpoint(tmp_path / "pair" / "rank0.pt")["network"]
    for name, weight in one.network.named_parameters():
        assert not torch.equal(weight, untrained[name]) or name.endswith("bias"), name
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(pair[name], value, rtol=1e-4, atol=1e-5)
