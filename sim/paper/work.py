"""The paper's Fig. 1, 4 and 6 and Tables I to III, from our tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.models.components import load_table
from sim.models.workload import Part, part_workloads, totals
from sim.paper import rivals
from sim.paper.document import Pair, Section, Table
from sim.paper.published import published
from sim.paper.rivals import RIVALS, Load, Task, Total
from sim.reports.plots import COLORS, legend, svg
from sim.study import Study, TicketRound
from sw.balance import balance, filter_nnz

N_PES = (2, 4, 8, 16, 32, 64)
DEPTHS = (2, 8, 32)  # of GoSPA's FIFOs
DEPTH = 8
STYLES = {
    "u-Ticket": ("#1f6fb4", "o-"),
    "as it is": ("#8f8f8f", "o-"),
    "sort": ("#35978f", "s-"),
    "GB-S": ("#5ab4ac", "^-"),
    "GB-H": ("#e08214", "v-"),
    "N:M": ("#9ecae1", "x--"),
    "LoAS": ("#7b3294", "D:"),
    "GoSPA": ("#c51b7d", "P:"),
}
LABELS = {"lth": "LTH", "uticket": "u-Ticket"}


def percent(value: float | None) -> float | None:
    """A share in percent."""
    return None if value is None else 100 * value


def printed_rows(pair: Pair) -> dict[str, dict[str, float]]:
    """Tables I and II of the paper for a pair's network and data set; empty where it has none."""
    return published()["tables_1_2"].get(pair.network, {}).get(pair.dataset, {})


def pruned_rounds(study: Study) -> list[TicketRound]:
    """Rounds with something pruned, or the last; of several with the same sparsity the last."""
    kept: dict[int, TicketRound] = {}
    for one in study.rounds:
        if one.weight_sparsity > 0:
            kept[round(1e4 * one.weight_sparsity)] = one
    return list(kept.values()) or study.rounds[-1:]


def figure_1(pairs: Sequence[Pair]) -> Section:
    """Rivals, and utilization against sparsity."""
    tables, plots = [], {}
    for pair in pairs:
        final = final_rivals(pair)
        base = final["as it is"].latency
        table = load_table()
        n_pe = pair.lth.config.n_pe
        rows = []
        for name, total in final.items():
            key = name.split(",")[0]
            depth = int(name.split()[-1]) if key == "GoSPA" else DEPTH
            rows.append(
                (
                    name,
                    percent(total.utilization),
                    percent(total.occupancy),
                    total.busy / 1e6,
                    total.latency / 1e6,
                    total.latency / base,
                    percent(rivals.added_area(key, table, n_pe=n_pe, depth=depth)),
                )
            )
        tables.append(
            Table(
                title=f"{pair.name}: at {100 * pair.lth.totals['weight_sparsity']:.2f} % sparsity, {n_pe} PEs",
                columns=(
                    "method",
                    "utilization (%)",
                    "occupancy (%)",
                    "busy (M cycles)",
                    "latency (M cycles)",
                    "latency / as it is",
                    "added area (% of PEs)",
                ),
                rows=rows,
            )
        )
        points = rival_points(pair)
        plots[f"{pair.name}: utilization (Eq. 2) against weight sparsity"] = svg(
            _rival_plot, points
        )
        tables.append(
            Table(
                title=f"{pair.name}: by sparsity",
                columns=("sparsity (%)", "method", "utilization (%)", "occupancy (%)"),
                rows=[
                    (
                        100 * sparsity,
                        name,
                        percent(total.utilization),
                        percent(total.occupancy),
                    )
                    for name, series in points.items()
                    for sparsity, total in series
                ],
            )
        )
    printed = published()["figure_1"]
    tables.append(
        Table(
            title="Printed, from other papers' networks and chips",
            columns=("method", "utilization (%)", "at sparsity (%)", "added area (% of chip)"),
            rows=[(n, r["utilization"], r["sparsity"], r["area"]) for n, r in printed.items()],
        )
    )
    return Section(
        key="figure_1",
        title="Fig. 1: u-Ticket and other ways to keep PEs busy",
        text=(
            "All on the same masks and the same array: one (weight, position) pair a cycle and PE, all "
            "ticks at once. The u-Ticket runs its own mask, the others the lottery ticket's."
        ),
        tables=tables,
        plots=plots,
        notes=[
            "Sorting filters by their weights (SparTen's GB-S without pairs) costs neither hardware nor "
            "accuracy; the paper does not compare with it.",
            "LoAS and GoSPA skip silent neurons, so they do less work: compare their latency, not only "
            "their utilization. GoSPA's front end sends one neuron a cycle to all PEs; at these "
            "sparsities hardly any PE has a weight for it.",
            "N:M masks are balanced by construction, but keep other weights than training chose: what "
            "that costs in accuracy was not trained.",
            "Area: FIFOs of 16 bits and accumulators from the 32 nm rows of the component table; GB-S "
            "and GB-H need a second set of accumulators, GB-H a permuting network. Not modelled for LoAS.",
            "Before the last round only the number of weights of each filter is recorded; where they "
            "lie is drawn, and the spikes are the final ticket's.",
        ],
    )


def final_rivals(pair: Pair) -> dict[str, Total]:
    """All rivals on the final masks."""
    n_pe = pair.lth.config.n_pe
    tasks = [layer.task for layer in pair.lth.layers]
    own = [rivals.as_it_is(layer.task, n_pe) for layer in pair.uticket.layers]
    result = {"u-Ticket": rivals.network(own)}
    for name, rival in RIVALS.items():
        result[name] = rivals.network([rival(task, n_pe) for task in tasks])
    result["LoAS"] = rivals.network([rivals.loas(task, n_pe) for task in tasks])
    own = [rivals.loas(layer.task, n_pe) for layer in pair.uticket.layers]
    result["LoAS, on the u-Ticket"] = rivals.network(own)
    for depth in DEPTHS:
        loads = [rivals.gospa(task, n_pe, depth) for task in tasks]
        result[f"GoSPA, FIFOs of {depth}"] = rivals.network(loads)
    return result


def rival_points(pair: Pair) -> dict[str, list[tuple[float, Total]]]:
    """Sparsity and figures of each rival after each round of pruning."""
    n_pe = pair.lth.config.n_pe
    points: dict[str, list[tuple[float, Total]]] = {n: [] for n in STYLES}
    for one in pruned_rounds(pair.uticket):
        loads = [_as_load(load, n_pe) for load in one.loads]
        points["u-Ticket"].append((one.weight_sparsity, rivals.network(loads)))
    *earlier, last = pruned_rounds(pair.lth)
    for one in [*earlier, last]:
        exact = one is last
        tasks = [
            layer.task if exact else _synthetic(layer.task, nnz, one.number)
            for layer, nnz in zip(pair.lth.layers, one.nnz, strict=True)
        ]
        every: dict[str, Any] = {**RIVALS, "LoAS": rivals.loas, "GoSPA": rivals.gospa}
        for name, rival in every.items():
            total = rivals.network([rival(task, n_pe) for task in tasks])
            points[name].append((one.weight_sparsity, total))
    return points


def _as_load(load: Any, n_pe: int) -> Load:
    return Load(
        busy=load.work,
        latency=load.latency,
        n_pe=n_pe,
        utilization=load.utilization,
        parameters=load.parameters,
    )


def _synthetic(task: Task, nnz: np.ndarray, seed: int) -> Task:
    mask = rivals.synthetic_mask(nnz, task.mask.shape, np.random.default_rng(seed))
    return Task(layer=task.layer, mask=mask, positions=task.positions, spikes=task.spikes)


def _rival_plot(axes: Any, points: dict[str, list[tuple[float, Total]]]) -> None:
    for name, series in points.items():
        color, style = STYLES[name]
        x = [100 * sparsity for sparsity, _ in series]
        y = [percent(total.utilization) for _, total in series]
        axes.plot(x, y, style, color=color, markersize=4, label=name)
    axes.set_xlabel("weight sparsity (%)")
    axes.set_ylabel("utilization (%)")
    axes.set_ylim(0, 105)
    legend(axes)


def figure_4(pairs: Sequence[Pair]) -> Section:
    """Sparsity and utilization by round."""
    rows, plots = [], {}
    for pair in pairs:
        for study in pair.studies:
            history = study.ticket.metadata["history"]
            for one in study.rounds:
                total = totals(one.loads)
                rows.append(
                    (
                        pair.name,
                        LABELS[study.method],
                        one.number,
                        100 * one.weight_sparsity,
                        percent(total.utilization),
                        percent(total.occupancy),
                        percent(history[one.number].get("validation_accuracy")),
                    )
                )
        plots[f"{pair.name}: sparsity and utilization by round"] = svg(_rounds_plot, pair)
    return Section(
        key="figure_4",
        title="Fig. 4: sparsity and utilization by round",
        text="From what each ticket recorded: weights of every filter at the end of every round.",
        tables=[
            Table(
                title="Rounds",
                columns=(
                    "model",
                    "method",
                    "round",
                    "sparsity (%)",
                    "utilization (%)",
                    "occupancy (%)",
                    "validation accuracy (%)",
                ),
                rows=rows,
            )
        ],
        plots=plots,
        notes=["Printed: LTH on VGG-16 and CIFAR-10 falls to 59 % after 13 prunings."],
    )


def _rounds_plot(axes: Any, pair: Pair) -> None:
    for study, color in zip(pair.studies, COLORS, strict=True):
        label, x = LABELS[study.method], [one.number for one in study.rounds]
        sparsity = [100 * one.weight_sparsity for one in study.rounds]
        utilization = [percent(totals(one.loads).utilization) for one in study.rounds]
        axes.plot(x, sparsity, "s--", color=color, markersize=4, label=f"{label}, sparsity")
        axes.plot(x, utilization, "o-", color=color, markersize=4, label=f"{label}, utilization")
    axes.set_xlabel("round")
    axes.set_xticks(x)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 105)
    legend(axes)


def table_1(pairs: Sequence[Pair]) -> Section:
    """Accuracy and sparsity."""
    rows = []
    for pair in pairs:
        printed = printed_rows(pair)
        for study in pair.studies:
            metadata, row = study.ticket.metadata, printed.get(study.method, {})
            zeros = sum(layer.input_sparsity * layer.spikes.size for layer in study.layers)
            rows.append(
                (
                    pair.name,
                    LABELS[study.method],
                    100 * metadata["accuracy"],
                    100 * metadata["accuracy_quantized"],
                    metadata["test_images"],
                    row.get("accuracy"),
                    100 * study.totals["weight_sparsity"],
                    row.get("filters"),
                    percent(study.totals["spike_sparsity"]),
                    100 * zeros / sum(layer.spikes.size for layer in study.layers),
                    row.get("spikes"),
                )
            )
    return Section(
        key="table_1",
        title="Table I: accuracy, sparsity of filters and of spikes",
        text=(
            "Sparsity of spikes twice: of the steps that the array runs (what Eq. 3 needs), and the "
            "plain share of zeros in all inputs."
        ),
        tables=[
            Table(
                title="Table I",
                columns=(
                    "model",
                    "method",
                    "accuracy, float (%)",
                    "integer (%)",
                    "test images",
                    "printed accuracy (%)",
                    "filters (%)",
                    "printed filters (%)",
                    "spikes, of steps (%)",
                    "spikes, of inputs (%)",
                    "printed spikes (%)",
                ),
                rows=rows,
            )
        ],
        notes=[
            "Accuracy is what the training behind the ticket could reach (docs/training.md), on as many "
            "test images as are told; with 1,000 images a point is within chance.",
        ],
    )


def table_2(pairs: Sequence[Pair]) -> Section:
    """Work, idle, latency, utilization."""
    rows = []
    for pair in pairs:
        printed = printed_rows(pair)
        for study in pair.studies:
            total, row = study.totals, printed.get(study.method, {})
            bound = -(-total["work"] // (study.config.lanes * study.config.n_pe))
            rows.append(
                (
                    pair.name,
                    LABELS[study.method],
                    total["work"] / 1e8,
                    row.get("work"),
                    total["idle"] / 1e8,
                    row.get("idle"),
                    total["latency"] / 1e8,
                    row.get("latency"),
                    total["utilization"],
                    row.get("utilization"),
                    total["occupancy"],
                    total["cycles"] / 1e6,
                    bound / total["cycles"],
                )
            )
    return Section(
        key="table_2",
        title="Table II: work, idle, latency and utilization",
        text=(
            "Steps as the paper counts them (one a PE and cycle, its four gates not credited), and the "
            "cycles that this RTL takes with four lanes, everything counted, by the cycle model."
        ),
        tables=[
            Table(
                title="Table II",
                columns=(
                    "model",
                    "method",
                    "work (1e8 steps)",
                    "printed",
                    "idle (1e8 steps)",
                    "printed",
                    "latency (1e8 steps)",
                    "printed",
                    "utilization",
                    "printed",
                    "occupancy",
                    "RTL (M cycles)",
                    "bound / RTL",
                ),
                rows=rows,
            )
        ],
        notes=[
            "The printed latency is (work + idle) / 16 on all twelve rows. The printed utilization is the "
            "mean over layers by parameters; occupancy from the printed work and idle is higher "
            "(VGG-16 on CIFAR-10: 0.77).",
            "The paper leaves out the classifier; here it is a layer like the others.",
        ],
    )


def figure_6(pairs: Sequence[Pair]) -> Section:
    """By layer."""
    rows, plots = [], {}
    for pair in pairs:
        for one, other in zip(pair.lth.layers, pair.uticket.layers, strict=True):
            for method, layer in (("LTH", one), ("u-Ticket", other)):
                load = layer.load
                rows.append(
                    (
                        pair.name,
                        load.name,
                        method,
                        load.work / 1e6,
                        load.idle / 1e6,
                        load.latency / 1e6,
                        load.utilization,
                        load.occupancy,
                        layer.spike_sparsity,
                        layer.cycles.cycles if layer.cycles else None,
                    )
                )
        for quantity, unit in (
            ("work", "M steps"),
            ("idle", "M steps"),
            ("latency", "M steps"),
            ("utilization", ""),
        ):
            title = f"{pair.name}: {quantity} by layer" + (f" ({unit})" if unit else "")
            plots[title] = svg(_layer_plot, pair, quantity, height=2.2)
    return Section(
        key="figure_6",
        title="Fig. 6: layer by layer",
        text="Early layers, with large maps, have most of the work and most of the idle steps.",
        tables=[
            Table(
                title="Layers",
                columns=(
                    "model",
                    "layer",
                    "method",
                    "work (M steps)",
                    "idle (M steps)",
                    "latency (M steps)",
                    "utilization",
                    "occupancy",
                    "spike sparsity",
                    "RTL (cycles)",
                ),
                rows=rows,
            )
        ],
        plots=plots,
    )


def _layer_plot(axes: Any, pair: Pair, quantity: str) -> None:
    names = [layer.load.name for layer in pair.lth.layers]
    x = np.arange(len(names))
    for k, (study, color) in enumerate(zip(pair.studies, COLORS, strict=True)):
        values = np.array(
            [
                np.nan if getattr(layer.load, quantity) is None else getattr(layer.load, quantity)
                for layer in study.layers
            ],
            float,
        )
        scale = 1 if quantity == "utilization" else 1e6
        axes.bar(x - 0.2 + 0.4 * k, values / scale, 0.38, color=color, label=LABELS[study.method])
    axes.set_xticks(x, [name.replace("conv", "") for name in names])
    axes.set_xlabel("layer (conv)")
    legend(axes)


def table_3(pairs: Sequence[Pair], ratio: float) -> Section:
    """Energy and latency against the number of PEs."""
    printed = published()["table_3"]
    rows = []
    for pair in pairs:
        first = None
        for k, n_pe in enumerate(N_PES):
            latency, energy = rebalanced(pair.uticket, n_pe, ratio)
            first = first or (latency, energy)
            same = (pair.network, pair.dataset) == ("vgg16", "cifar10")
            rows.append(
                (
                    pair.name,
                    n_pe,
                    energy / first[1],
                    printed["energy"][k] if same else None,
                    latency / first[0],
                    printed["latency"][k] if same else None,
                    latency / 1e6,
                    energy / 1e6,
                )
            )
    return Section(
        key="table_3",
        title="Table III: 2 to 64 PEs",
        text=(
            "The u-Ticket's final masks, balanced again for each number of PEs, without training again; "
            "the share of spikes of each layer is kept. The paper trained a ticket for each."
        ),
        tables=[
            Table(
                title="Table III, 2 PEs = 1",
                columns=(
                    "model",
                    "PEs",
                    "energy",
                    "printed",
                    "latency",
                    "printed",
                    "latency (M steps)",
                    "energy (M E_dyn)",
                ),
                rows=rows,
            )
        ],
    )


def rebalanced(study: Study, n_pe: int, ratio: float) -> tuple[int, float]:
    """Latency in steps and energy in E_dyn of a ticket balanced again for n_pe PEs, classifier left."""
    rng = np.random.default_rng(n_pe)
    latency, energy = 0, 0.0
    parts: list[Part] = []
    for layer in study.layers:
        integer = layer.integer
        mask = integer.mask
        if integer.layer.kind == "conv":
            weights = np.abs(integer.weight)
            mask = balance(mask, n_pe=n_pe, policy="magnitude", weights=weights, rng=rng)
        part = Part(
            name=layer.load.name, filter_nnz=filter_nnz(mask), parameters=layer.load.parameters
        )
        parts.append(part)
        rows = part_workloads(
            parts, positions=layer.load.positions, ticks=study.config.ticks, n_pe=n_pe
        )
        energy += rows[-1].work * (1 - (layer.spike_sparsity or 0) + ratio)
        if layer.cycles is not None:  # the layer's own part comes last
            latency += rows[-1].latency
            energy += ratio * rows[-1].idle
            parts = []
    return latency, energy
