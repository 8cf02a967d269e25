"""How fast the RTL of both machines runs, and how much of the sweep works: python benchmarks/simulation.py [MODEL].

One image through the whole network on one core, after the build. CPU seconds are those of all threads of the process:
with OPENBLAS_NUM_THREADS=1 the RTL's alone. Figures in seconds depend on the
machine and on what else it does: compare ratios of one run.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace

from hw.config import MACHINES, Config
from sim.catalog import Model, load_model
from sim.images import first_images
from sim.models.workload import rtl_bound_cycles
from sim.rtl.harness import Rtl
from sw import golden
from sw.compile import Program
from sw.machines import compile_network
from sw.quantize import quantize

HANGS = 100_000_000  # cycles


def efficiency(program: Program, total: int, config: Config) -> float:
    """totals.rtl_efficiency: the fewest cycles that the work can take, over the RTL's."""
    bound = 0
    for layer in program.layers:
        work = int(layer.integer.filter_nnz.sum()) * layer.side**2 * config.ticks
        bound += rtl_bound_cycles(work, lanes=config.lanes, n_pe=config.n_pe)
    return bound / total


def measured(model: Model, config: Config, method: str, rtl: Rtl) -> str:
    """A line of one image of one method."""
    ticket = model.ticket(model.method(method))
    network = quantize(ticket, config)
    program = compile_network(network, config)
    images, _ = first_images(ticket.metadata["dataset"], 1)
    started = time.perf_counter()
    spikes = golden.first_layer_spikes(network, images)[0]
    golden.run(network, spikes)
    golden_s = time.perf_counter() - started
    started, cpu = time.perf_counter(), time.process_time()
    run = rtl.run(program, spikes, max_cycles=HANGS)
    rtl_s, rtl_cpu = time.perf_counter() - started, time.process_time() - cpu
    share = ""
    if config.machine == "sweep":
        share = f"efficiency {efficiency(program, run.cycles, config):.4f}; "
    return (
        f"{config.machine}, {method}: {run.cycles:,} cycles, {share}RTL {rtl_s:.2f} s "
        f"({rtl_cpu:.2f} s CPU, {run.cycles / rtl_cpu:,.0f} cycles/s), golden model {golden_s:.2f} s"
    )


def main(name: str) -> None:
    """Print the figures of each method of a model, on each machine."""
    model = load_model(name)
    for machine in MACHINES:
        config = replace(model.hardware, machine=machine)
        with Rtl(config) as rtl:
            print(f"{machine}, build (or cache): {rtl.build_s:.1f} s")
            for method in ("uticket", "lth"):
                print(measured(model, config, method, rtl))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    builds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory: {peak:,.0f} MiB here, {builds:,.0f} MiB in a compiler, if one ran")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "vgg16_cifar10")
