"""What a person typed: errors name the options of the command line, not arguments of Python."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import click

from streamlearn.errors import ArgumentError, UsageError


@contextmanager
def told_as(**options: str) -> Iterator[None]:
    """Call a wrong argument of the client by its option: `told_as(endpoint="--to")`."""
    try:
        yield
    except ArgumentError as error:
        raise UsageError(f"{options.get(error.name, error.name)}: {error.detail}") from None


def command() -> str:
    """The command that runs, to be typed again."""
    return shlex.join(["streamlearn", *click.get_current_context().find_root().obj])
