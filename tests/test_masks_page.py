"""docs/masks.md runs as it stands there."""

from pathlib import Path

from tests import pages

PAGE = Path(__file__).parent.parent / "docs" / "masks.md"


def test_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert pages.run(PAGE) > 12
    assert "cycles an image" in capsys.readouterr().out
