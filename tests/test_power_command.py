"""`uticket power` on a small ticket: both machines are mapped, recorded and replayed; what it writes, what it refuses."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from hw.config import MACHINES, PRESETS
from hw.counters import cycle_names
from hw.export import export
from hw.machines import machine as components
from hw.sram import BlackBoxes
from sim.cli import main
from sim.deployment import Deployment
from sim.models.cycles import input_cycles
from sim.options import replaced
from support.errors import BadInput
from sw import ticket
from sw.layers import IMAGE, Pool, Reduce, conv, linear
from synth import flow, memories
from synth.fit import TERMS
from synth.image import Image, early_to_late
from synth.memories import MemoryMacro
from synth.recording import ports_of, record
from tests.random_networks import random_ticket, shortcut

CELLS = Path(__file__).with_name("cells.lib")
N_PE = PRESETS["tiny"].n_pe
LAYERS = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 12), "conv1", pool=Pool.MAX2),
    conv("conv3", (12, 12), "conv2"),
    conv(
        "conv4", (12, 8), "conv3", pool=Pool.MAX2, more=(shortcut("conv4_shortcut", 12, "conv2"),)
    ),
    conv("conv5", (8, 8), "conv4", kernel=1, stride=2, reduce=Reduce.MEAN),
    linear("fc", (8, 10), "conv5"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("power")
    made = random_ticket(5, layers=LAYERS, policy="random", n_pe=N_PE, ticks=2, density=0.5)
    ticket.save(made, folder / "small.npz")
    # Few gates to map, and arrays that other tests build, too.
    hardware = {"preset": "tiny", "scratchpad_depth": 128, "queue_depth": 8}
    hardware |= {"banks": 4, "fifo_depth": 3, "stream_bits": 64}
    (folder / "h.yaml").write_text(yaml.safe_dump(hardware))
    return folder


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Where files go. Memories as small as these PEs' have no figures in memories.yaml: they get round ones."""

    def macros(library, node, config, period):
        return [
            MemoryMacro(name, depth, width, 1, 1.0, 0.5, 0.1, 3e-12, 4e-12, 1e-9, "a test")
            for name, (depth, width) in memories.sizes(config).items()
        ]

    monkeypatch.setattr(flow, "BUILD", tmp_path)
    monkeypatch.setattr(memories, "macros", macros)
    return tmp_path


def image(folder, machine):
    config = replaced(PRESETS["paper"], folder / "h.yaml", machine=machine)
    return Image(Deployment.load(str(folder / "small.npz"), config=config))


@pytest.mark.parametrize("machine", MACHINES)
def test_what_an_image_counts_is_what_the_rtl_counts(model, machine):
    one = image(model, machine)
    run = one.deployed.run(one.deployed.test_images(1)[0], jobs=1)
    assert run.mismatch is None
    (result,) = run.images
    names = {"sweep": ["work_cycles"], "event": ["work_cycles", "stall_bank"]}[machine]
    counted = {
        "cycles": N_PE * (result.input_cycles + sum(result.cycles)),
        "work": sum(int(c[n].sum()) for c in result.counters for n in [*names, "stall_shortcut"]),
        "drain": sum(int(c["stall_lif"].sum()) for c in result.counters),
        "accumulates": sum(
            int(c[n].sum())
            for c in result.counters
            for n in ("accumulates", "shortcut_accumulates")
        ),
    }
    assert one.counts() == counted
    assert min(counted.values()) > 0
    assert list(counted) == list(TERMS)


def test_layers_that_can_be_recorded(model):
    one = image(model, "event")
    assert early_to_late([image(model, "sweep"), one]) == ["conv2", "conv3"]
    with pytest.raises(BadInput, match="--layer conv9: there is no such layer; allowed: conv2, "):
        one.program_from("conv9")
    with pytest.raises(
        BadInput, match="--layer conv4: layer conv4 needs conv2, which comes before; "
    ):
        one.program_from("conv4")


def test_four_layers_that_every_machine_has():
    names = [f"conv{k}" for k in range(2, 12)]
    one, other = (
        SimpleNamespace(predicted=[*names, "fc"], recordable=lambda given=given: given)
        for given in ([*names, "fc"], ["conv2", *names[3:], "fc"])
    )
    assert early_to_late([one, other]) == ["conv2", "conv6", "conv9", "conv11"]
    assert early_to_late([one]) == ["conv2", "conv5", "conv8", "conv11"]
    with pytest.raises(
        BadInput, match="no layer takes 512 cycles and needs nothing from before it; allowed: l"
    ):
        early_to_late([one, SimpleNamespace(recordable=list)])


def test_both_machines(model, build, capsys):
    library = ["--liberty", str(CELLS), "--node", "45", "--hardware", str(model / "h.yaml")]
    with pytest.raises(SystemExit) as ended:
        main(["power", *library, "--machine", "both", "--model", str(model / "small.npz")])
    out = capsys.readouterr().out
    assert ended.value.code in (None, 0), out
    joules = {}
    for machine in MACHINES:
        folder = build / "synth" / f"tests-{machine}-h"
        found = json.loads((folder / "power.json").read_text())
        assert [row["layer"] for row in found["layers"]] == ["conv2", "conv3"]
        assert found["machine"] == machine
        counts, spent = found["image"]["counts"], found["image"]["joules"]
        assert counts == image(model, machine).counts()
        assert spent["all"] == pytest.approx(sum(counts[t] * found["prices"][t] for t in TERMS))
        assert 0 < found["residual"] < 0.5
        for row in found["layers"]:
            assert row["windows"] > 3
            assert row["joules"]["data"] > 0
        assert (folder / "power.txt").read_text() in out
        joules[machine] = spent["all"]
    ratio = joules["event"] / joules["sweep"]
    assert out.endswith(f"an image on event takes {ratio:.3f} of what it takes on sweep\n")


@pytest.mark.parametrize("machine", MACHINES)
def test_a_recording_has_every_cycle_of_the_layer(model, build, machine):
    """Its accounts are those of the cycle model, of which docs/verification.md says that they are the RTL's."""
    one = image(model, machine)
    verilog = export(components(one.config).pe(one.config), "pe", build, BlackBoxes())
    program, spikes = one.program_from("conv2")
    counters = one.predicted["conv2"].counters
    cycles = input_cycles(program, spikes) + one.predicted["conv2"].cycles
    found = record(program, spikes, ports_of(verilog), cycles=cycles)
    assert len(found.rows) == cycles
    (start, *_) = np.flatnonzero(found.account >= 0)
    assert start == input_cycles(program, spikes)
    for k, name in enumerate(cycle_names(machine)):
        assert int((found.account == k).sum()) == int(counters[name][0]), name


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--machine", "x"], "machine = 'x', allowed: sweep, event, both"),
        (["--layer", "conv9"], "--layer conv9: there is no such layer; allowed: conv2, conv3"),
        (["--layer", "fc"], "cycles, 512 are needed; allowed: conv2, conv3"),
        (["--cycles", "1"], "1 is not in the range x>=1024"),
        (["--method", "x"], "unknown METHOD 'x'"),
    ],
)
@pytest.mark.usefixtures("build")
def test_bad_arguments_are_one_line(model, capsys, arguments, reason):
    given = ["--hardware", str(model / "h.yaml"), "--model", str(model / "small.npz")]
    with pytest.raises(SystemExit) as ended:
        main(["power", "--liberty", str(CELLS), "--node", "45", *given, *arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
