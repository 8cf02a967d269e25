"""The one exception for what a user can put right."""


class BadInput(ValueError):  # noqa: N818 - what it is, not that it is an error
    """Input that cannot be used: the message names the file, layer or value and what is allowed."""


class ToldWhole(BadInput):
    """Whose message is a list of ours, each part of it wanted: the command line does not cut it."""
