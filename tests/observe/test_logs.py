"""The log: readable or JSON, bounded, and never the reason that anything fails."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.observe import logs

log = logging.getLogger("streamlearn.store.checkpoint")


class Broken(io.StringIO):
    """A stream whose other end is gone."""

    def write(self, _text: str, /) -> int:
        """Fail."""
        raise BrokenPipeError


class Awkward:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Take the log's configuration back after each test."""
    yield
    for handler in logging.getLogger("streamlearn").handlers[:]:
        logs.unconfigure(handler)


def configured(style: Literal["console", "json"] = "console", level: str = "info") -> io.StringIO:
    """Configure the log into a text."""
    stream = io.StringIO()
    logs.configure(style, level, stream)
    return stream


def test_a_readable_line() -> None:
    """Time, level, module, text, then what belongs to it as key=value."""
    stream = configured()
    log.info("saved %d rows", 12, extra={"path": "state/a b", "seconds": 0.123456789, "n": 3})
    time, level, module, rest = stream.getvalue().split(maxsplit=3)
    assert len(time) == len("12:00:00.123")
    assert (level, module) == ("info", "store.checkpoint:")
    assert rest == 'saved 12 rows  path="state/a b" seconds=0.123457 n=3\n'


def test_a_json_line() -> None:
    """One object a line, with the time in UTC and everything that was said, exceptions too."""
    stream = configured("json")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("failed\nbadly", extra={"rows": 3, "what": Awkward(), "why": {1, 2}})
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields["level"] == "error"
    assert fields["message"] == "failed\nbadly"
    assert fields["rows"] == 3
    assert fields["time"].endswith("+00:00")
    assert "ZeroDivisionError" in fields["trace"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_it_never_raises(
    style: Literal["console", "json"], capfd: pytest.CaptureFixture[str]
) -> None:
    """Arguments that do not fit, values that cannot be shown, a broken stream: no error."""
    stream = configured(style)
    log.info("%d rows", "many")
    log.info("%s", Awkward(), extra={"value": Awkward()})
    assert "many" in stream.getvalue()
    logs.configure(style, "info", Broken())
    log.error("gone")
    assert capfd.readouterr().err == ""


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
def test_a_client_cannot_forge_lines(text: str) -> None:
    """What came from outside begins no line of its own and moves no cursor."""
    stream = configured()
    log.warning("refused %s", text, extra={"stream": text})
    first, *more = stream.getvalue().removesuffix("\n").split("\n")
    assert "refused" in first
    assert all(line.startswith("    ") for line in more)
    assert all(c.isprintable() for line in (first, *more) for c in line)


def test_the_level_can_change_while_it_runs() -> None:
    """Lines below the level are not written; the level can be set anew."""
    stream = configured(level="warning")
    log.info("no")
    logs.set_level("info")
    log.info("yes")
    assert stream.getvalue().endswith("yes\n")
    assert "no\n" not in stream.getvalue()


def test_repeated_lines_are_limited_and_counted() -> None:
    """Of one key, one line in ten seconds; the next one says how many were held back."""
    now = [0.0]
    limit = logs.Limit(10.0, lambda: now[0])

    def passes(key: str) -> tuple[bool, int]:
        record = logging.makeLogRecord({"limit": key})
        return limit.filter(record), getattr(record, "suppressed", 0)

    assert passes("a") == (True, 0)
    assert [passes("a") for _ in range(7)] == [(False, 0)] * 7
    assert passes("b") == (True, 0)
    now[0] = 10.0
    assert passes("a") == (True, 7)
    assert passes("a") == (False, 0)
    assert limit.filter(logging.makeLogRecord({}))
    for i in range(10_000):
        passes(f"key {i}")
    assert len(limit._last) <= 256


def test_lines_that_need_a_look_are_counted() -> None:
    """Warnings and errors are counted, those held back by the limit too."""
    lines = logs.configure("console", "info", stream := io.StringIO())
    for _ in range(5):
        log.warning("again", extra={"limit": "again"})
    log.error("once")
    log.critical("worse")
    log.info("fine")
    assert lines.counts == {"warning": 5, "error": 2}
    assert stream.getvalue().count("again") == 1


def test_configuring_again_replaces() -> None:
    """A second configuration takes over; nothing is written twice."""
    first, second = configured(), configured()
    log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_importing_changes_nothing() -> None:
    """A program that imports the package keeps its own logging."""
    code = (
        "import logging, streamlearn.observe.logs\n"
        "log = logging.getLogger('streamlearn')\n"
        "assert not log.handlers and not logging.getLogger().handlers and log.level == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
