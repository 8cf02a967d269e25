"""`uticket train` on a small network, and what it shows."""

import io
import subprocess
import sys
from types import SimpleNamespace

import click
import numpy as np
import pytest
import torch
import yaml

from sim.cli import main
from sim.commands import train
from sim.commands.train import _start_pytorch, command
from sim.reports.progress import TrainingBar
from support.errors import BadInput
from sw import datasets, history, networks, ticket
from sw.datasets import STATISTICS, Dataset
from sw.layers import IMAGE, Pool, conv, linear
from tests.command import status

NETWORK = (
    conv("conv1", (3, 16), IMAGE, pool=Pool.MAX2),
    conv("conv2", (16, 48), "conv1", pool=Pool.MAX2),
    conv("conv3", (48, 64), "conv2", pool=Pool.MAX2),
    linear("fc", (64, 10), "conv3"),
)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model of a small network and 96 random images."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (96, 3, 8, 8), np.uint8), rng.integers(0, 10, 96)
    random = Dataset("cifar10", images, labels, images[:10], labels[:10], *STATISTICS["cifar10"])
    monkeypatch.setattr(datasets, "load", lambda name: random)
    monkeypatch.setitem(networks.NETWORKS, "small", lambda **_: NETWORK)
    monkeypatch.setattr(history, "VALIDATION_IMAGES", 32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    path = tmp_path / "small.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "network": "small",
                "dataset": "cifar10",
                "methods": {"uticket": "uticket.npz", "lth": "lth.npz"},
            },
            sort_keys=False,
        )
    )
    return path


def test_both_tickets_are_trained_and_written(model, tmp_path, capsys):
    arguments = [str(model), "--schedule", "smoke", "--threads", "1", "--no-compile"]
    command.main(arguments, standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training small uticket, schedule smoke, seed 1"
    assert sum(line.startswith("wrote ") for line in lines) == 2
    assert sum("done: validation accuracy" in line for line in lines) == 6  # two dense, two each
    for method, policy in (("uticket", "magnitude"), ("lth", "none")):
        metadata = ticket.load(tmp_path / f"{method}.npz").metadata
        assert (metadata["policy"], metadata["test_images"]) == (policy, 10)
        assert metadata["weight_sparsity"] == pytest.approx(0.981, abs=2e-3)


def test_minutes_scale_the_schedule_and_a_second_call_goes_on(model, tmp_path, capsys):
    arguments = [str(model), "--schedule", "smoke", "--threads", "1", "--no-compile"]
    arguments += ["--minutes", "0.02", "--method", "lth"]
    command.main(arguments, standalone_mode=False)
    first = capsys.readouterr().out.splitlines()
    (note,) = (tmp_path / "build" / "train" / "small").glob("*.txt")
    fitted = note.read_text()
    assert fitted.startswith("smoke:")
    assert first[0].startswith(f"schedule {fitted} fits 0.02 minutes")
    command.main(arguments, standalone_mode=False)
    second = capsys.readouterr().out.splitlines()
    assert second[0] == first[0]
    assert any(line.startswith("resuming lth.pt at round 4") for line in second)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_layers_whose_linker_was_killed_are_compiled_anew(share, model, tmp_path, capsys):
    folder = tmp_path / "compiled" / "ab"
    folder.mkdir(parents=True)
    whole, half = folder / "whole.so", folder / "half.so"
    (tmp_path / "layer.c").write_text("int layer(int x) { return x; }")
    subprocess.run(["gcc", "-shared", "-o", whole, tmp_path / "layer.c"], check=True)
    content = whole.read_bytes()
    half.write_bytes(content[: int(share * len(content))])
    _start_pytorch(None)
    assert capsys.readouterr().out == (
        f"{folder.parent}: compiled layers that were cut short, compiled anew: 1\n"
    )
    assert list(folder.iterdir()) == [whole]
    _start_pytorch(None)
    assert capsys.readouterr().out == ""


def test_lines_are_flushed_where_there_is_no_terminal(monkeypatch):
    class Buffered(io.StringIO):
        seen = ""

        def flush(self) -> None:
            self.seen = self.getvalue()

    out = Buffered()
    monkeypatch.setattr(sys, "stdout", out)
    with TrainingBar() as bar:
        bar.log("round 0: 16/32 images")
        assert out.seen == "round 0: 16/32 images\n"


def test_too_little_disk_is_said_before_the_first_step(model, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 10))
    with pytest.raises(SystemExit) as exit_:
        main(["train", str(model), "--schedule", "smoke"])
    assert exit_.value.code == 2
    assert "0 MiB are free; a run's checkpoints need" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_refused(model, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as exit_:
        main(["train", str(model), "--schedule", "smoke", "--device", "cuda"])
    assert exit_.value.code == 2
    assert "device = 'cuda', but PyTorch finds no GPU; allowed here: cpu" in capsys.readouterr().err


def test_a_terminal_shows_a_bar_and_a_pipe_lines(monkeypatch, capsys):
    def shown() -> str:
        with TrainingBar() as bar:
            bar.log("training [small]")
            if bar.shown:
                bar.start("round 1", 64)
                bar.update(16, "9 images/s, loss 2.300")
                bar.start("round 2", 64)
        return capsys.readouterr().out

    assert shown() == "training [small]\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = shown()
    assert "training [small]" in text
    assert "round 2" in text
    assert TrainingBar(first=False).shown is False


@pytest.fixture
def started(monkeypatch):
    """PyTorch, and so the training, does not start; that it was about to is an error of this text."""

    def start(_):
        raise BadInput("about to train")

    monkeypatch.setattr(train, "_start_pytorch", start)


def ends(capsys, *arguments):
    """Status, and what was said."""
    return status("train", *arguments), capsys.readouterr().err


def test_a_ticket_in_git_is_not_written_over(model, tmp_path, capsys, started):
    (tmp_path / "uticket.npz").touch()
    for words in (["init", "-q"], ["add", "uticket.npz"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    status, said = ends(capsys, model)
    assert status == 2
    assert f"{tmp_path / 'uticket.npz'}: git tracks this ticket; allowed: --out" in said
    for more in (["--force"], ["--out", tmp_path / "mine"], ["--method", "lth"]):
        assert "about to train" in ends(capsys, model, *more)[1]


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_a_ticket_that_is_there_is_asked_about(
    model, tmp_path, capsys, started, monkeypatch, answer
):
    (tmp_path / "lth.npz").touch()
    asked = []

    def confirm(text, abort):
        asked.append(text)
        if not answer:
            raise click.Abort

    monkeypatch.setattr(click, "confirm", confirm)
    assert "about to train" in ends(capsys, model)[1]
    assert asked == []  # no terminal, nobody to ask
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    status, said = ends(capsys, model)
    assert [text.split(" is there")[0] for text in asked] == [str(tmp_path / "lth.npz")]
    assert (status, "about to train" in said) == ((2, True) if answer else (130, False))
