"""How fast the RTL runs, and how much of it works: python benchmarks/simulation.py [MODEL].

One image through the whole network on one core, after the build. Figures in seconds depend on the
machine and on what else it does: compare ratios of one run.
"""

from __future__ import annotations

import resource
import sys
import time

from hw.config import Config
from sim.catalog import load_model
from sim.images import first_images
from sim.models import cycles, golden
from sim.models.workload import rtl_bound_cycles
from sim.rtl.harness import Rtl
from sw.compile import Program
from sw.machines import compile_network
from sw.quantize import quantize


def efficiency(program: Program, total: int, config: Config) -> float:
    """totals.rtl_efficiency: the fewest cycles that the work can take, over the RTL's."""
    bound = 0
    for layer in program.layers:
        work = int(layer.integer.filter_nnz.sum()) * layer.side**2 * config.ticks
        bound += rtl_bound_cycles(work, lanes=config.lanes, n_pe=config.n_pe)
    return bound / total


def main(name: str) -> None:
    """Print the figures of each method of a model."""
    model = load_model(name)
    with Rtl(model.hardware) as rtl:
        print(f"build (or cache): {rtl.build_s:.1f} s")
        for method in ("uticket", "lth"):
            ticket = model.ticket(model.method(method))
            network = quantize(ticket, model.hardware)
            program = compile_network(network, model.hardware)
            images, _ = first_images(ticket.metadata["dataset"], 1)
            started = time.perf_counter()
            spikes = golden.first_layer_spikes(network, images)[0]
            golden.run(network, spikes)
            golden_s = time.perf_counter() - started
            started = time.perf_counter()
            bound = cycles.bound(program, spikes)
            model_s = time.perf_counter() - started
            started, cpu = time.perf_counter(), time.process_time()
            run = rtl.run(program, spikes, max_cycles=bound)
            rtl_s, rtl_cpu = time.perf_counter() - started, time.process_time() - cpu
            print(
                f"{method}: {run.cycles:,} cycles, efficiency "
                f"{efficiency(program, run.cycles, model.hardware):.4f}; RTL {rtl_s:.2f} s "
                f"({rtl_cpu:.2f} s CPU, {run.cycles / rtl_cpu:,.0f} cycles/s), "
                f"cycle model {model_s:.2f} s, golden model {golden_s:.2f} s"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    builds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory: {peak:,.0f} MiB here, {builds:,.0f} MiB in a compiler, if one ran")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "vgg16_cifar10")
