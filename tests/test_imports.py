"""Imports go down, as CONTRIBUTING.md says: a folder knows those below it, and none above."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("support", "hw", "sw", "sim", "synth")
"""From the ground up."""
COMMANDS = ("sim/commands/fpga.py", "sim/commands/power.py", "sim/commands/synth.py")
"""They import synth/ when they run."""


def imported(path):
    """Folders of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_imports_one_above(folder):
    above = {
        *FOLDERS[FOLDERS.index(folder) + 1 :],
        "uticket",
        "tb",
        "tests",
        "formal",
        "benchmarks",
    }
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        allowed = {"synth"} if name in COMMANDS else set()
        assert above & set(imported(path)) <= allowed, name
