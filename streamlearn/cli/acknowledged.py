"""What `send --ack` says of its rows: which came before, and what became of the others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from streamlearn.cli.group import INTERRUPTED
from streamlearn.cli.naming import command
from streamlearn.errors import NoAnswerError, RejectedError

if TYPE_CHECKING:
    from streamlearn.client import Producer

_PATIENCE_S: Final = 2.0
"""How long nothing may happen before it is said what is waited for."""


class _InterruptedError(NoAnswerError):
    """Ctrl-C: like a daemon that does not answer, nothing more is waited for."""

    exit_code = INTERRUPTED


def tell_known(producer: "Producer", name: str, total: int, to: str, spool: object) -> None:
    """Say of how many rows the daemon, or the spool, knows already."""
    try:
        with _note(f"waiting for {to} to say how many rows it has of producer {name}"):
            there = min(producer.seq, total)
    except NoAnswerError as error:
        unknown = f"where producer {name} goes on is not known yet"
        where = f"put into the new spool at {spool}" if spool else "sent"
        raise NoAnswerError(f"{error}; no row was {where}, as {unknown}") from None
    kept = producer.kept_rows
    if kept:
        click.echo(f"{kept:,} rows of before are in the spool at {spool}: sending them", err=True)
    if came := max(0, there - kept):
        goes_on = f"going on with row {there + 1:,}" if there < total else "nothing new to send"
        click.echo(
            f"{came:,} rows of producer {name} came before: {goes_on}; "
            "to send them as new rows give another --producer",
            err=True,
        )


@contextmanager
def _note(text: str) -> Iterator[None]:
    """Say something where what is within takes long."""
    timer = threading.Timer(_PATIENCE_S, lambda: click.echo(text, err=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def until_acknowledged(
    producer: "Producer", timeout_s: float | None, spool: object
) -> Iterator[None]:
    """Wait for what was sent within; where some is left, say where it is and how it is sent.

    Raises
    ------
    NoAnswerError
        Some is left; its exit code is that of Ctrl-C where that was pressed.

    """
    kept = producer.kept_rows
    try:
        yield
        if _wait(producer, timeout_s, spool) or kept:
            click.echo("nothing is left to be acknowledged", err=True)
    except (NoAnswerError, RejectedError) as error:
        raise NoAnswerError(f"{error}{_left(producer, spool)}") from None
    except KeyboardInterrupt:
        nothing = "; no row waits to be acknowledged"
        raise _InterruptedError(f"interrupted{_left(producer, spool) or nothing}") from None


def _wait(producer: "Producer", timeout_s: float | None, spool: object) -> bool:
    """Wait until all is acknowledged; whether it took so long that a word was said."""
    if producer.flush(_PATIENCE_S if timeout_s is None else min(timeout_s, _PATIENCE_S)):
        return False
    left_s = None if timeout_s is None else timeout_s - _PATIENCE_S
    if left_s is None or left_s > 0:
        where = f"in the spool at {spool}, where Ctrl-C leaves them," if spool else "sent"
        text = f"{producer.kept_rows:,} rows are {where} and not acknowledged yet"
        click.echo(f"{text}: {producer.silence}", err=True)
        if producer.flush(left_s):
            return True
    raise NoAnswerError(producer.silence)


def _left(producer: "Producer", spool: object) -> str:
    """What is to be said of rows that are left; "" where none is."""
    if not (rows := producer.kept_rows):
        return ""
    again = f"to send them{'' if spool else ' again'}: {command()}"
    place = f"in the spool at {spool}, " if spool else ""
    return f"; {rows:,} rows are {place}not acknowledged; {again}"
