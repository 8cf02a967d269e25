"""The command line as a user calls it, in this process."""

import pytest

from sim.cli import main


def status(*arguments):
    """The exit status of `uticket`."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0
