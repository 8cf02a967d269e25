"""YAML of a user's, as plain values: bounded in size, depth and aliases; every key once.

Of the words that YAML 1.1 takes for truth values only `true` and `false` are; `yes`, `no`, `on`, `off` stay names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from support.errors import BadInput

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000  # with each alias counted as what it stands for
# What PyYAML raises beside its own: from int(), float(), datetime and its tables for tagged scalars.
REFUSED = (yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError, TypeError)


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the rules above."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A mapping. Raises ConstructorError, with the line, for a key that stands there twice."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":bool", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def read(path: Path) -> Any:
    """The content of a file. Raises BadInput, naming it, for what is no YAML or too much of it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadInput(f"{path}: too long; allowed: a YAML of {MAX_BYTES:,} bytes")
        text = data.decode()
        _bound(path, text)
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except BadInput:
        raise
    except REFUSED as error:
        raise BadInput(f"{path}: not YAML ({' '.join(str(error).split())})") from None


def _bound(path: Path, text: str) -> None:
    """Refuses what nests too deep or, its aliases written out, is too long; nothing is built yet."""
    sizes: dict[str, int] = {}  # of what an anchor names
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the nodes that were before it
    count = 0
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in [anchor for anchor, _ in open_nodes]:
                raise BadInput(f"{path}: *{event.anchor} stands in what it names; allowed: no loop")
            count += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.ScalarEvent):
                sizes[event.anchor or ""] = 1
            else:
                open_nodes.append((event.anchor, count - 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor or ""] = count - before
        if len(open_nodes) > MAX_DEPTH:
            raise BadInput(f"{path}: nested deeper than {MAX_DEPTH} levels; allowed: less")
        if count > MAX_NODES:
            raise BadInput(f"{path}: more than {MAX_NODES:,} values; allowed: fewer")
