"""The `uticket` command: a module of `sim/commands/` is a subcommand, loaded when it is named.

Exit status: 0 when all is well, 1 for a mismatch, 2 for bad input, with one line on stderr.
"""

from __future__ import annotations

import importlib
import io
import keyword
import os
import pkgutil
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from sim import commands
from support.errors import ToldWhole

LONGEST = 280  # characters of a message; the tail of a long one says what is allowed


class LazyGroup(click.Group):
    """Subcommand NAME is the attribute `command` of module `sim.commands.NAME`, or NAME_ for Python's words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all subcommands, sorted."""
        return sorted(module.name.rstrip("_") for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, or None if there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        return importlib.import_module(f"sim.commands.{module}").command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="uticket")
def uticket() -> None:
    """Sparse spiking networks on a PE array: balance them, count their work, run their RTL."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (default: that of the process) and exit with its status."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no failure
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = uticket.main(arguments, prog_name="uticket", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _fail(error.format_message())
    except BrokenPipeError:  # who reads what we print has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except MemoryError as error:
        _fail(f"out of memory: {error}" if str(error) else "out of memory")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:  # BadInput, and the checks of hw, sw and sim
        _fail(str(error), whole=isinstance(error, ToldWhole))
    sys.exit(status)


def one_line(text: str, *, whole: bool = False) -> str:
    """A text of at most LONGEST characters on one line: of a longer one the middle is left out, unless `whole`."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    end = LONGEST // 3
    return (
        line if whole or len(line) <= LONGEST else f"{line[: LONGEST - end - 5]} ... {line[-end:]}"
    )


def _fail(message: str, *, whole: bool = False) -> NoReturn:
    click.echo(f"uticket: error: {one_line(message, whole=whole)}", err=True)
    sys.exit(2)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"uticket: warning: {one_line(str(message))}", err=True)


def _terminated(number: int, _: object) -> NoReturn:
    # Where a library swallows the exception, the next signal ends it.
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)  # as an exception: what was begun is cleared away


if __name__ == "__main__":
    main()
