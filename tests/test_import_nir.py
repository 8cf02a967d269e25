"""NIR files: networks that run exactly, approximately, or not, each with the line it gets."""

import json
import re
from pathlib import Path

import nir
import numpy as np
import pytest

from sim.equivalence import compare
from sw import ticket as tickets
from sw.importers import door
from sw.importers.graph import Options, Refused
from sw.importers.nir import from_graph
from tests.command import status as run
from tests.nir_networks import chain, conv, dyadic, flatten, integrate, lif, pool, save


def options(shape, **changes):
    return Options(
        **{"shape": shape, "ticks": 4, "dt": 1.0, "reset": "zero", "spikes": True} | changes
    )


def opened(graph, given):
    return door.imported(from_graph(graph, given), given, door.Scaling())


def images(shape, ticks, count=4):
    rng = np.random.default_rng(3)
    size = (count, *shape) if ticks is None else (count, ticks, *shape)
    top, share = (256, 1.0) if ticks is None else (2, 0.4)
    drawn = rng.integers(0, top, size) * (rng.random(size) < share if ticks else 1)
    return np.asarray(drawn, np.uint8)


def agreement(graph, given):
    network = opened(graph, given)
    ticks = given.ticks if given.spikes else None
    sample = images(given.shape, ticks)
    return network, compare(network, network.ticket(), sample)


def exact_lif():
    """Tau = 4/3 dt, r = 1: leak 1/4 and gain 3/4, the array's own; sums meet the threshold exactly."""
    rng = np.random.default_rng(1)
    return chain(
        (3, 8, 8),
        conv(dyadic(rng, 6, 3, 3, 3), bias=dyadic(rng, 6)),
        lif(6, 8, 8, threshold=0.75),
        conv(dyadic(rng, 6, 1, 3, 3), groups=6, stride=2),
        lif(6, 4, 4),
        conv(dyadic(rng, 8, 6, 1, 1), padding=0),
        lif(8, 4, 4, threshold=0.5),
    )  # fmt: skip


def integrate_and_fire():
    rng = np.random.default_rng(2)
    return chain(
        (2, 9, 9),
        conv(dyadic(rng, 5, 2, 3, 3)),
        integrate(5, 9, 9),
        conv(dyadic(rng, 8, 5, 3, 3), stride=2),
        integrate(8, 5, 5, threshold=2.0),
        conv(dyadic(rng, 4, 8, 3, 3), padding=0),
        integrate(4, 3, 3, threshold=0.3),
        flatten(),
        nir.Affine(dyadic(rng, 5, 36), dyadic(rng, 5)),
        integrate(5),
    )  # fmt: skip


def pooled():
    """Sums of spikes before neurons, means before a 1x1 convolution, a linear layer on 2x2."""
    rng = np.random.default_rng(5)
    return chain(
        (2, 8, 8),
        conv(dyadic(rng, 4, 2, 3, 3)),
        integrate(4, 8, 8),
        pool(nir.SumPool2d),
        integrate(4, 4, 4),
        pool(nir.AvgPool2d),
        conv(dyadic(rng, 6, 4, 1, 1), padding=0),
        integrate(6, 2, 2, threshold=0.25),
        flatten(),
        nir.Linear(dyadic(rng, 3, 24)),
        integrate(3),
    )  # fmt: skip


def leaky_mlp():
    rng = np.random.default_rng(7)
    return chain(
        (20,),
        nir.Linear(dyadic(rng, 30, 20, step=1 / 16)),
        lif(30, tau=2.0, r=2.0, v_leak=0.25),
        nir.Affine(dyadic(rng, 10, 30, step=1 / 16), dyadic(rng, 10)),
        lif(10, tau=2.0, r=2.0),
        nir.Linear(dyadic(rng, 4, 10)),
    )  # fmt: skip


def several_leaks():
    """No leak, 5/8 and 1/4, one after the other."""
    rng = np.random.default_rng(11)
    return chain(
        (2, 8, 8),
        conv(dyadic(rng, 6, 2, 3, 3)),
        integrate(6, 8, 8),
        conv(dyadic(rng, 8, 6, 3, 3), stride=2),
        lif(8, 4, 4, tau=8 / 3, r=8 / 3),
        conv(dyadic(rng, 4, 8, 3, 3)),
        lif(4, 4, 4),
    )


def rectangle():
    rng = np.random.default_rng(12)
    return chain(
        (2, 6, 11),
        conv(dyadic(rng, 6, 2, 3, 3)),
        lif(6, 6, 11),
        conv(dyadic(rng, 4, 6, 3, 3), stride=2),
        lif(4, 3, 6),
    )


def pairs():
    """2x2 of stride 2 where one side is odd: 4x4 of stride 2, padded by 1."""
    rng = np.random.default_rng(15)
    return chain(
        (2, 9, 8),
        conv(dyadic(rng, 5, 2, 2, 2), padding=0, stride=2),
        integrate(5, 4, 4),
        conv(dyadic(rng, 4, 5, 2, 2), padding=0, stride=2),
        integrate(4, 2, 2),
    )


def narrow():
    """A linear layer on a map of 2x3."""
    rng = np.random.default_rng(16)
    return chain(
        (2, 4, 6),
        conv(dyadic(rng, 5, 2, 3, 3), stride=2),
        integrate(5, 2, 3),
        flatten(),
        nir.Linear(dyadic(rng, 4, 30)),
        integrate(4),
    )


def weighed():
    """Scales of spikes by channel, before a pool and before groups."""
    rng = np.random.default_rng(17)
    each = np.array([0.5, 1, 2, 0.25]).reshape(4, 1, 1)
    return chain(
        (2, 8, 8),
        conv(dyadic(rng, 4, 2, 3, 3)),
        integrate(4, 8, 8),
        nir.Scale(each * np.ones((4, 8, 8))),
        pool(nir.SumPool2d),
        conv(dyadic(rng, 6, 4, 3, 3)),
        integrate(6, 4, 4, threshold=2.0),
        nir.Scale(np.full((6, 4, 4), 2.0)),
        conv(dyadic(rng, 6, 3, 3, 3), groups=2),
        integrate(6, 4, 4, threshold=2.0),
        nir.Scale(np.repeat([0.5, 1, 2], 2).reshape(6, 1, 1) * np.ones((6, 4, 4))),
        flatten(),
        nir.Linear(dyadic(rng, 3, 96)),
        integrate(3, threshold=2.0),
    )  # fmt: skip


def strided_kernels():
    """5x5 and 4x4 of stride 2; sums over 2x2 before 3x3, which are 6x6 of stride 2."""
    rng = np.random.default_rng(14)
    return chain(
        (2, 16, 16),
        conv(dyadic(rng, 4, 2, 5, 5), padding=1, stride=2),
        integrate(4, 7, 7),
        conv(dyadic(rng, 5, 4, 4, 4), padding=2, stride=2),
        integrate(5, 4, 4, threshold=2.0),
        pool(nir.SumPool2d),
        conv(dyadic(rng, 4, 5, 3, 3)),
        integrate(4, 2, 2, threshold=2.0),
    )  # fmt: skip


def large_kernels():
    """5x5 padded, 7x7 not, and a linear layer on what is left of the map."""
    rng = np.random.default_rng(13)
    return chain(
        (2, 12, 12),
        conv(dyadic(rng, 5, 2, 5, 5), padding=2),
        integrate(5, 12, 12),
        conv(dyadic(rng, 4, 5, 7, 7), padding=0),
        integrate(4, 6, 6, threshold=4.0),
        flatten(),
        nir.Affine(dyadic(rng, 5, 144), dyadic(rng, 5)),
        integrate(5, threshold=2.0),
    )  # fmt: skip


SOFT = {"reset": "subtract", "start": "half"}
EXACT = {
    "lif, tau 4/3, depthwise, bias": (exact_lif, (3, 8, 8), {}, (None, None)),
    "if, odd sides, linear on 3x3": (integrate_and_fire, (2, 9, 9), {}, (None, None)),
    "sum and mean pools": (pooled, (2, 8, 8), {}, (None, None)),
    "lif, tau 2, v_leak, sums at the end": (leaky_mlp, (20, 1, 1), {}, (None, None)),
    "subtract": (
        exact_lif, (3, 8, 8), {"reset": "subtract"}, (None, "layer conv2d0: reset = subtract wanted; the array has zero"),
    ),
    "subtract, half": (
        several_leaks, (2, 8, 8), SOFT, (None, "layer conv2d0: reset = subtract wanted; the array has zero"),
    ),
    "half": (
        exact_lif, (3, 8, 8), {"start": "half"}, (None, "layer conv2d0: start = half wanted; the array has zero"),
    ),
    "many ticks": (
        integrate_and_fire, (2, 9, 9), {"ticks": 11}, (None, "11 ticks wanted; the array has up to 4"),
    ),
    "rectangle": (
        rectangle, (2, 6, 11), {}, (None, "layer conv2d0: a map of 6x11; the array has squares"),
    ),
    "large kernels": (
        large_kernels, (2, 12, 12), {}, (None, "layer conv2d0: a kernel of 5; the array has 1 and 3"),
    ),
    "large kernels of stride 2": (
        strided_kernels, (2, 16, 16), {}, (None, "layer conv2d0: a kernel of 5 and a stride of 2; the array has 1 and 3"),
    ),
    "2x2 of stride 2": (
        pairs, (2, 9, 8), {}, (None, "layer conv2d0: a kernel of 4 and a stride of 2; the array has 1 and 3"),
    ),
    "linear on 2x3": (
        narrow, (2, 4, 6), {}, (None, "layer conv2d0: a map of 2x3; the array has squares"),
    ),
    "scales of spikes": (
        weighed, (2, 8, 8), {}, (None, "layer conv2d4: a kernel of 6 and a stride of 2; the array has 1 and 3"),
    ),
    "several leaks": (
        several_leaks, (2, 8, 8), {}, (None, "layer conv2d2: leak 0.625 wanted; the array has 1, 2^-k and 1 - 2^-k"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_spikes_are_those_of_the_files_equations(name):
    make, shape, changes, whys = EXACT[name]
    network, found = agreement(make(), options(shape, **changes))
    assert network.report.verdict == "exact"
    for machine, expected in zip(("event", "sweep"), whys, strict=True):
        said = [fit.why_not[machine] for fit in network.report.layers if fit.why_not[machine]]
        assert said[0].startswith(expected) if expected else not said, said
    assert (found["spikes_equal"], found["predictions_equal"]) == (1, 1), found
    assert any(0.02 < layer.mean() < 0.98 for layer in fired(network))


def fired(network):
    """The reference's spikes of each layer, so that a silent network proves nothing."""
    from sw.importers import reference

    x = images(network.options.shape, network.options.ticks)[0]
    values = reference.run(network.graph, x)
    return [values[row.node] for row in network.lowered.rows]


def test_weights_of_any_kind_agree_almost_always():
    rng = np.random.default_rng(9)
    graph = chain(
        (1, 8, 8),
        conv(rng.normal(0.05, 0.4, (8, 1, 3, 3)).astype(np.float32)),
        lif(8, 8, 8, tau=4 / 3),
        conv(rng.normal(0.02, 0.2, (8, 8, 3, 3)).astype(np.float32)),
        lif(8, 8, 8, tau=4 / 3),
    )
    network, found = agreement(graph, options((1, 8, 8), spikes=False))
    assert network.lowered.network.host is not None
    assert found["spikes_equal"] >= 0.999


@pytest.mark.parametrize("spikes", [True, False])
def test_above_the_threshold_is_not_at_it(spikes):
    """Two weights of one half: their sum is the threshold, which NIR does not count as above."""
    half = np.full((1, 2), 0.5, np.float32)
    graph = chain((2,), nir.Linear(half), integrate(1), nir.Linear(half[:, :1] * 2), integrate(1))
    given = options((2, 1, 1), spikes=spikes, ticks=2)
    network = opened(graph, given)
    image = np.full((1, 2, 2, 1, 1) if spikes else (1, 2, 1, 1), 1 if spikes else 255, np.uint8)
    found = compare(network, network.ticket(), image)
    assert found["spikes_equal"] == 1
    from sw import golden
    from sw.quantize import quantize, ticket_config

    ticket = network.ticket()
    integers = quantize(ticket, ticket_config(ticket))
    result = golden.first_layer_spikes(integers, image)[0]
    if spikes:
        result = golden.run(integers, result)["linear0"].output
    assert result.ravel().tolist() == [0, 1]  # 1 is not above 1; 2 is


def test_edges_that_meet_are_a_sum():
    rng = np.random.default_rng(4)
    nodes = {
        "input": nir.Input(np.array([2, 4, 4])),
        "a": conv(dyadic(rng, 4, 2, 3, 3)),
        "fa": integrate(4, 4, 4),
        "b": conv(dyadic(rng, 4, 4, 3, 3)),
        "short": conv(dyadic(rng, 4, 4, 1, 1), padding=0),
        "fb": integrate(4, 4, 4),
        "output": nir.Output(None),
    }
    edges = [
        ("input", "a"),
        ("a", "fa"),
        ("fa", "b"),
        ("fa", "short"),
        ("b", "fb"),
        ("short", "fb"),
    ]
    graph = nir.NIRGraph(nodes, [*edges, ("fb", "output")], type_check=False)
    network, found = agreement(graph, options((2, 4, 4)))
    assert len(network.lowered.network.layers[1].sources) == 2
    assert found["spikes_equal"] == 1


W = np.full((4, 2, 3, 3), 0.25, np.float32)


def summed(kernels):
    """Several convolutions of one map, added."""
    graph = chain((2, 4, 4), conv(W), integrate(4, 4, 4), integrate(4, 4, 4))
    graph.edges.remove(("if1", "if2"))
    for number, kernel in enumerate(kernels):
        name = f"part{number}"
        graph.nodes[name] = conv(np.full((4, 4, kernel, kernel), 0.25), padding=kernel // 2)
        graph.edges += [("if1", name), (name, "if2")]
    return graph


def skipped():
    """A linear layer's current and another's."""
    graph = chain(
        (2,), nir.Linear(np.ones((3, 2))), integrate(3), nir.Linear(np.ones((3, 3))), integrate(3)
    )
    graph.nodes["skip"] = nir.Linear(np.ones((3, 2)))
    graph.edges += [("input", "skip"), ("skip", "if3")]
    return graph


def loop():
    graph = chain((2, 4, 4), conv(W), integrate(4, 4, 4))
    graph.nodes["back"] = conv(np.full((4, 4, 3, 3), 0.25, np.float32))
    graph.edges += [("if1", "back"), ("back", "if1")]
    return graph


def per_position():
    node = integrate(4, 4, 4)
    node.v_threshold[0, 0, 0] = 2
    return chain((2, 4, 4), conv(W), node)


def infinite():
    return chain((2, 4, 4), conv(np.where(np.arange(3) == 1, np.inf, W)), integrate(4, 4, 4))


def cuba():
    a = np.ones(4)
    return chain((2, 4, 4), conv(W), nir.CubaLIF(a, a, a, a, a))


REFUSED = {
    "loop": (loop, {}, r"node if1.sum: is in or after a loop"),
    "unknown node": (cuba, {}, r"node cubalif1: CubaLIF; allowed: Affine, "),
    "no dt": (lambda: chain((2, 4, 4), conv(W), lif(4, 4, 4)), {"dt": None}, r"node lif1: .*give --dt"),
    "no reset": (
        lambda: chain((2, 4, 4), conv(W), lif(4, 4, 4)), {"reset": None},
        r"node lif1: v_reset = 0 .*give --reset zero or --reset subtract or --reset late",
    ),
    "leak": (
        lambda: chain((2, 4, 4), conv(W), lif(4, 4, 4, tau=10.0)), {},
        r"layer conv2d0: leak 0.9 wanted; .* nearest: 0.898438 or 0.902344",
    ),
    "dt above tau": (
        lambda: chain((2, 4, 4), conv(W), lif(4, 4, 4, tau=0.5)), {}, r"node lif1: leak = -1; allowed: 0 to 1",
    ),
    "v_reset": (
        lambda: chain((2, 4, 4), conv(W), lif(4, 4, 4, v_reset=0.5)), {}, r"node lif1: v_reset = 0.5; allowed: 0",
    ),
    "ticks": (
        lambda: chain((2, 4, 4), conv(W), integrate(4, 4, 4)), {"ticks": 300},
        r"300 ticks wanted; the array has up to 256; nearest: --ticks 256",
    ),
    "7x7 of stride 2": (
        lambda: chain(
            (2, 8, 8), conv(np.ones((4, 2, 7, 7), np.float32), padding=3, stride=2), integrate(4, 4, 4)
        ),
        {"shape": (2, 8, 8)}, r"layer conv2d0: a kernel of 7 and a stride of 2; the array has 1, 3, 4, 5 and 6",
    ),
    "5x5 of stride 2, not padded": (
        lambda: chain(
            (2, 9, 9), conv(np.ones((4, 2, 5, 5), np.float32), padding=0, stride=2), integrate(4, 3, 3)
        ),
        {"shape": (2, 9, 9)}, r"layer conv2d0: a padding of 0; allowed here: \(1, 2\)",
    ),
    "9x9": (
        lambda: chain((2, 9, 9), conv(np.ones((4, 2, 9, 9), np.float32), padding=4), integrate(4, 9, 9)),
        {"shape": (2, 9, 9)}, r"layer conv2d0: a kernel of 9; the array has 1, 3, 5 and 7",
    ),
    "linear on a map": (
        lambda: chain(
            (2, 26, 26), conv(W), integrate(4, 26, 26), flatten(),
            nir.Linear(np.full((3, 4 * 26 * 26), 0.25, np.float32)), integrate(3),
        ),
        {"shape": (2, 26, 26)},
        r"layer linear3: a linear layer on a map of side 26; the array needs side 24 or less",
    ),
    "mean over 4x4 before 3x3": (
        lambda: chain(
            (2, 8, 8), conv(W), integrate(4, 8, 8), pool(nir.AvgPool2d, 4),
            conv(np.ones((4, 4, 3, 3), np.float32)), integrate(4, 2, 2),
        ),
        {"shape": (2, 8, 8)}, r"layer conv2d3: a stride of 4; the array has 1 and 2",
    ),
    "a sum over 2x2 on odd sides, then padding": (
        lambda: chain(
            (2, 9, 9), conv(W), integrate(4, 9, 9), pool(nir.SumPool2d),
            conv(np.ones((4, 4, 2, 2), np.float32)), integrate(4, 5, 5),
        ),
        {"shape": (2, 9, 9)},
        r"node conv2d3: Conv2d after a pool of \(2, 2\) on a map of 9x9; allowed: sides that the pool divides",
    ),
    "three sources": (lambda: summed((3, 1, 1)), {}, r"layer part0: 3 sources; the array has up to 2"),
    "two 3x3": (lambda: summed((3, 3)), {}, r"layer part0: a shortcut with a kernel of 3; the array has 1"),
    "a linear layer and another": (
        skipped, {"shape": (2, 1, 1)}, r"layer linear2: a linear layer with a shortcut; the array has one or the other"),
    "threshold a position": (per_position, {}, r"node if1: threshold differs inside a channel"),
    "not finite": (infinite, {}, r"node conv2d0: weight\[0, 0, 0, 1\] = inf; allowed: finite"),
    "shapes": (
        lambda: chain((3, 4, 4), conv(W), integrate(4, 4, 4)), {"shape": (3, 4, 4)},
        r"node conv2d0: weight for 2 channels .* has 3x4x4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    make, changes, line = REFUSED[name]
    given = options(**{"shape": (2, 4, 4)} | changes)
    with pytest.raises(Refused, match=f"^{line}"):
        opened(make(), given).ticket()


def test_check_and_import_write_what_they_print(tmp_path, capsys):
    file = save(tmp_path / "net.nir", exact_lif())
    given = ("--input", "3,8,8", "--ticks", "4", "--dt", "1", "--reset", "zero")
    np.savez(tmp_path / "x.npz", images=images((3, 8, 8), 4), labels=np.arange(4))
    assert run("check", file, *given, "--encoding", "spikes", "--json", tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["verdict"] == "exact"
    first = report["layers"][0]
    assert (first["name"], first["sweep"], first["event"]) == ("conv2d0", None, None)
    assert first["from"] == ["conv2d0 (Conv2d)", "lif1 (LIF)"]
    sources = {choice["what"]: choice["source"] for choice in first["choices"]}
    found = [sources[what] for what in ("reset", "integration", "threshold")]
    assert found == ["given", "assumed", "from the file"]
    out = tmp_path / "net.npz"
    assert run("import", file, out, *given, "--images", tmp_path / "x.npz") == 0
    assert "100.0000% of its spikes are equal" in capsys.readouterr().out
    ticket = tickets.load(out)
    assert ticket.metadata["notes"]["agreement"]["spikes_equal"] == 1
    assert ticket.network.layers[0].neuron.fires == "above"
    assert run("estimate", out) == 2
    assert re.search("names no data set; give --images FILE.npz", capsys.readouterr().err.strip())


def test_a_rounded_leak_needs_to_be_accepted(tmp_path, capsys):
    file = save(tmp_path / "net.nir", chain((2, 4, 4), conv(W), lif(4, 4, 4, tau=10.0)))
    given = (
        "--input",
        "2,4,4",
        "--ticks",
        "4",
        "--dt",
        "1",
        "--reset",
        "zero",
        "--encoding",
        "spikes",
    )
    out = tmp_path / "t.npz"
    assert run("check", file, *given, "--round-leak") == 1
    assert run("import", file, out, *given, "--round-leak") == 2
    assert re.search(r"leak 0.9 rounded to 0.898438, -0.17%", capsys.readouterr().err)
    assert not out.exists()
    assert run("import", file, out, *given, "--round-leak", "--accept") == 0
    assert tickets.load(out).network.layers[0].neuron.leak == 230 / 256


def test_larger_hardware_has_room_for_larger_maps(tmp_path, capsys):
    weight = np.ones((40, 2, 3, 3), np.float32)
    file = save(tmp_path / "net.nir", chain((2, 64, 64), conv(weight), integrate(40, 64, 64)))
    spikes = ("--dt", "1", "--reset", "zero", "--encoding", "spikes")
    given = ("--input", "2,64,64", "--ticks", "16", *spikes)
    assert run("check", file, *given) == 2
    line = (
        r"layer conv2d0: its map of 40 channels of 64x64 in 4 rounds of ticks needs 2621440 bits .*"
        "; nearest: --hardware with a buffer_depth above 512$"
    )
    assert re.search(line, capsys.readouterr().err.strip())
    large = tmp_path / "large.yaml"
    large.write_text("buffer_depth: 4096")
    assert run("check", file, *given, "--hardware", large) == 0
    large.write_text("preset: tiny")  # whose rings the event machine does not have
    assert run("check", file, *given, "--hardware", large) == 2
    assert re.search(r"hardware: scratchpad_depth = 64, allowed: 128", capsys.readouterr().err)


EVENT = """\
machine: event
n_pe: 4
ticks: 2
tile_side: 4
scratchpad_depth: 128
buffer_depth: 128
queue_depth: 4
banks: 4
fifo_depth: 3
stream_bits: 64
"""


@pytest.mark.parametrize(
    ("hardware", "ticks", "reset"), [("preset: tiny\n", 2, "zero"), (EVENT, 5, "subtract")]
)
def test_the_rtl_proves_what_was_imported(hardware, ticks, reset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save("net.nir", exact_lif())
    np.savez("x.npz", images=images((3, 8, 8), ticks, 2))
    (tmp_path / "tiny.yaml").write_text(hardware)
    given = ("--input", "3,8,8", "--ticks", str(ticks), "--dt", "1", "--reset", reset)
    assert run("import", "net.nir", "net.npz", *given, "--images", "x.npz") == 0
    assert (
        run("sim", "net.npz", "--images", "x.npz", "--hardware", "tiny.yaml", "--json", "r.json")
        == 0
    )
    assert "proven" in capsys.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["reference"] == {"spikes_equal": 1.0, "predictions_equal": 1.0}


PUBLIC = Path(__file__).parent / "data" / "nir"
EXAMPLES = {  # of the NIR paper; each with what it needs
    "braille_noDelay_bias_zero.nir": ((12, 1, 1), r"node lif1.lif: CubaLIF; allowed: "),
    "lif_norse.nir": (
        (1, 1, 1),
        r"layer 0: leak 0.96 wanted; .* nearest: 0.957031 or 0.960938",
    ),
    "two_lif_neurons.nir": (
        (1, 1, 1),
        r"layer linear1: leak 0.99 wanted; .* nearest: 0.988281 or 0.992188",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_public_examples_are_explained(name):
    shape, line = EXAMPLES[name]
    given = options(shape, dt=1e-4)
    with pytest.raises(Refused, match=f"^{line}"):
        door.imported(door.read(str(PUBLIC / name), given), given, door.Scaling()).ticket()


def test_the_public_convolutional_network_runs():
    """cnn_sinabs.nir, for N-MNIST: 5x5 of stride 2, sums before 3x3. It counts time in ticks."""
    given = options((2, 34, 34), dt=1.0, reset="subtract", ticks=6)
    network = door.imported(door.read(str(PUBLIC / "cnn_sinabs.nir"), given), given, door.Scaling())
    assert network.report.verdict == "exact"
    assert [fit.why_not["event"] for fit in network.report.layers] == [None] * 5
    found = compare(network, network.ticket(), images((2, 34, 34), 6, 1))
    assert found["spikes_equal"] >= 0.999
    assert any(0.02 < layer.mean() < 0.98 for layer in fired(network))


def test_a_public_example_runs_where_its_leak_is_the_arrays():
    """lif_norse.nir: tau = 2.5 ms, one neuron; at dt = 0.625 ms its leak is 3/4."""
    given = options((1, 1, 1), dt=0.000625)
    network = door.imported(door.read(str(PUBLIC / "lif_norse.nir"), given), given, door.Scaling())
    assert network.report.verdict == "exact"
    assert network.lowered.network.layers[0].neuron.leak == 0.75
    found = compare(network, network.ticket(), images((1, 1, 1), 4, 8))
    assert found["spikes_equal"] == 1


BAD = {
    "no file": (("none.nir",), r"none.nir: no such file"),
    "not nir": (("text.nir",), r"text.nir: not a NIR file, or a damaged one"),
    "ticks 0": (("net.nir", "--ticks", "0"), r"--ticks.*0"),
    "input": (("net.nir", "--input", "2,x"), r"--input.*'2,x'"),
    "images of another shape": (("net.nir", "--images", "other.npz"), r"other.npz: images = uint8 \(4, 4, 3, 3, 3\), allowed: uint8 \(N, 4, 2, 4, 4\)"),
    "images of another type": (("net.nir", "--images", "floats.npz"), r"floats.npz: images = float64"),
    "std": (("net.nir", "--std", "0"), r"--std 0.*allowed: 2 numbers above 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_no_file(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "net.nir", chain((2, 4, 4), conv(W), integrate(4, 4, 4)))
    (tmp_path / "text.nir").write_text("not HDF5")
    np.savez("other.npz", images=images((3, 3, 3), 4))
    np.savez("floats.npz", images=np.zeros((4, 4, 2, 4, 4)))
    (network, *more), line = BAD[name]
    arguments = ["--input", "2,4,4", "--ticks", "4", "--dt", "1", "--reset", "zero", *more]
    before = sorted(tmp_path.iterdir())
    assert run("import", network, "out.npz", *arguments) == 2
    error = capsys.readouterr().err
    assert re.search(line, error), error
    assert "Traceback" not in error
    assert error.strip().count("\n") == 0
    assert sorted(tmp_path.iterdir()) == before
