"""`uticket balance`: masks with equal work for the filters that run side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import refuse_given
from support.errors import BadInput
from sw.balance import POLICIES, TARGETS

if TYPE_CHECKING:
    import numpy as np

    from sim.models.masks import MaskLayer
    from sim.models.workload import Workload

LEFT = "not balanced, since rounding would take its last weight"


@click.command(short_help="Equal work for filters that run side by side.")
@click.argument("model", metavar="MODEL|MASKS")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--method", help="Of a MODEL: uticket, lth, ... [default: its first]")
@click.option("--n-pe", type=click.IntRange(1, 4096), help="PEs. [default: the MODEL's, or 16]")
@click.option(
    "--sparsity",
    type=float,
    help="First prune to this share of zero weights, the smallest over all layers; no training.",
)
@click.option(
    "--policy",
    default="magnitude",
    show_default=True,
    type=click.Choice(POLICIES),
    help="none: as it is. sort: reorder filters by nnz. random, magnitude: change weights.",
)
@click.option(
    "--target",
    default="exact",
    show_default=True,
    type=click.Choice(TARGETS),
    help="exact: a layer keeps its nnz. ceil: as the paper's authors, adds weights.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def command(
    model: str,
    out: Path,
    method: str | None,
    n_pe: int | None,
    sparsity: float | None,
    policy: str,
    target: str,
    seed: int,
) -> None:
    """Balance a MODEL's ticket, or masks or weights, and write a ticket, or boolean masks, to OUT (.npz).

    MODEL is a name of tickets/, a YAML or a ticket; MASKS as of `uticket analyze`. Groups are N_PE
    consecutive filters, in the order of <layer>.order if there is one. `magnitude` clears the smallest
    weights and sets those with the largest |<layer>.score|. Nothing is trained (docs/masks.md).
    """
    from sim.catalog import names_masks

    if policy in ("none", "sort"):
        refuse_given(("target", "seed"), f"with --policy {policy}, which changes no weight")
    if names_masks(model):
        if method is not None:
            raise BadInput(f"--method {method} with masks; allowed: with a MODEL")
        _balance_masks(Path(model), out, n_pe or 16, sparsity, policy, target, seed)
    else:
        _balance_ticket(model, out, method, n_pe, sparsity, policy, target, seed)


def _balance_ticket(
    model: str,
    out: Path,
    method: str | None,
    n_pe: int | None,
    sparsity: float | None,
    policy: str,
    target: str,
    seed: int,
) -> None:
    import numpy as np

    from sim.catalog import load_model
    from sim.models.workload import of_network
    from support.files import file_to_write
    from sw.balance import BALANCING, filter_nnz
    from sw.rebalance import rebalanced
    from sw.ticket import save

    if policy not in BALANCING:
        raise BadInput(
            f"--policy {policy} of a ticket; allowed: {', '.join(BALANCING)}; any ticket runs "
            "sorted with --method sort"
        )
    file_to_write(out)
    chosen = load_model(model)
    ticket = chosen.ticket(chosen.method(method))
    n_pe = n_pe or chosen.hardware.n_pe
    found = rebalanced(
        ticket,
        n_pe=n_pe,
        policy=policy,
        target=target,
        sparsity=sparsity,
        rng=np.random.default_rng(seed),
    )
    save(found.ticket, out)
    rows = [
        of_network(
            one.network,
            {name: filter_nnz(mask) for name, mask in one.masks.items()},
            ticks=ticket.metadata["ticks"],
            n_pe=n_pe,
        )
        for one in (ticket, found.ticket)
    ]
    _print(out, policy, n_pe, *rows)
    click.echo(
        f"no training: {found.pruned:,} weights pruned, {found.cleared:,} cleared and "
        f"{found.restored:,} restored to balance; its accuracy is for `uticket evaluate` to say"
    )
    if found.missing:
        click.echo(
            f"uticket: {found.missing:,} weights not added, the ticket has no values for them: "
            "their filters stay shorter",
            err=True,
        )
    for name in found.left:
        click.echo(f"uticket: warning: {name}: {LEFT}", err=True)
    _tell_empty(found.empty)


def _tell_empty(names: Sequence[str]) -> None:
    for name in names:
        click.echo(f"uticket: warning: {name}: no weights are left", err=True)


def _balance_masks(
    masks: Path,
    out: Path,
    n_pe: int,
    sparsity: float | None,
    policy: str,
    target: str,
    seed: int,
) -> None:
    import numpy as np

    from sim.commands.analyze import mask_workload
    from sim.models.masks import load_masks, pruned
    from support.files import write_npz
    from sw.balance import BALANCING
    from sw.rebalance import emptied

    before = load_masks(masks, scores=policy == "magnitude")
    kept = before if sparsity is None else pruned(before, sparsity)
    after = [
        balanced(
            layer,
            n_pe=n_pe,
            policy=policy,
            target=target,
            rng=np.random.default_rng([seed, index]),
        )
        for index, layer in enumerate(kept)
    ]
    arrays: dict[str, np.ndarray] = {}
    for layer in after:
        arrays[layer.name] = layer.values
        if layer.order is not None:
            arrays[f"{layer.name}.order"] = layer.order
    write_npz(out, arrays)
    if policy == "magnitude":
        _tell_what_was_drawn(kept, after, seed)

    old = [mask_workload(layer, side=1, ticks=1, n_pe=n_pe) for layer in before]
    new = [mask_workload(layer, side=1, ticks=1, n_pe=n_pe) for layer in after]
    _print(out, policy, n_pe, old, new)
    if policy in BALANCING:
        ordered = {m.name: (m.values if m.order is None else m.values[m.order]) != 0 for m in kept}
        _tell_left_alone(ordered, n_pe, target)
    _tell_empty(
        list(emptied({m.name: m.values for m in before}, {m.name: m.values for m in after}, n_pe))
    )


def _print(
    out: Path, policy: str, n_pe: int, old: Sequence[Workload], new: Sequence[Workload]
) -> None:
    from sim.models.workload import totals
    from sim.reports.table import print_table

    rows = [
        (a.name, a.filters, a.nnz, b.nnz, a.utilization, b.utilization)
        for a, b in zip(old, new, strict=True)
    ]
    a, b = totals(old), totals(new)
    print_table(
        f"{out}: policy {policy}, {n_pe} PEs",
        ("layer", "filters", "nnz before", "nnz", "utilization before", "utilization"),
        rows,
        ("total", a.filters, a.nnz, b.nnz, a.utilization, b.utilization),
    )


def balanced(
    layer: MaskLayer, *, n_pe: int, policy: str, target: str, rng: np.random.Generator
) -> MaskLayer:
    """The layer's boolean mask after `policy`, with the order in which its filters are to run."""
    import numpy as np

    from sw.balance import balance, filter_nnz, sort_order

    if policy == "sort":
        order = sort_order(filter_nnz(layer.values))
        return replace(layer, values=layer.values != 0, order=order, score=None)
    order = np.arange(len(layer.values)) if layer.order is None else layer.order
    mask = np.empty(layer.values.shape, bool)
    mask[order] = balance(
        layer.values[order] != 0,
        n_pe=n_pe,
        policy=policy,
        target=target,
        rng=rng,
        weights=layer.values[order] if _has_magnitudes(layer) else None,
        score=None if layer.score is None else layer.score[order],
    )
    return replace(layer, values=mask, score=None)


def _has_magnitudes(layer: MaskLayer) -> bool:
    """Whether the non-zero values differ in magnitude: a 0/1 mask does not say what is small."""
    import numpy as np

    present = layer.values[layer.values != 0]
    return present.dtype != bool and bool(np.ptp(np.abs(present))) if present.size else False


def _tell_left_alone(masks: Mapping[str, np.ndarray], n_pe: int, target: str) -> None:
    """masks: bool, by layer, filters in the order in which they run."""
    from sw.balance import filter_nnz, left_alone

    for name, mask in masks.items():
        size = mask[0].size
        if left_alone(filter_nnz(mask), parameters=size, n_pe=n_pe, target=target):
            click.echo(f"uticket: warning: {name}: {LEFT}", err=True)


def _tell_what_was_drawn(before: list[MaskLayer], after: list[MaskLayer], seed: int) -> None:
    """Of layers of which weights were set, or cleared."""
    pairs = [(old, old.values != 0, new.values) for old, new in zip(before, after, strict=True)]
    for what, names in (
        (
            "weights to set, since no scores are given",
            [old.name for old, had, has in pairs if old.score is None and (has & ~had).any()],
        ),
        (
            "weights to clear, since all magnitudes are equal",
            [
                old.name
                for old, had, has in pairs
                if not _has_magnitudes(old) and (had & ~has).any()
            ],
        ),
    ):
        if names:
            text = f"uticket: picked at random (seed {seed}), {what}: {', '.join(names)}"
            click.echo(text, err=True)
