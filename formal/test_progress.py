"""No deadlock: as long as its surroundings serve it, a PE goes on until the barrier or the layer's end.

From any state that can be reached, whatever stalls led there: if the PE is then served (words and headers
are offered, its slots come, its words are taken), something of it moves within PATIENCE cycles. What
moves is finite in every program: its beats, its words once for each tile, a sweep for each of them
(test_accumulate.py: it ends), an output word for each word of the map. So a PE always comes to the
barrier or the end of its layer. docs/verification.md goes on from there to the whole array.
"""

from dataclasses import replace

import pytest
from amaranth import Cat, Signal, Value

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import PRESETS
from hw.drain import Drain
from hw.loader import Error, Loader
from hw.pe import PE
from hw.program import FILTER_HEADER
from hw.scratchpad import pointer_bits
from hw.window import LATENCY
from hw.wsp import weight_layout

CONFIG = replace(PRESETS["tiny"], ticks=1, scratchpad_depth=32)
PATIENCE = LATENCY + 1
RUN, BARRIER, FLUSH = 1, 2, 3  # states, in the order of hw/control.py; DONE is 0, FLUSHING 4
FAULTS = {
    "pe: an empty filter waits for a window": fault(
        "if ({w} ) begin {w} = i__payload[31]; end", "if ({1} ) begin {2} = 1'h0; end"
    ),
    "loader: a descriptor is not taken": fault("3'h3: ready = 1'h1;", "3'h3: ready = 1'h0;"),
}


def pe() -> Bench:
    """Of any program whose filters fit the ring.

    A layer starts when the one before is done. A window comes LATENCY cycles after its slot.
    """
    b = Bench(PE(CONFIG))
    m, pointer, rows = b.m, pointer_bits(CONFIG), CONFIG.scratchpad_rows
    for name in ("index", "layer", "geometry"):
        value = Value.cast(b.ports[name])
        b.assume(b.past(b.done, f"{name}_done") | (value == b.past(value, name)))
    b.assume(~b.layer_start | b.done)
    b.assume(b.header__payload.length <= CONFIG.scratchpad_depth)
    granted = [b.request__valid & b.request__ready]
    for k in range(LATENCY):
        granted.append(b.past(granted[-1], f"granted_{k}"))
    b.assume(b.window_valid == granted[LATENCY])

    state = b.inside("control.fsm_state", 3)
    running, waiting = b.inside("decoder.running"), b.inside("decoder.waiting")
    index, column = b.inside("decoder.index", 11), b.inside("decoder.column", 2)
    pattern, available = b.inside("decoder.pattern", 9), b.inside("decoder.available")
    consume, emit = b.inside("decoder.consume"), b.inside("decoder.emit")
    start, reading = b.inside("decoder.start", pointer), b.inside("decoder.reading", pointer)
    head, tail = b.inside("scratchpad.head", pointer), b.inside("decoder.tail", pointer)
    next_row = b.inside("decoder.row", pointer)
    segment = b.inside("decoder.segment", FILTER_HEADER)
    weight = weight_layout(CONFIG)
    decoded, decoded_valid = b.inside("decoder.o__payload", weight), b.inside("decoder.o__valid")
    fetched, fetched_valid = b.inside("fetch.o__payload", weight), b.inside("fetch.o__valid")
    held, current = b.inside("fetch.held"), b.inside("control.current", weight)
    busy, draining = b.inside("control.leaving_busy"), b.inside("control.draining")
    sweeping, sweep_valid = b.inside("sweep.running"), b.inside("sweep.valid")
    drains = draining & sweep_valid
    stages = 1 + Drain.latency(CONFIG)
    bits = 2 + 2 * (CONFIG.tile_side.bit_length() - 1)
    passing = [b.inside(f"drain.passing_{k}", bits) for k in range(stages)]
    valid, last = [p[0] for p in passing], [p[1] for p in passing]

    # --- served, but nothing moves ---
    served = b.weights__valid & b.header__valid & b.request__ready & b.output__ready
    moves = Cat(
        *(b.weights__ready, b.header__ready, consume, emit, granted[0], b.window_valid, sweeping),
        *(b.inside("sweep.start"), b.output__valid, *valid, *last),
        *(b.at_barrier, b.done),
    ).any()
    stuck = served & ~moves
    history = [stuck]
    for k in range(PATIENCE):
        history.append(b.past(history[-1], f"stuck_{k}"))
    b.check(~Cat(history).all())

    # --- what is true in every state that can be reached, for the induction ---
    def distance(first, second):
        return (second - first)[:pointer]

    b.check(state <= 4)
    # the ring
    there = Signal(name="there")
    m.d.sync += there.eq(distance(tail, next_row) < distance(tail, head))
    b.check(distance(tail, head) <= rows)
    b.check(distance(tail, reading) <= distance(tail, head))
    b.check(~available | there)
    b.check(Cat(index, column, pattern, distance(start, reading)) == 0, ~running)
    b.check((index < segment.length) | ((segment.length == 0) & (index == 0)), running)
    b.check((column == index[:2]) & (distance(start, reading) == (index >> 2)), running)
    b.check(segment.length <= CONFIG.scratchpad_depth, running)
    # the layer's last weight, on its way: nothing follows it until the next layer
    ends = lambda w: w.end & w.segment_last  # noqa: E731
    in_decoder, in_fetch = decoded_valid & ends(decoded), held & ends(fetched)
    in_sweep = ends(current) & (((state == RUN) & sweeping) | (state == BARRIER))
    over = (state == 0) | (state >= FLUSH)
    b.check(waiting == (in_decoder | in_fetch | in_sweep | over))
    b.check(~running, waiting)
    b.check(~decoded_valid, in_fetch | in_sweep | over)
    b.check(~held, in_sweep | over)
    b.check(current.segment_last, state == BARRIER)
    b.check(~sweeping, (state == 0) | (state == BARRIER) | (state == FLUSH))
    # a window
    on_the_way = Cat(granted[1:])
    count = sum(granted[k] for k in range(1, LATENCY + 1))
    b.check(count == (held & ~fetched_valid))
    b.check(held, fetched_valid | on_the_way.any())
    # the tile that leaves
    b.check(~busy | b.output__valid | drains | Cat(last).any())
    b.check(busy, drains | Cat(valid).any() | Cat(last).any() | b.output__valid)
    b.check(~b.done, busy)
    b.check(~drains & ~Cat(valid).any() & ~Cat(last).any(), b.output__valid)
    for k in range(1, stages):
        b.check(~drains & ~Cat(valid[:k], last[:k]).any(), last[k])
    return b


def loader() -> Bench:
    """Every receiver takes what it is offered: then so does the loader, until the program is in."""
    b = Bench(Loader(CONFIG))
    receivers = Cat(b.header_ready, b.weights_ready, b.activations__ready, b.layer__ready).all()
    running = b.inside("fsm_state", 3) == 6  # in the order in which hw/loader.py names its states
    served = receivers & b.past(receivers, "receivers") & b.started()
    b.check(b.i__ready, served & ~running & (b.error == Error.NONE))
    return b


PROOFS = {"pe": pe, "loader": loader}
DEPTH, STEP = PATIENCE + 4, PATIENCE + 2


@pytest.mark.parametrize("name", PROOFS)
def test_what_is_served_moves(name):
    prove(PROOFS[name](), f"progress_{name}", depth=DEPTH, induction=STEP)


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_served_moves_fault(name):
    proof = name.partition(":")[0]
    refute(PROOFS[proof](), f"progress_{proof}", FAULTS[name], depth=DEPTH, induction=STEP)
