"""The Python door: a ticket on hardware, analysed, run, reported; docs/library.md."""

from hw.config import PRESETS, Config
from sim.deployment import Deployment, Run
from sim.errors import BadInput
from sim.models.technology import load_table
from sim.reports.run_report import Report, build, write
from sim.rtl.harness import RtlError
from sim.study import Study, study
from sw.ticket import Ticket

__all__ = [
    "PRESETS",
    "BadInput",
    "Config",
    "Deployment",
    "Report",
    "RtlError",
    "Run",
    "Study",
    "Ticket",
    "build",
    "load_table",
    "study",
    "write",
]
