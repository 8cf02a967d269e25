"""The syntax of Liberty files: groups, their attributes, and groups inside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.errors import BadInput

CONTINUED = r"\\[ \t]*\r?\n"
COMMENT = re.compile(rf'("[^"]*")|/\*.*?(?:\*/|\Z)|//[^\n]*|{CONTINUED}', re.DOTALL)
TOKEN = re.compile(r'"[^"]*"|[{}();:,]|[^\s"{}();:,]+')
SKIPPED = {"timing", "ccsn_first_stage", "ccsn_last_stage", "receiver_capacitance"}


@dataclass
class Group:
    """`kind (names) { attributes; groups }`. The timing of cells is left out: OpenSTA reads it."""

    kind: str
    names: list[str]
    attributes: dict[str, list[str]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[Group]:
        """The groups of a kind."""
        return (group for group in self.groups if group.kind == kind)

    def text(self, name: str, default: str = "") -> str:
        """An attribute's value, unquoted."""
        return " ".join(self.attributes.get(name, [default]))

    def number(self, name: str, default: float = 0.0) -> float:
        """An attribute's value as a number."""
        return float(self.attributes[name][0]) if name in self.attributes else default


def parse(text: str, path: Path) -> Group:
    """The one library of a Liberty file's text. path: what an error names. Raises BadInput for what is none."""
    text = COMMENT.sub(lambda match: match[1] or " ", text)
    root = Group("", [])
    stack = [root]
    words = (match.group() for match in TOKEN.finditer(text))
    for word in words:
        if word == "}":
            stack.pop()
            if not stack:
                break
        elif word not in (";", ","):
            after = next(words, "")
            if after == ":":
                values = []
                for value in words:
                    if value == ";":
                        break
                    values.append(value.strip('"'))
                stack[-1].attributes[word] = values
            elif after == "(":
                names = []
                for value in words:
                    if value == ")":
                        break
                    if value != ",":
                        names.append(value.strip('"'))
                opens = next(words, "")
                if opens == "{":
                    if word in SKIPPED:
                        depth = 1
                        for value in words:
                            depth += (value == "{") - (value == "}")
                            if not depth:
                                break
                        continue
                    group = Group(word, names)
                    stack[-1].groups.append(group)
                    stack.append(group)
                else:
                    stack[-1].attributes[word] = names
                    if opens == "}":
                        stack.pop()
    libraries = list(root.of("library"))
    if len(libraries) != 1 or len(stack) != 1:
        raise BadInput(f"Liberty file {path}: not one complete library")
    return libraries[0]
