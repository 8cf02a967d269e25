"""Comparison of very small numbers."""

import pytest


def near(value):
    """Approximately: pytest's own tolerance of 1e-12 is more than any energy in joules here."""
    return pytest.approx(value, rel=1e-6, abs=0)
