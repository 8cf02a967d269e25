"""`sim.models.cycles`, compiled, against the same model in plain Python (plain_cycles.py), which tb/ holds to the RTL too."""

from types import SimpleNamespace

import numpy as np
import pytest

from hw.config import PRESETS, Config
from hw.counters import CYCLES
from sim.models.cycles import input_cycles, predict
from support import native
from support.errors import BadInput
from tb.random_programs import Shape, build, random_case
from tests import plain_cycles
from tests.soak import times

CONFIGS = {
    "tiny": PRESETS["tiny"],
    "paper": PRESETS["paper"],
    "odd": Config(
        n_pe=5, ticks=3, tile_side=4, scratchpad_depth=32, buffer_depth=1024, queue_depth=8
    ),
    "one": Config(n_pe=1, ticks=1, scratchpad_depth=64, buffer_depth=512, queue_depth=4),
}


def same(program):
    plain = plain_cycles.predict(program)
    for layer, fast, slow in zip(program.layers, predict(program), plain, strict=True):
        name = layer.name
        assert fast.cycles == slow.cycles, name
        assert list(fast.counters) == list(CYCLES)
        for account in CYCLES:
            assert np.array_equal(fast.counters[account], slow.counters[account]), (name, account)
        total = sum(fast.counters[account] for account in CYCLES)
        assert (total == fast.cycles).all()
    return True


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(times(12)))
def test_random_programs(name, seed):
    assert same(random_case(CONFIGS[name], 1000 + seed, max_side=33).program)


def test_a_group_in_parts():
    shapes = (Shape(filters=5, density=1.0), Shape(filters=6, density=0.9, empty=(2,)))
    assert same(build(CONFIGS["tiny"], shapes, side=5, channels=20).program)


def test_empty_layers():
    shapes = (Shape(filters=5, density=0.0), Shape(filters=9, density=0.0))
    assert same(build(CONFIGS["tiny"], shapes, side=9, channels=3).program)


def test_a_compiler_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    source = tmp_path / "bad.cpp"
    source.write_text("int x = ;")
    with pytest.raises(BadInput, match=r"g\+\+ failed on bad.cpp: .*error"):
        native.library(source)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="apt-get install g"):
        native.library(tmp_path / "bad.cpp")


@pytest.mark.parametrize("seed", range(times(100)))
def test_input_of_any_size(seed):
    rng = np.random.default_rng(seed)
    side, tile_side = int(rng.integers(1, 65)), int(rng.choice([4, 8]))
    shape = (2, int(rng.integers(1, 6)), side, side)
    spikes = rng.random(shape) < rng.choice([0, 0.02, 0.1, 0.4, 0.9])
    program = SimpleNamespace(
        input=SimpleNamespace(side=side),
        config=Config(tile_side=tile_side),
        stored=lambda spikes: spikes,
    )
    assert input_cycles(program, spikes) == plain_cycles.input_cycles(program, spikes)
