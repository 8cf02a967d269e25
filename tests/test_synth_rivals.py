"""What rivals add does what it says: the network permutes, the queue keeps order."""

import itertools

import pytest
from amaranth.sim import Simulator

from synth.rival_areas import ActivationFifo, PermutingNetwork, spans


def route(n, wanted):
    """Switches of a Benes network that bring input wanted[k] to output k (the looping algorithm)."""
    if n == 2:
        return [[wanted[0] == 1]]
    half = n // 2
    upper = [None] * n  # of each input: does it go through the upper half
    at = {source: k for k, source in enumerate(wanted)}
    for start in range(n):
        source, is_upper = start, True
        while upper[source] is None:
            upper[source] = is_upper
            upper[source ^ half] = not is_upper  # the two of a switch part
            output = at[source ^ half] ^ half  # and so do the two of an output's
            source, is_upper = wanted[output], is_upper
    first = [not upper[k] for k in range(half)]
    last = [not upper[wanted[k]] for k in range(half)]
    inner = [[None] * half, [None] * half]
    for k in range(n):
        which = 0 if upper[wanted[k]] else 1
        inner[which][k % half] = wanted[k] % half
    parts = [route(half, part) for part in inner]
    return [first, *[a + b for a, b in zip(*parts, strict=True)], last]


def test_spans():
    assert spans(2) == [1]
    assert spans(8) == [4, 2, 1, 2, 4]


@pytest.mark.parametrize("n", [2, 4, 16])
def test_network_permutes(n):
    network = PermutingNetwork(n)
    orders = list(itertools.islice(itertools.permutations(range(n)), 0, 24))
    orders += [tuple(reversed(range(n)))]

    async def bench(ctx):
        for order in orders:
            switches = [bit for stage in route(n, list(order)) for bit in stage]
            ctx.set(network.swaps, sum(bit << k for k, bit in enumerate(switches)))
            for k in range(n):
                ctx.set(network.i[k], 100 + k)
            await ctx.tick().repeat(2)
            assert [ctx.get(network.o[k]) for k in range(n)] == [100 + k for k in order]

    simulator = Simulator(network)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_queue_keeps_order():
    queue = ActivationFifo(4)
    got = []

    async def put(ctx):
        for value in range(10):
            ctx.set(queue.i.payload, value)
            ctx.set(queue.i.valid, 1)
            await ctx.tick().until(queue.i.ready)
        ctx.set(queue.i.valid, 0)

    async def get(ctx):
        await ctx.tick().repeat(7)
        assert not ctx.get(queue.i.ready)  # four are in
        ctx.set(queue.o.ready, 1)
        for _ in range(10):
            (value,) = await ctx.tick().sample(queue.o.payload).until(queue.o.valid)
            got.append(value)

    simulator = Simulator(queue)
    simulator.add_clock(1e-6)
    simulator.add_testbench(put)
    simulator.add_testbench(get)
    simulator.run()
    assert got == list(range(10))
