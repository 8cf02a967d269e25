"""What `uticket estimate` says: cycles, energy and time of a deployment by the models, no RTL built.

Cycles are the cycle model's, which `uticket sim` holds to the RTL, every counter of every layer. Spikes are
the golden model's. Both are exact; energy is counts times a technology, time is cycles at its clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.config import Config
from sim.deployment import Deployment, Run
from sim.models.eq3 import Energies, energies
from sim.options import check_rows
from sim.reports import run_numbers
from sim.reports.run_numbers import told_batch, told_row
from sim.rtl import batches, rows
from sim.rtl.batches import BatchResult
from sim.rtl.rows import RowResult
from support.errors import BadInput
from sw.event.batch import Batch
from sw.event.program import EventProgram

SCHEMA = "uticket-estimate-1"
Row = dict[str, Any]
# Fields of report.json (docs/report.md) under the names that they have without an RTL; None: not here.
NAMES = {
    "rtl_cycles": None,
    "model_cycles": "cycles",
    "rtl_cycles_min": "cycles_min",
    "rtl_cycles_max": "cycles_max",
    "rtl_bound_cycles": "bound_cycles",
    "rtl_efficiency": "efficiency",
    "rtl_accuracy": "accuracy",
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Rows and totals of a network on hardware, per image; docs/report.md names the fields."""

    model: str
    method: str | None
    config: Config
    energies: Energies
    clock_mhz: float
    images: int | None
    """None where no image was seen: of masks alone."""
    layers: list[Row]
    totals: Row
    overlap: Row | None = None
    """Of the images in a row (event machine), as report.json's, but for its checks."""
    batch: Row | None = None
    """The same of the images in batches."""

    @property
    def content(self) -> dict[str, Any]:
        """For JSON."""
        content = {
            "schema": SCHEMA,
            "model": self.model,
            "method": self.method,
            "images": self.images,
            "hardware": self.config.to_dict(),
            "technology": {"eq3": self.energies.eq3.name, "components": self.energies.table.name},
            "clock_mhz": self.clock_mhz,
            "layers": self.layers,
            "totals": self.totals,
        }
        more = {"overlap": self.overlap, "batch": self.batch}
        return content | {name: row for name, row in more.items() if row is not None}

    @property
    def verdict(self) -> str:
        """One line; others of a row and of batches, if there are any."""
        total = self.totals
        told = f"PEs {1e-6 * total['energy_pj']:.4g} uJ ({self.energies.table.name}); "
        proof = "nothing was built, `uticket sim` proves the cycles"
        if self.images is None:
            proof = "of layers whose input is there already; spikes as given, not seen"
        lines = [
            f"{total['cycles']:,.0f} cycles an image: {total['ms']:.4g} ms at {self.clock_mhz:g} MHz, "
            f"{total['images_per_s']:,.1f} images/s; {told}{proof}"
        ]
        if self.overlap is not None:
            lines.append(told_row(self.overlap))
        if self.batch is not None:
            lines.append(f"{told_batch(self.batch)}; PEs {1e-6 * self.batch['energy_pj']:.4g} uJ")
        return "\n".join(lines)


def estimate(
    deployment: Deployment,
    images: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    model: str | None = None,
    technology: str | None = None,
    clock_mhz: float | None = None,
    overlap: bool = False,
    batch: int | None = None,
) -> Estimate:
    """A deployment on images, uint8 (N, C, H, W).

    labels: int (N,), of the images, if known. model: its name. technology: a name or a path to a YAML,
    see `sim.models.eq3.energies`. clock_mhz: by default the technology's. overlap: the images also in a row,
    batch: in batches of so many, both on the event machine (docs/event.md).
    Raises ValueError for what cannot run, BadInput for an unknown technology, images that are no row or no whole batches,
    and both at once.
    """
    check_rows([deployment.config], overlap=overlap, batch=batch)
    spent = energies(technology)
    clock = checked_clock(clock_mhz, spent)
    programs = row = None
    if overlap:
        rows.check_images(len(images))
        row = rows.row_program(deployment.program)
    if batch is not None:
        batches.check_counts(len(images), batch)
        programs = batches.batch_of(deployment.loaded, batch)
    run = deployment.predict(images)
    layers, total = run_numbers.rows(run, labels, spent)
    return Estimate(
        model=model or deployment.method,
        method=deployment.method,
        config=deployment.config,
        energies=spent,
        clock_mhz=clock,
        images=len(images),
        layers=[_renamed(row) for row in layers],
        totals={
            **_renamed(total),
            **timed(total["model_cycles"], clock),
        },
        overlap=None if row is None else _in_a_row(run, row, images),
        batch=None if programs is None else _in_batches(deployment, programs, images, spent),
    )


def _in_a_row(run: Run, program: EventProgram, images: np.ndarray) -> Row:
    model = rows.model_row(run.deployment.loaded, program, images)
    return run_numbers.row_numbers(RowResult(program=program, images=model.counts), run)


def _in_batches(
    deployment: Deployment, programs: Batch, images: np.ndarray, spent: Energies
) -> Row:
    model = batches.model_batches(deployment.loaded, programs, images)
    found = BatchResult(batch=programs, programs=model.counts)
    return run_numbers.batch_numbers(found, spent.table)


def checked_clock(clock_mhz: float | None, spent: Energies) -> float:
    """A clock, by default the technology's. Raises BadInput unless it is above 0."""
    clock = spent.table.clock_mhz if clock_mhz is None else clock_mhz
    if not 0 < clock < float("inf"):
        raise BadInput(f"clock = {clock} MHz; allowed: a number above 0")
    return clock


def timed(cycles: float, clock_mhz: float) -> Row:
    """Time of an image, and how many fit a second."""
    return {"ms": cycles / clock_mhz / 1e3, "images_per_s": 1e6 * clock_mhz / cycles}


def _renamed(row: Row) -> Row:
    named = {NAMES.get(field, field): value for field, value in row.items()}
    return {field: value for field, value in named.items() if field is not None}
