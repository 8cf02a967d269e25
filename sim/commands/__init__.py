"""Subcommands of `uticket`, one a module.

To add one, add `NAME.py` here with a `click` command called `command`. It returns None or its exit
status (1 for a mismatch) and raises BadInput, ValueError or OSError for bad input. Imports at the
top of the module are for click and what is as light: rich and torch belong inside functions.
"""
