"""docs/your-network.md runs as it stands: its Python, and its commands with what they print."""

import contextlib
import doctest
import io
from pathlib import Path

import pytest

from sim.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "your-network.md"


def console(line):
    """What a command prints, both streams, and its exit status where that is not 0."""
    program, *arguments = line.split()
    assert program == "uticket"
    text = io.StringIO()
    with (
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(text),
        pytest.raises(SystemExit) as stop,
    ):
        main(arguments)
    return text.getvalue() + (f"(exit {stop.value.code})\n" if stop.value.code else "")


def blocks(page):
    """Examples in the page's order: a doctest example, or a command and what it prints."""
    examples = iter(doctest.DocTestParser().get_examples(page))
    lines, number = page.splitlines(), 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith("    >>> "):
            yield next(examples)
        elif line.startswith("    $ "):
            printed = []
            while number < len(lines) and lines[number].startswith("    "):
                printed.append(lines[number][4:] + "\n")
                number += 1
            yield line[6:], "".join(printed)


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    names, commands = {}, 0
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if isinstance(block, doctest.Example):
            exec(compile(block.source, str(PAGE), "exec"), names)  # noqa: S102 - our own page
            continue
        line, wanted = block
        printed = console(line)
        commands += 1
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(wanted, printed, flags), (line, printed)
    assert commands == 10
