"""How often a property is tried at random: a few times in `make test`, many more in `make soak`."""

import os

SOAK = "UTICKET_SOAK"  # environment variable: by how much every number of repetitions is multiplied


def times(few: int) -> int:
    """Repetitions of this run, where `make test` makes `few`."""
    return few * int(os.environ.get(SOAK, "1"))
