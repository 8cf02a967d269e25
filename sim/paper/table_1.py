"""Table I: accuracy, sparsity of filters and of spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair, percent
from sim.study import Study


@dataclass(frozen=True, kw_only=True)
class Row:
    """A ticket."""

    model: str = column("model")
    method: str = column("method")
    accuracy: float = column("accuracy, float (%)")
    integer: float = column("integer (%)")
    images: int = column("test images")
    printed_accuracy: float | None = column("printed accuracy (%)")
    filters: float = column("filters (%)")
    printed_filters: float | None = column("printed filters (%)")
    spikes_of_steps: float | None = column("spikes, of steps (%)")
    spikes_of_inputs: float = column("spikes, of inputs (%)")
    printed_spikes: float | None = column("printed spikes (%)")


def section(pairs: Sequence[Pair]) -> Section:
    """Both tickets of every pair."""
    return Section(
        key="table_1",
        title="Table I: accuracy, sparsity of filters and of spikes",
        text=(
            "Sparsity of spikes twice: of the steps that the array runs (what Eq. 3 needs), and the "
            "plain share of zeros in all inputs."
        ),
        tables=[table("Table I", Row, [row(pair, s) for pair in pairs for s in pair.studies])],
        notes=[
            "Accuracy is what the training behind the ticket could reach (docs/results/training.md), on as many "
            "test images as are told; with 1,000 images a point is within chance.",
        ],
    )


def row(pair: Pair, study: Study) -> Row:
    """Of one of a pair's tickets."""
    metadata, printed = study.ticket.metadata, pair.printed.get(study.method, {})
    sizes = [layer.spikes.size for layer in study.layers]
    zeros = sum(x.input_sparsity * size for x, size in zip(study.layers, sizes, strict=True))
    return Row(
        model=pair.name,
        method=LABELS[study.method],
        accuracy=100 * metadata["accuracy"],
        integer=100 * metadata["accuracy_quantized"],
        images=metadata["test_images"],
        printed_accuracy=printed.get("accuracy"),
        filters=100 * study.totals["weight_sparsity"],
        printed_filters=printed.get("filters"),
        spikes_of_steps=percent(study.totals["spike_sparsity"]),
        spikes_of_inputs=100 * zeros / sum(sizes),
        printed_spikes=printed.get("spikes"),
    )
