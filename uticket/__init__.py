"""The Python door: a network checked, estimated, balanced, proven, compared; docs/library.md.

Names load what they need when they are first used. Beside a `sim.py` of the user's, hw, sw and sim are still ours.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from uticket import _packages

if TYPE_CHECKING:
    from hw.config import PRESETS, Config
    from sim.deployment import Deployment, Run
    from sim.models.technology import load_table
    from sim.reports.run_report import Report, build, write
    from sim.rtl.harness import RtlError
    from sim.study import Study, study
    from support.errors import BadInput
    from sw.state_dict import apply_masks
    from sw.ticket import Ticket
    from uticket.loading import from_nir, from_torch, load
    from uticket.net import Net, Result

_packages.settle()

_HOMES = {
    "PRESETS": "hw.config",
    "BadInput": "support.errors",
    "Config": "hw.config",
    "Deployment": "sim.deployment",
    "Net": "uticket.net",
    "Report": "sim.reports.run_report",
    "Result": "uticket.net",
    "RtlError": "sim.rtl.harness",
    "Run": "sim.deployment",
    "Study": "sim.study",
    "Ticket": "sw.ticket",
    "apply_masks": "sw.state_dict",
    "build": "sim.reports.run_report",
    "from_nir": "uticket.loading",
    "from_torch": "uticket.loading",
    "load": "uticket.loading",
    "load_table": "sim.models.technology",
    "study": "sim.study",
    "write": "sim.reports.run_report",
}

__all__ = [
    "PRESETS",
    "BadInput",
    "Config",
    "Deployment",
    "Net",
    "Report",
    "Result",
    "RtlError",
    "Run",
    "Study",
    "Ticket",
    "apply_masks",
    "build",
    "from_nir",
    "from_torch",
    "load",
    "load_table",
    "study",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'uticket' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
