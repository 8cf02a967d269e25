"""Tutorials run as they stand."""

from pathlib import Path

import pytest

from tests import pages

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("page", "examples"), [("first-run.md", 8), ("your-soc.md", 6)])
def test_the_page(page, examples, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert pages.run(DOCS / page) >= examples
