"""Puts one fault of tb/faults.toml into an exported Verilog file: a UTICKET_VERILOG_FILTER command.

Usage: python -m tb.mutate NAME MARKER FILE

Files other than the fault's stay as they are. MARKER, a file, is created when the edit is done. Exit
status 1, with one line, where the edit does not match exactly as often as it says.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FAULTS = Path(__file__).with_name("faults.toml")
WIRE = re.compile(r"\\\S+")  # an escaped identifier, such as the wires that Yosys numbers


@dataclass(frozen=True)
class Fault:
    """An edit of a Verilog file, and the test that must notice it."""

    component: str
    description: str
    file: str
    find: str
    replace: str
    test: str
    count: int = 1

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return f"{self.component}: {self.description}"

    def pattern(self) -> re.Pattern[str]:
        """`find` is literal text, but {w} stands for any escaped identifier, a space for any space."""
        parts = re.split(r"(\{w\}|\s+)", self.find)
        special = {"{w}": f"({WIRE.pattern})"}
        return re.compile(
            "".join(r"\s+" if p.isspace() else special.get(p, re.escape(p)) for p in parts)
        )

    def apply(self, text: str) -> str:
        """The faulty Verilog. Raises ValueError unless the edit matches `count` times."""

        def edited(match: re.Match[str]) -> str:
            return re.sub(r"\{(\d)\}", lambda k: match[int(k[1])] + " ", self.replace)

        result, count = self.pattern().subn(edited, text)
        if count != self.count:
            raise ValueError(f"{self.name}: the edit matches {count} times, not {self.count}")
        if result == text:
            raise ValueError(f"{self.name}: the edit changes nothing")
        return result


@cache
def _of_tests() -> dict[str, list[Fault]]:
    found: dict[str, list[Fault]] = {}
    for fault in load():
        found.setdefault(fault.test, []).append(fault)
    return found


def check_edits(test: str, files: Iterable[Path]) -> None:
    """Raises ValueError where a fault's edit does not match a file that its test builds: `make faults` would break.

    test: the pytest node.
    """
    faults = _of_tests().get(test, [])
    for path in files:
        for fault in faults:
            if fault.file == path.name:
                fault.apply(path.read_text())


def load() -> list[Fault]:
    """All faults. Raises ValueError where two have one name."""
    faults = [Fault(**entry) for entry in tomllib.loads(FAULTS.read_text())["fault"]]
    names = [fault.name for fault in faults]
    if len(set(names)) != len(names):
        raise ValueError(f"{FAULTS}: two faults of one name")
    return faults


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    if len(arguments) != 3:
        print("usage: python -m tb.mutate NAME MARKER FILE", file=sys.stderr)
        return 2
    name, marker, path = arguments[0], Path(arguments[1]), Path(arguments[2])
    fault = next(f for f in load() if f.name == name)
    if path.name != fault.file:
        return 0
    try:
        path.write_text(fault.apply(path.read_text()))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    marker.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
