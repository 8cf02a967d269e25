"""A network on hardware, for notebooks: what the commands do, with tables as pandas DataFrames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw.config import MACHINES, Config
from sim.catalog import FIELDS
from sim.deployment import Deployment, Run
from sim.estimate import checked_clock, estimate, timed
from sim.images import checked_images
from sim.models.eq3 import energies
from sim.options import check_rows
from sim.reports import run_report
from sim.rtl import batches, rows
from sim.rtl.harness import Rtl
from sim.simulation import check_counts
from support.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

Images = int | str | Path | np.ndarray
"""So many test images; an .npz of images and labels; or images, uint8 (N, C, H, W)."""

COMPARED = (
    *("nnz", "work", "idle", "latency", "utilization", "occupancy"),
    *("spike_sparsity", "cycles", "ms", "images_per_s", "energy", "energy_pj", "accuracy"),
)


def changed(config: Config, fields: dict[str, Any]) -> Config:
    """Hardware with other fields. Raises BadInput for one that it does not have."""
    for name in fields:
        if name not in FIELDS:
            raise BadInput(f"unknown field {name!r}; allowed: {', '.join(FIELDS)}")
    return replace(config, **fields)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("pandas is missing; .venv/bin/pip install -e '.[library]'") from None
    return pandas


@dataclass(frozen=True, repr=False)
class Net:
    """A ticket on hardware. Nothing changes it: `balance` and `on` give another one."""

    deployment: Deployment
    name: str

    def __repr__(self) -> str:
        """One line: name, layers and weights of the array, hardware."""
        masks = self.deployment.ticket.masks
        nnz = sum(int(np.count_nonzero(mask)) for mask in masks.values())
        return (
            f"<Net {self.name}: {len(masks)} layer{'s' * (len(masks) != 1)} with {nnz:,} weights on the array, "
            f"{self.config.n_pe} PEs, machine {self.config.machine}>"
        )

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """bool, by layer of the array: (K, C / groups, kh, kw) or (K, C). Copies."""
        return {name: mask.copy() for name, mask in self.deployment.ticket.masks.items()}

    @property
    def config(self) -> Config:
        """The hardware."""
        return self.deployment.config

    def on(self, **fields: Any) -> Net:
        """The same network on hardware with other fields, as n_pe=32 or machine="event".

        Raises ValueError for what no array has.
        """
        config = changed(self.config, fields)
        return Net(replace(self.deployment, config=config, twin=None), self.name)

    def check(self) -> pd.DataFrame:
        """A row a layer: what it is on the array, and a column a machine: None, or why it does not run.

        Machines have the presets' sizes.
        """
        from sw.importers.fit import becomes, why_not

        ticket = self.deployment.ticket
        network, shapes = ticket.network, ticket.network.shapes()
        found = why_not(network, ticket.metadata["ticks"])
        rows = [
            {
                "layer": layer.name,
                "becomes": becomes(layer, shapes, host=layer is network.host),
                **{machine: found[layer.name][machine] for machine in MACHINES},
            }
            for layer in network.layers
        ]
        return _pandas().DataFrame(rows, dtype=object).set_index("layer")

    def estimate(
        self,
        images: Images = 1,
        *,
        labels: np.ndarray | None = None,
        technology: str | None = None,
        clock_mhz: float | None = None,
        overlap: bool = False,
        batch: int | None = None,
    ) -> Result:
        """Exact cycles, energy and time by the models; nothing is built. See `sim.estimate`.

        overlap: the images also in a row, batch: in batches of so many, on the event machine. `content` has them under
        these names.
        """
        pixels, labels = self._images(images, labels)
        found = estimate(
            self.deployment,
            pixels,
            labels=labels,
            model=self.name,
            technology=technology,
            clock_mhz=clock_mhz,
            overlap=overlap,
            batch=batch,
        )
        return Result(self.name, found.content, found.verdict)

    def simulate(
        self,
        images: Images = 1,
        *,
        labels: np.ndarray | None = None,
        technology: str | None = None,
        clock_mhz: float | None = None,
        jobs: int = 1,
        overlap: bool = False,
        batch: int | None = None,
    ) -> Result:
        """Through the RTL, every spike and counter compared. The first time builds it: minutes.

        jobs: processes; more than one needs a script with `if __name__ == "__main__"`. overlap, batch: as of
        `estimate`; the images run once more. Raises RtlError if the RTL errs or hangs; a mismatch is the
        result's verdict.
        """
        clock = checked_clock(clock_mhz, energies(technology))
        check_rows([self.config], overlap=overlap, batch=batch)
        pixels, labels = self._images(images, labels)
        check_counts(len(pixels), overlap, batch)
        one = self.deployment
        in_a_row = rows.row_program(one.program) if overlap else None
        in_batches = None if batch is None else batches.batch_of(one.loaded, batch)
        row = found = None
        with Rtl(self.config) as rtl:
            run: Run = one.run(pixels, rtl=rtl, jobs=jobs)
            if in_a_row is not None:
                row = rows.run_row(rtl, one.loaded, in_a_row, pixels)
            if in_batches is not None:
                found = batches.run_batches(rtl, one.loaded, in_batches, pixels)
        report = run_report.build(
            self.name, run, None, labels, technology=technology, row=row, batch=found
        )
        components = report.content["components"]["methods"][self.deployment.method]
        totals = report.content["totals"] | timed(report.content["totals"]["rtl_cycles"], clock)
        totals |= {
            "cycles": totals["rtl_cycles"],
            "accuracy": totals["rtl_accuracy"],
            "energy_pj": components["rtl"]["total_pj"] if "rtl" in components else None,
        }
        return Result(self.name, report.content | {"totals": totals}, report.verdict, report)

    def balance(
        self,
        n_pe: int | None = None,
        *,
        sparsity: float | None = None,
        policy: str = "magnitude",
        target: str = "exact",
        seed: int = 0,
    ) -> Net:
        """Pruned (if `sparsity` is given) and balanced for n_pe PEs, without training; docs/masks.md.

        n_pe: by default the hardware's, else that of the new net's, too. Raises ValueError.
        """
        from sw.rebalance import rebalanced

        if policy not in ("random", "magnitude"):
            raise BadInput(f"policy = {policy!r}; allowed: random, magnitude")
        config = self.config if n_pe is None else replace(self.config, n_pe=n_pe)
        found = rebalanced(
            self.deployment.ticket,
            n_pe=config.n_pe,
            policy=policy,
            target=target,
            sparsity=sparsity,
            rng=np.random.default_rng(seed),
        )
        one = Deployment(ticket=found.ticket, config=config, method=self.deployment.method)
        return Net(one, f"{self.name}, balanced")

    def compare(self, *others: Net, images: Images = 1, **options: Any) -> pd.DataFrame:
        """Estimates side by side: a column a net, and for each other net its change, in percent of this one.

        images and options: as of `estimate`, but for `overlap` and `batch`, of which no row is here.
        """
        for option in ("overlap", "batch"):
            if options.get(option):
                raise BadInput(f"compare: {option}; allowed: with `estimate`, of each net")
        pd = _pandas()
        nets = (self, *others)
        columns: dict[str, Any] = {}
        for number, net in enumerate(nets):
            name = net.name if net.name not in columns else f"{net.name} ({number + 1})"
            totals = net.estimate(images, **options).totals
            columns[name] = totals.reindex(COMPARED)
        table = pd.DataFrame(columns).astype(float)
        first = table.iloc[:, 0]
        for name in list(table)[1:]:
            table[f"{name}: change, %"] = 100 * (table[name] / first.where(first != 0) - 1)
        return table

    def save(self, path: str | Path) -> None:
        """Write the ticket, which every command takes."""
        from sw import ticket

        ticket.save(self.deployment.ticket, Path(path))

    def _images(
        self, images: Images, labels: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if isinstance(images, np.ndarray):
            ticket = self.deployment.ticket
            return checked_images(images, labels, ticket.network, ticket.metadata["ticks"])
        return self.deployment.images(images if isinstance(images, int) else Path(images))

    def _repr_html_(self) -> str:
        return str(self.check()._repr_html_())


@dataclass(frozen=True, repr=False)
class Result:
    """What an estimate or a simulation found; fields are those of docs/report.md."""

    name: str
    content: dict[str, Any]
    """As JSON."""
    verdict: str
    """In one line; another of a row or of batches."""
    report: run_report.Report | None = None
    """Of a simulation, for `uticket.write`."""

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row a layer."""
        return _pandas().DataFrame(self.content["layers"]).set_index("name")

    @cached_property
    def totals(self) -> pd.Series:
        """Of the network."""
        return _pandas().Series(self.content["totals"], dtype=object)

    def __repr__(self) -> str:
        return f"<Result {self.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(self.name)}: {escape(self.verdict)}</p>{self.layers._repr_html_()}"
