"""Hypothesis draws more examples in `make soak`; pages can be made without their pictures."""

import pytest
from hypothesis import settings

from sim.reports import drawing
from tests.command import status
from tests.soak import times

settings.register_profile("soak", max_examples=times(settings.default.max_examples))
settings.load_profile("soak")


@pytest.fixture
def undrawn(monkeypatch):
    """For tests that look at other things of a report than its pictures, which take seconds to draw."""
    monkeypatch.setattr(drawing, "picture", lambda *_, **__: b"<svg></svg>")


@pytest.fixture
def run(capsys):
    """Calls `uticket`: status, stdout, stderr."""

    def called(*arguments):
        return status(*arguments), *capsys.readouterr()

    return called
