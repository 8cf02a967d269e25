"""Streams: under any stall, an offer stays as it is until it is taken. Each component by itself.

The decoder's is part of test_wsp.py. What the surroundings promise is assumed, and said in each bench.
"""

import pytest
from amaranth import Cat, Mux, Signal, Value

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import PRESETS
from hw.drain import Drain
from hw.fetch import Fetch
from hw.frames import Frames
from hw.loader import Error, Loader
from hw.pe import PE
from hw.results import Results

CONFIG = PRESETS["tiny"]


def fetch() -> Bench:
    """A window comes only for a weight that is held and has none."""
    b = Bench(Fetch(CONFIG))
    b.keeps_stream_rules("i", check=False)
    b.assume(~b.window_valid | (b.inside("held") & ~b.o__valid))
    b.keeps_stream_rules("request")
    b.keeps_stream_rules("o")
    b.check(~b.o__valid | b.inside("held"))
    return b


def loader() -> Bench:
    """The descriptor waits for the sequencer, headers and words for their PE, whatever the stream does; errors too.

    Activations wait for the APU until it says that it has all.
    """
    b = Bench(Loader(CONFIG))
    b.keeps_stream_rules("i", check=False)
    b.keeps_stream_rules("layer")
    for i in range(CONFIG.n_pe):
        b.keeps_offer(f"header_{i}", b.header, b.header_valid[i], b.header_ready[i])
        b.keeps_offer(f"weights_{i}", b.weights, b.weights_valid[i], b.weights_ready[i])
    taken = b.activations__ready | b.input_done
    b.keeps_offer("activations", b.activations__payload, b.activations__valid, taken)
    wrong = b.past(b.error, "error")
    b.check((wrong == Error.NONE) | (b.error != Error.NONE))
    everything = Cat(b.header_valid, b.weights_valid, b.activations__valid, b.i__ready)
    b.check((b.error == Error.NONE) | (everything == 0))
    return b


def results() -> Bench:
    """A program's input is reported before its layers; they capture when all before is out.

    The next program's input may come while the results of the one before still wait.
    """
    b = Bench(Results(CONFIG))
    in_layers = Signal(name="in_layers")
    with b.m.If(b.input_valid):
        b.m.d.sync += in_layers.eq(1)
    with b.m.Elif(b.capture & b.last_layer):
        b.m.d.sync += in_layers.eq(0)
    b.assume(~b.input_valid | ~in_layers)
    b.assume(~b.capture | (b.idle & in_layers & ~b.result_valid))
    b.assume(~b.result_valid | (b.room & in_layers))
    moved = b.past(b.shift | b.capture, "moved")  # else the chain holds still
    b.assume(moved | (b.chain == b.past(b.chain, "chain")))
    b.keeps_stream_rules("o")
    waits = b.inside("input_waiting")
    b.check(~waits | in_layers)
    b.check(b.inside("queue.inner_level", range(CONFIG.n_pe + 3)) <= CONFIG.n_pe + 1)
    b.check(in_layers | (b.inside("queue.level", range(CONFIG.n_pe + 3)) == 0))
    return b


def pe() -> Bench:
    """The layer holds still until the PE is done with it."""
    b = Bench(PE(CONFIG))
    for name in ("index", "layer", "geometry"):
        value = Value.cast(b.ports[name])
        b.assume(b.past(b.done, f"{name}_done") | (value == b.past(value, name)))
    b.keeps_stream_rules("output")
    # While a word is offered nothing is drained into it: for the induction.
    busy, draining = b.inside("control.leaving_busy"), b.inside("control.draining")
    drains = draining & b.inside("sweep.valid")
    stages = 1 + Drain.latency(CONFIG)
    bits = 2 + 2 * (CONFIG.tile_side.bit_length() - 1)
    passing = [b.inside(f"drain.passing_{k}", bits) for k in range(stages)]
    valid, last = [p[0] for p in passing], [p[1] for p in passing]
    b.check(busy, drains | Cat(valid).any() | Cat(last).any() | b.output__valid)
    b.check(~b.done, busy)
    b.check(~drains & ~Cat(valid).any() & ~Cat(last).any(), b.output__valid)
    for k in range(1, stages):
        b.check(~drains & ~Cat(valid[:k], last[:k]).any(), last[k])
    return b


def frames() -> Bench:
    """The array may be reset at any time, and take back its offer then or not.

    After a reset, the first beat of the array begins a frame for who takes it.
    """
    b = Bench(Frames())
    b.keeps_stream_rules("o")
    within, again = Signal(name="ghost_within"), Signal(name="ghost_again")
    with b.m.If(b.o__valid & b.o__ready):
        b.m.d.sync += within.eq(~b.o__payload.last)
        with b.m.If(~b.stale):
            b.m.d.sync += again.eq(0)
    with b.m.If(b.reset):
        b.m.d.sync += again.eq(1)
    b.check(~within, again & b.o__valid & ~b.stale)
    # For the induction: what the component remembers of its frame.
    waits = b.o__valid & ~b.o__payload.last
    b.check(b.inside("in_frame") == Mux(b.o__valid, waits, within))
    b.check(b.inside("in_frame"), b.inside("broken"))
    b.check(~within | b.inside("broken") | b.o__valid, again)
    b.check(b.stale, again & b.o__valid & b.inside("broken"))
    b.check(b.o__payload.last | b.inside("broken"), again & b.o__valid & b.stale)
    return b


PROOFS = {"fetch": fetch, "loader": loader, "results": results, "pe": pe, "frames": frames}
FAULTS = {
    "fetch: an offer is dropped": fault(
        "assign {w} = o__valid & o__ready;", "assign {1} = o__valid;"
    ),
    "loader: a descriptor is dropped": fault("if (layer__ready) begin", "if (!layer__ready) begin"),
    "loader: words are offered to the wrong PE": fault("weights_valid[1] =", "weights_valid[2] ="),
    "loader: a header is withdrawn": fault(
        "header_valid[2] = valid;", "header_valid[2] = valid & header_ready[0];"
    ),
    "results: the chain moves on though a beat waits": fault("shift = o__ready;", "shift = 1'h1;"),
    "results: the next program's input overtakes": fault(
        "if ({w} ) begin o__payload[63:0] = chain;",
        "if ({1} & ~input_waiting) begin o__payload[63:0] = chain;",
    ),
    "pe: a tile does not wait for the word before": fault("& leaving_busy;", "& 1'h0;"),
    "frames: the end of a frame is put over its last beat": fault(
        "if ({w} ) begin {w} [63:0] = 64'h0000000000000000;",
        "if ({1} & ~o__valid) begin {2} [63:0] = 64'h0;",
    ),
}


@pytest.mark.parametrize("name", PROOFS)
def test_offers_stay(name):
    prove(PROOFS[name](), f"stream_{name}", depth=8, induction=2)


@pytest.mark.parametrize("name", FAULTS)
def test_offers_stay_fault(name):
    proof = name.partition(":")[0]
    refute(PROOFS[proof](), f"stream_{proof}", FAULTS[name], depth=8, induction=2)
