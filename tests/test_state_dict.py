"""Masks come from PyTorch and go back."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from sim.models.masks import load_masks
from sw.balance import filter_nnz
from sw.state_dict import apply_masks


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(72, 4, bias=False)
    )
    prune.l1_unstructured(layers[0], "weight", 0.6)
    return layers


def saved(module, path):
    state = module.state_dict()
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_state_dict_is_read_pruned_or_not(module, run, tmp_path, suffix):
    path = saved(module, tmp_path / f"net{suffix}")
    layers = load_masks(path, scores=True)
    assert sorted(layer.name for layer in layers) == ["0", "3"]
    conv = next(layer for layer in layers if layer.name == "0")
    assert np.array_equal(conv.values, module[0].weight.detach().numpy())
    assert np.array_equal(conv.score, module[0].weight_orig.detach().numpy())
    out = tmp_path / "out.json"
    assert run("analyze", path, "--maps", "1,1", "--json", out)[0] == 0
    nnz = {row["name"]: row["nnz"] for row in json.loads(out.read_text())["layers"]}
    assert nnz == {"0": 216 - round(0.6 * 216), "3": 288}


def test_balanced_masks_go_back_into_the_module(module, run, tmp_path):
    """Pruned weights have their old values: those that balancing gives back are the largest."""
    path, out = saved(module, tmp_path / "net.pt"), tmp_path / "masks.npz"
    before = module[0].weight_mask.numpy().astype(bool)
    assert run("balance", path, out, "--n-pe", 4)[0] == 0
    with np.load(out) as masks:
        apply_masks(module, dict(masks))
    mask = module[0].weight_mask.numpy().astype(bool)
    assert np.ptp(filter_nnz(before)) > 0
    assert np.ptp(filter_nnz(mask[:4])) == 0
    orig = module[0].weight_orig.detach().numpy()
    assert np.any(mask & ~before)
    module(torch.zeros(1, 3, 5, 5)).sum().backward()  # the hook that masks has run
    assert np.array_equal(module[0].weight.detach().numpy(), np.where(mask, orig, 0))
    prune.remove(module[0], "weight")
    assert np.count_nonzero(module[0].weight.detach().numpy()) == mask.sum()


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({"7": np.ones((4, 72), bool)}, "'7' is no layer; allowed: 0, 1, 3"),
        ({"3": np.ones((4, 7), bool)}, "3: a mask of (4, 7); allowed: (4, 72)"),
    ],
)
def test_masks_that_do_not_fit_change_nothing(module, masks, told):
    with pytest.raises(ValueError, match=told.replace("(", r"\(").replace(")", r"\)")):
        apply_masks(module, {"0": np.zeros((8, 3, 3, 3), bool)} | masks)
    assert module[0].weight_mask.any()


class Sender:
    """What a pickle could run."""

    def __reduce__(self):
        return print, ("pwned",)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_bytes(b"hello"), "no state dict of tensors alone"),
        (lambda path: torch.save(Sender(), path), "no state dict of tensors alone"),
        (lambda path: torch.save([1, 2], path), "holds list; allowed: a state dict"),
        (lambda path: torch.save({"a": torch.zeros(3)}, path), "no layers"),
        (lambda path: torch.save({"weight_orig": torch.ones(2, 2)}, path), "weight_orig has no"),
        (lambda path: torch.save({"w": torch.full((2, 2), np.nan)}, path), "w holds NaN"),
        (lambda path: None, "No such file"),
    ],
)
def test_another_file_is_one_line_and_runs_nothing(run, tmp_path, make, told):
    path = tmp_path / "net.pt"
    make(path)
    status, out, err = run("analyze", path)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert f"{path}: " in err
    assert told in err


def test_damaged_safetensors_are_one_line(run, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    status, _, err = run("analyze", tmp_path / "net.safetensors")
    assert status == 2
    assert "net.safetensors: no safetensors that NumPy can hold" in err
    assert err.count("\n") == 1
