"""Runs a page of docs/: its Python as doctests, its `uticket` lines as commands, in order, in the current folder."""

import doctest
import shlex

import pytest

from sim.cli import main


def run(path) -> int:
    """How many examples and commands ran; each must do as the page says."""
    parser, names, count = doctest.DocTestParser(), {}, 0
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    piece: list[str] = []

    def examples():
        test = parser.get_doctest("\n".join(piece), names, path.name, str(path), 0)
        runner.run(test, clear_globs=False)
        names.update(test.globs)
        piece.clear()
        assert runner.failures == 0
        return len(test.examples)

    for line in path.read_text().splitlines():
        if line.startswith("    uticket "):
            count += 1 + examples()
            with pytest.raises(SystemExit) as ended:
                main(shlex.split(line)[1:])
            assert not ended.value.code, line
        else:
            piece.append(line)
    return count + examples()
