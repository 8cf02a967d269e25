"""Other ways to keep PEs busy, one a file; docs/rivals.md. To add one, add a file: see CONTRIBUTING.md."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from inspect import isabstract
from types import ModuleType

from sim.rivals.base import Rival
from support.errors import BadInput


@cache
def rivals() -> dict[str, Rival]:
    """Every rival of this folder, by name. Raises BadInput for a file that holds none, or one with another's name."""
    files = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    found: dict[str, Rival] = {}
    for name in files:
        module = importlib.import_module(f"{__name__}.{name}")
        one = _rival(module)
        if one.name in found:
            raise BadInput(
                f"{module.__file__}: name = {one.name!r}; allowed: one that no other has"
            )
        found[one.name] = one
    return found


def _rival(module: ModuleType) -> Rival:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__ and issubclass(kind, Rival)]
    if len(own) != 1 or isabstract(own[0]) or not all(map(own[0].__dict__.get, ("name", "style"))):
        raise BadInput(
            f"{module.__file__}: {len(own)} rivals; allowed: one subclass of sim.rivals.base.Rival "
            "with name, style and load()"
        )
    return own[0]()
