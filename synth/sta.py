"""Static timing with OpenSTA (`sta`), and what it says."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from support.errors import BadInput
from support.processes import run_tool

NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Step:
    """A point of a path; ns."""

    point: str
    cell: str
    delay: float
    time: float


@dataclass(frozen=True)
class Timing:
    """Of a netlist under constraints; ns. slack: of the worst path; negative where it is too slow."""

    period: float
    slack: float
    total_negative_slack: float
    startpoint: str
    endpoint: str
    path: tuple[Step, ...]
    endpoints: tuple[tuple[str, str, float], ...]
    """Start, end and slack of the worst paths, one an endpoint."""
    constants: tuple[str, ...] = ()
    """Endpoints that no path reaches."""

    @property
    def clock_mhz(self) -> float:
        """The fastest clock, were input and output delays to stay as they are."""
        return 1000 / (self.period - self.slack)


def constraint_period(sdc: Path) -> float:
    """The clock's period in ns that an SDC file asks for. Raises BadInput where it has none."""
    try:
        text = sdc.read_text()
    except OSError as error:
        raise BadInput(f"{sdc}: {error.strerror}") from None
    match = re.search(r"^create_clock\b.*-period\s+([\d.]+)", text, re.MULTILINE)
    if not match or float(match[1]) == 0:
        raise BadInput(f"{sdc}: no `create_clock ... -period` of more than 0")
    return float(match[1])


def analyze(
    netlists: list[Path], top: str, libraries: list[Path], sdc: Path, folder: Path
) -> Timing:
    """Run OpenSTA; `folder` gets TOP.sta.tcl and TOP.sta.txt.

    Raises BadInput where it is missing, complains, or finds something without constraints.
    """
    period = constraint_period(sdc)
    script = [
        *[f"read_liberty {path.resolve()}" for path in libraries],
        *[f"read_verilog {path.resolve()}" for path in netlists],
        f"link_design {top}",
        f"read_sdc {sdc.resolve()}",
        'puts "== setup"',
        "check_setup -verbose",
        'puts "== path"',
        "report_checks -path_delay max -format full -digits 4",
        "report_worst_slack -digits 4",
        "report_tns -digits 4",
        'puts "== endpoints"',
        "report_checks -path_delay max -group_count 10 -unique -format summary -digits 4",
    ]
    report = run(script, folder / f"{top}.sta.tcl")
    return parse(report.read_text(), period, report)


def run(commands: list[str], tcl: Path) -> Path:
    """Run OpenSTA on commands, written to `tcl`; its output, beside that as `.txt`, comes back.

    Raises BadInput where it is missing, fails or reports an error.
    """
    sta = shutil.which("sta")
    if sta is None:
        raise BadInput("OpenSTA (sta) is missing; on Debian: apt-get install opensta")
    tcl.write_text("\n".join([*commands, "exit", ""]))
    report = tcl.with_suffix(".txt")
    done = run_tool([sta, "-no_splash", "-exit", str(tcl.resolve())], log=report, cwd=tcl.parent)
    errors = [line for line in done.stdout.splitlines() if line.startswith("Error:")]
    if errors:
        raise BadInput(f"OpenSTA: {errors[0].removeprefix('Error: ')} (see {report})")
    if done.returncode:
        raise BadInput(f"OpenSTA: exit status {done.returncode} (see {report})")
    return report


def parse(text: str, period: float, report: Path) -> Timing:
    """Read OpenSTA's report. Raises BadInput where a part is missing."""
    parts = dict(re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", text, re.DOTALL | re.MULTILINE))
    if not {"setup", "path", "endpoints"} <= set(parts):
        raise BadInput(f"OpenSTA ended early (see {report})")
    loose: list[str] = []  # endpoints that no path reaches: constants
    for complaint in re.findall(r"^Warning: (.*(?:\n  .*)*)", parts["setup"], re.MULTILINE):
        first, *names = complaint.split("\n")
        if "unconstrained endpoint" not in first:
            raise BadInput(f"OpenSTA: {' '.join(complaint.split())[:200]} (see {report})")
        loose += [name.strip() for name in names]
    path = parts["path"]
    found = {
        name: re.search(pattern, path, re.MULTILINE)
        for name, pattern in {
            "start": r"^Startpoint: (\S+)",
            "end": r"^Endpoint: (\S+)",
            "slack": rf"^worst slack ({NUMBER})",
            "tns": rf"^tns ({NUMBER})",
        }.items()
    }
    for name, match in found.items():
        if match is None:
            raise BadInput(f"OpenSTA: its report has no {name} (see {report})")
    value = {name: match[1] for name, match in found.items() if match}
    steps = tuple(
        Step(point=m[3], cell=m[4], delay=float(m[1]), time=float(m[2]))
        for m in re.finditer(rf"^ *({NUMBER}) +({NUMBER}) [v^] (\S+) \((\S+)\)", path, re.MULTILINE)
        if not m[3].endswith("/CK")
    )
    ends = tuple(
        (m[1], m[2], float(m[3]))
        for m in re.finditer(rf"^(\S+) \(\S+\) +(\S+) \(\S+\) +({NUMBER})$", text, re.MULTILINE)
    )
    return Timing(
        period=period,
        slack=float(value["slack"]),
        total_negative_slack=float(value["tns"]),
        startpoint=value["start"],
        endpoint=value["end"],
        path=steps,
        endpoints=ends,
        constants=tuple(loose),
    )
