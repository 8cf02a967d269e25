"""What the paper prints: its tables and figures, to set ours beside them (sim/paper/published.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def published() -> dict[str, Any]:
    """The content of published.yaml, which names its source."""
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
