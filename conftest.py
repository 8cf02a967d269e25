"""A test that is skipped is a test that fails: nothing hides behind a missing tool."""

import os
from collections.abc import Generator
from typing import Any

import pytest

# Containers set it; each of the hundreds of processes that tests start would compile all our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Before they are imported, here and by the commands that tests start: threads that wait for each other burn CPU time.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
# PyTorch's compiler needs no processes of its own, and no trial of every vector instruction that the CPU has.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
# Arrays run for few cycles, but in `make soak`: sim/rtl/one_file.py.
if "UTICKET_SOAK" not in os.environ:
    os.environ.setdefault("UTICKET_QUICK_RTL", "1")


def _fail_if_skipped(report: Any) -> None:
    if report.skipped:
        reason = getattr(report, "wasxfail", None) or report.longrepr
        report.outcome, report.longrepr = "failed", f"skipped tests are failures: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Of a module."""
    report = yield
    _fail_if_skipped(report)
    return report
