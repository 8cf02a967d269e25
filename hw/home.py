"""A home for the caches of the tools: wasmtime of Yosys, ccache, matplotlib all want one, or fail."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHES = ("wasmtime", "ccache", "YoWASP", "matplotlib")  # each below the cache folder


@cache
def ensure_home() -> None:
    """Set HOME to a folder of ours where the user's holds no caches; call it before a tool starts.

    So it is in containers (`docker -u 1234`: HOME is `/`, or missing without a passwd entry) and where the home
    is read-only. The folder is build/home of the checkout, else one below the system's temporary folder.
    """
    if _holds_caches():
        return
    ours = Path(tempfile.gettempdir(), f"uticket-{os.getuid()}")
    for folder in (ROOT / "build" / "home", ours):
        if (ROOT / "pyproject.toml").is_file() or folder is ours:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError:
                continue
            if folder.stat().st_uid == os.getuid() and _writable(folder):
                break
    else:
        raise OSError(f"no folder for caches can be written: HOME, {ROOT / 'build'} or {ours}")
    os.environ["HOME"] = str(folder)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        os.environ.pop(name, None)


def _holds_caches() -> bool:
    home = os.environ.get("HOME", "")
    if not home or not Path(home).is_absolute() or Path(home) == Path("/"):
        return False
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache"))
    return all(_writable(_there(caches / name)) for name in CACHES)


def _there(path: Path) -> Path:
    """The folder or the nearest above it that is there."""
    return next(folder for folder in (path, *path.parents) if os.path.lexists(folder))


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
