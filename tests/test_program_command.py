"""`uticket program`: files of beats that read back as the program and the results of the models."""

import re

import numpy as np
import pytest

from hw.config import PRESETS
from hw.counters import BEATS
from hw.results import beats_a_result
from sim.cli import main
from sim.deployment import Deployment
from sim.rtl.stream import write_beats
from sw import golden

MODEL = "vgg16_fashion_mnist"


def test_files_of_a_ticket(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["program", MODEL, "--image", "1", "--out", str(tmp_path / "beats")])
    assert not ended.value.code
    said = capsys.readouterr().out
    program, results = (
        [int(line, 16) for line in (tmp_path / "beats" / f"{name}.hex").read_text().split()]
        for name in ("program", "results")
    )
    assert f"program.hex: {len(program):,} beats" in said
    deployed = Deployment.load(MODEL)
    network, compiled = deployed.network, deployed.program
    spikes = deployed.spikes(deployed.test_images(2)[0][1:])[0]
    assert program == compiled.beats(spikes).tolist()
    config = PRESETS["paper"]
    sums = 10 * beats_a_result(config)
    assert len(results) == 1 + sums + BEATS * config.n_pe * len(compiled.layers)
    assert results[0] & 0xFFFFFFFF == spikes.sum()
    at = 1 + BEATS * config.n_pe * (len(compiled.layers) - 1)
    raw = np.array(results[at : at + sums], np.uint64).view("<i4").reshape(10, -1)
    assert raw.sum(axis=1).argmax() == golden.predict(golden.run(network, spikes)["fc"].output)


def test_files_of_an_image_of_ones_own(tmp_path, capsys):
    deployed = Deployment.load(MODEL)
    images = np.random.default_rng(1).integers(0, 256, (3, 1, 32, 32), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    own = ["program", MODEL, "--images", str(tmp_path / "mine.npz")]
    with pytest.raises(SystemExit) as ended:
        main([*own, "--image", "2", "--out", str(tmp_path)])
    assert not ended.value.code
    text = (tmp_path / "program.hex").read_text().split()
    expected = deployed.program.beats(deployed.spikes(images[2:])[0])
    assert [int(line, 16) for line in text] == expected.tolist()
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*own, "--image", "3", "--out", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert re.search("--image 3; allowed: 0 to 2, as .*mine.npz has\n$", capsys.readouterr().err)
    assert not (tmp_path / "none").exists()


def test_beats_are_read_by_readmemh(tmp_path):
    write_beats(tmp_path / "x.hex", np.array([1, (1 << 64) - 1], np.uint64))
    assert (tmp_path / "x.hex").read_text() == "0000000000000001\nffffffffffffffff\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nope"], "unknown MODEL 'nope'"),
        ([MODEL, "--image", "-1"], "'--image': -1 is not in the range x>=0"),
        ([MODEL, "--n-pe", "0"], "n_pe = 0, allowed: 1 to 64"),
        ([MODEL, "--out", __file__], "is a file"),
    ],
)
def test_bad_input(capsys, arguments, reason):
    with pytest.raises(SystemExit) as ended:
        main(["program", *arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("uticket: error: ")
    assert reason in error
    assert error.count("\n") == 1
