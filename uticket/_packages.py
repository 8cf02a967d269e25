"""support, hw, sw and sim are common names: a `sim.py` beside a notebook would be found before our package."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

NAMES = ("support", "hw", "sw", "sim")
ROOT = Path(__file__).resolve().parent.parent


def settle() -> None:
    """Make them ours. A file that they hide is named in a warning.

    Raises ImportError where a module of such a name is loaded already.
    """
    for name in NAMES:
        loaded = sys.modules.get(name)
        if loaded is not None:
            if not _ours(getattr(loaded, "__file__", None), name):
                raise ImportError(
                    f"{name!r} is loaded from {getattr(loaded, '__file__', None)}; uticket has a "
                    "package of that name: import uticket first, or rename that file"
                )
            continue
        found = importlib.util.find_spec(name)
        if found is None or not _ours(found.origin, name):
            _load(name)
            if found is not None:
                warnings.warn(
                    f"{found.origin} is hidden by uticket's package {name!r}; rename it to import it",
                    stacklevel=3,
                )


def _ours(file: str | None, name: str) -> bool:
    return file is not None and Path(file).resolve() == ROOT / name / "__init__.py"


def _load(name: str) -> None:
    folder = ROOT / name
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"uticket's package {name!r} is not in {ROOT}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
