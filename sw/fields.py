"""What the fields of a network's description may hold: types that a library checks."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid", strict=True)
# What a field allows is its description: errors quote it.
Name = Annotated[str, Field(min_length=1, description="a name")]
Whole = Annotated[int, Field(ge=1, description="a whole number, at least 1")]
Natural = Annotated[int, Field(ge=0, description="a whole number, at least 0")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number above 0")]
Number = Annotated[float, Field(allow_inf_nan=False, description="a finite number")]
Share = Annotated[float, Field(ge=0, le=1, description="0 to 1")]
Leak = Annotated[float, Field(gt=0, le=1, description="a number above 0, at most 1")]
