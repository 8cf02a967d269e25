"""`uticket balance`: masks with equal work for the filters that run side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sw.balance import POLICIES, TARGETS

if TYPE_CHECKING:
    import numpy as np

    from sim.models.masks import MaskLayer


@click.command(short_help="Equal work for filters that run side by side.")
@click.argument("masks", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--n-pe", default=16, show_default=True, type=click.IntRange(min=1), help="PEs.")
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
def command(masks: Path, out: Path, n_pe: int, policy: str, target: str, seed: int) -> None:
    """Balance the masks or weights in MASKS (.npz) and write boolean masks to OUT (.npz).

    Groups are N_PE consecutive filters, in the order of <layer>.order if there is one. `magnitude`
    clears the smallest weights and sets those with the largest |<layer>.score|.
    """
    import numpy as np

    from sim.commands.analyze import mask_workload
    from sim.files import write_npz
    from sim.models.masks import load_masks
    from sim.models.workload import totals
    from sim.reports.table import print_table

    before = load_masks(masks, scores=policy == "magnitude")
    after = [
        balanced(
            layer,
            n_pe=n_pe,
            policy=policy,
            target=target,
            rng=np.random.default_rng([seed, index]),
        )
        for index, layer in enumerate(before)
    ]
    arrays: dict[str, np.ndarray] = {}
    for layer in after:
        arrays[layer.name] = layer.values
        if layer.order is not None:
            arrays[f"{layer.name}.order"] = layer.order
    write_npz(out, arrays)
    if policy == "magnitude":
        _tell_what_was_drawn(before, seed)

    old = [mask_workload(layer, side=1, ticks=1, n_pe=n_pe) for layer in before]
    new = [mask_workload(layer, side=1, ticks=1, n_pe=n_pe) for layer in after]
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


def _tell_what_was_drawn(layers: list[MaskLayer], seed: int) -> None:
    for what, names in (
        ("weights to set: no score", [layer.name for layer in layers if layer.score is None]),
        (
            "weights to clear: a mask",
            [layer.name for layer in layers if not _has_magnitudes(layer)],
        ),
    ):
        if names:
            click.echo(f"uticket: drawn from seed {seed}, {what}: {', '.join(names)}", err=True)
