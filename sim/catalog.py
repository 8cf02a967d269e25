"""A MODEL: network, data set, tickets by METHOD and hardware, from `tickets/MODEL.yaml`.

MODEL may also be a path to such a YAML, or to a ticket, which then runs on the hardware it was trained for.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hw.config import LANES, PRESETS, Config
from hw.widths import ROUND_BITS
from support import yaml_file
from support.errors import BadInput
from sw import archive, rows, schedules
from sw.datasets import STATISTICS
from sw.layers import LIF
from sw.quantize import ticket_config
from sw.rows import Row
from sw.ticket import Ticket, load
from sw.trained_neuron import TrainedNeuron

TICKETS = Path(__file__).resolve().parent.parent / "tickets"
SORT = "sort"
KEYS = (
    "network",
    "neuron",
    "dataset",
    "ticks",
    "schedule",
    "sparsity",
    "mirror",
    "methods",
    "baseline",
    "hardware",
)
MAX_TICKS = LANES << ROUND_BITS  # of the event machine
FIELDS = tuple(field.name for field in fields(Config))


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to sparsify: a ticket, and whether its filters are loaded in order of their nnz."""

    name: str
    ticket: Path
    sort: bool = False


@dataclass(frozen=True, kw_only=True)
class Model:
    """What `uticket sim` can run under one name."""

    name: str
    methods: dict[str, Method]
    """By name, the first is the default."""
    baseline: str | None
    """The method that the others are compared with."""
    hardware: Config
    network: str | None = None
    """What the tickets must say, as `dataset`; None: whatever they say."""
    dataset: str | None = None
    rows: tuple[Row, ...] | None = None
    """The network's layers, where it is one of the user's own."""
    neuron: TrainedNeuron = LIF
    """Of the layers of `rows` that have none of their own."""
    data: Path | None = None
    """The data set's file, where it is one of the user's own (sw/own_data.py)."""
    ticks: int | None = None
    """Of the network that is trained; None: as many as event frames, or the hardware, have."""
    schedule: str | None = None
    """Of training, a name of sw/schedules.py; None: the default there."""
    sparsity: float | None = None
    """That training prunes to; None: the schedule's."""
    mirror: bool = True
    """Whether training mirrors images left to right."""

    def method(self, name: str | None) -> Method:
        """A method by name, None for the default. Raises BadInput for an unknown one."""
        if name is None:
            return next(iter(self.methods.values()))
        if name not in self.methods:
            raise BadInput(
                f"unknown METHOD {name!r}; allowed for {self.name}: {', '.join(self.methods)}"
            )
        return self.methods[name]

    def compared(self, name: str | None) -> list[Method]:
        """A method, and the baseline beside it where it is another one. Raises as `method` does."""
        chosen = self.method(name)
        if self.baseline in (None, chosen.name):
            return [chosen]
        return [chosen, self.method(self.baseline)]

    def beside(self, compared: Sequence[Method]) -> list[Method]:
        """Methods that only load the filters of compared tickets in another order, to be compared, too."""
        tickets = {method.ticket for method in compared}
        return [
            method
            for method in self.methods.values()
            if method.sort and method.ticket in tickets and method not in compared
        ]

    def ticket(self, method: Method) -> Ticket:
        """A method's ticket. Raises ValueError for a damaged one, or one of another network."""
        ticket = load(method.ticket)
        for what, wanted in (("network", self.network), ("dataset", self.dataset)):
            found = ticket.metadata.get(what)
            if wanted not in (None, found):
                raise BadInput(
                    f"{method.ticket}: {what} = {found!r}; allowed for {self.name}: {wanted!r}"
                )
        return ticket


def known_models() -> list[str]:
    """Names of the models in `tickets/`, sorted."""
    return sorted(path.stem for path in TICKETS.glob("*.yaml"))


def load_model(text: str) -> Model:
    """The model of a name, or of a path to a YAML or ticket. Raises BadInput for anything else."""
    path = Path(text)
    if path.suffix not in (".yaml", ".yml", ".npz"):
        if text not in known_models():
            raise BadInput(
                f"unknown MODEL {text!r}; allowed: {', '.join(known_models())}, "
                "or a path to a .yaml or to a ticket (.npz)"
            )
        path = TICKETS / f"{text}.yaml"
    return _of_ticket(path) if path.suffix == ".npz" else _of_yaml(path)


def is_ticket(path: Path) -> bool:
    """Whether a file is a ticket, damaged or not: an .npz that holds `metadata`."""
    if path.suffix != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "metadata.npy" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def names_masks(text: str) -> bool:
    """Whether an argument is a file of masks: anything but a known name, a YAML or a ticket.

    Raises BadInput for a damaged .npz, of which nobody can say what it was.
    """
    path = Path(text)
    if text in known_models() or path.suffix in (".yaml", ".yml"):
        return False
    if path.suffix == ".npz":
        try:
            with archive.opened(path):
                pass
        except archive.Unreadable as error:
            if not is_ticket(path):  # else whoever loads it says more
                raise BadInput(
                    f"{path}: not an .npz file, or a damaged one ({error}); allowed: a ticket or masks"
                ) from None
    return (bool(path.suffix) or path.exists()) and not is_ticket(path)


def ticket_path(text: str, method: str | None = None) -> Path:
    """The ticket file of a name, of a YAML, or of itself. Raises BadInput for an unknown one.

    method: of a name or YAML, by default its first.
    """
    path = Path(text)
    if path.suffix != ".npz":
        return load_model(text).method(method).ticket
    if method is not None:
        raise BadInput(f"METHOD {method!r} of a ticket ({path}); allowed: none, it has its own")
    return path


def load_hardware(path: Path, base: Config, *, ticks: int | None = None) -> Config:
    """`base` with the fields that a YAML file sets. Raises BadInput for unknown ones and values.

    ticks: of what is to run, instead of those of a preset that the file names; None: the preset's.
    """
    content = _mapping(path, yaml_file.read(path), "the file")
    if ticks is not None:
        content = {"ticks": ticks} | content
    return _config(content, base, str(path))


def _of_ticket(path: Path) -> Model:
    ticket = load(path)
    name = ticket.metadata.get("method", path.stem)
    methods = {SORT: Method(name=SORT, ticket=path, sort=True)}
    return Model(
        name=path.stem,
        methods={name: Method(name=name, ticket=path), **methods} if name != SORT else methods,
        baseline=None,
        hardware=replace(ticket_config(ticket), n_pe=ticket.metadata.get("n_pe", Config().n_pe)),
    )


def _of_yaml(path: Path) -> Model:
    content = _mapping(path, yaml_file.read(path), "the file")
    for key in content:
        if key not in KEYS:
            raise BadInput(f"{path}: unknown key {key!r}; allowed: {', '.join(KEYS)}")
    for key in ("network", "dataset", "methods"):
        if key not in content:
            raise BadInput(f"{path}: {key} is missing")
    network, own = _network(path, content["network"])
    neuron = _neuron(path, content["neuron"], own) if "neuron" in content else LIF
    ticks = content.get("ticks")
    if ticks is not None and not (type(ticks) is int and 1 <= ticks <= MAX_TICKS):
        raise BadInput(f"{path}: ticks = {ticks!r}; allowed: 1 to {MAX_TICKS}")
    dataset, data = _dataset(path, content["dataset"])
    methods = {}
    for name, row in _mapping(path, content["methods"], "methods").items():
        methods[name] = _method(path, name, row)
    if not methods:
        raise BadInput(f"{path}: methods: none; allowed: one or more")
    baseline = content.get("baseline")
    if baseline is not None and (not isinstance(baseline, str) or baseline not in methods):
        raise BadInput(f"{path}: baseline = {baseline!r}; allowed: {', '.join(methods)}")
    schedule = content.get("schedule")
    if schedule is not None and not isinstance(schedule, str):
        raise BadInput(f"{path}: schedule = {schedule!r}; allowed: a name of sw/schedules.py")
    sparsity = content.get("sparsity")
    if sparsity is not None and not (isinstance(sparsity, float) and 0 < sparsity < 1):
        raise BadInput(f"{path}: sparsity = {sparsity!r}; allowed: a number between 0 and 1")
    mirror = content.get("mirror", True)
    if not isinstance(mirror, bool):
        raise BadInput(f"{path}: mirror = {mirror!r}; allowed: true, false")
    try:
        plan = schedules.named(schedule or schedules.default())
        if sparsity is not None:
            plan.at_sparsity(sparsity)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None
    given = content.get("hardware")
    hardware = _mapping(path, {} if given is None else given, "hardware")
    return Model(
        name=path.stem,
        network=network,
        dataset=dataset,
        rows=own,
        neuron=neuron,
        data=data,
        ticks=ticks,
        schedule=schedule,
        sparsity=sparsity,
        mirror=mirror,
        methods=methods,
        baseline=baseline,
        hardware=_config(hardware, Config(), str(path)),
    )


def _network(path: Path, given: Any) -> tuple[str, tuple[Row, ...] | None]:
    """A network's name, and its rows where they are given instead."""
    if isinstance(given, str):
        return given, None
    if not isinstance(given, list):
        raise BadInput(
            f"{path}: network = {given!r}; allowed: a name, as the tickets have it, or a list of layers"
        )
    try:
        return path.stem, rows.read(given)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None


def _neuron(path: Path, given: Any, own: tuple[Row, ...] | None) -> TrainedNeuron:
    if own is None:
        raise BadInput(f"{path}: neuron of a named network; allowed: with a list of layers")
    try:
        return rows.read_neuron(given)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None


def _dataset(path: Path, given: Any) -> tuple[str, Path | None]:
    """A data set's name, and its file where that is given instead, relative to the YAML."""
    if isinstance(given, str) and given in STATISTICS:
        return given, None
    name = Path(given).stem if isinstance(given, str) else ""
    if not isinstance(given, str) or not given.endswith(".npz") or name in STATISTICS:
        raise BadInput(
            f"{path}: dataset = {given!r}; allowed: {', '.join(STATISTICS)}, or an .npz of another name"
        )
    return name, path.parent / given


def _method(path: Path, name: str, row: Any) -> Method:
    """`uticket: FILE` or `sort: {ticket: FILE, policy: sort}`; FILE is relative to the YAML."""
    if isinstance(row, str):
        row = {"ticket": row}
    allowed = "a ticket file, or {ticket: FILE, policy: sort}"
    if not isinstance(row, dict) or set(row) - {"ticket", "policy"}:
        raise BadInput(f"{path}: methods.{name} = {row!r}; allowed: {allowed}")
    ticket, policy = row.get("ticket"), row.get("policy")
    if not isinstance(ticket, str) or policy not in (None, SORT):
        raise BadInput(f"{path}: methods.{name} = {row!r}; allowed: {allowed}")
    return Method(name=name, ticket=path.parent / ticket, sort=policy == SORT)


def _config(content: dict, base: Config, source: str) -> Config:
    content = dict(content)
    preset = content.pop("preset", None)
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise BadInput(
                f"{source}: hardware: preset = {preset!r}, allowed: {', '.join(PRESETS)}"
            )
        base = PRESETS[preset]
    for key in content:
        if key not in FIELDS:
            raise BadInput(
                f"{source}: hardware: unknown field {key!r}; allowed: preset, {', '.join(FIELDS)}"
            )
    try:
        return replace(base, **content)
    except ValueError as error:
        raise BadInput(f"{source}: {error}") from None


def _mapping(path: Path, content: Any, what: str) -> dict:
    if not isinstance(content, dict):
        raise BadInput(f"{path}: {what} holds {content!r}; allowed: names with values")
    for key in content:
        if not isinstance(key, str):
            raise BadInput(f"{path}: {what}: key {key!r}; allowed: a name (in quotes: '{key}')")
    return content
