"""The log: one line an event on standard error, for a person or as JSON.

Modules log with the standard library, `logging.getLogger(__name__).warning("text", extra={…})`, and
everything in `extra` is shown as key=value. A line that may come often carries `extra={"limit":
KEY}`: of one KEY, one line in ten seconds is written, and the next one says how many were not.
Importing this changes nothing; `configure` does.
"""

import json
import logging
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

LIMIT_S: Final = 10.0
"""Lines of one limited key come at most this often."""

_MOST_KEYS: Final = 256
_STANDARD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "limit", "taskName"}
_COLOURS: Final = {"WARNING": "\33[33m", "ERROR": "\33[31m", "CRITICAL": "\33[31m"}
_ROOT: Final = "streamlearn"


def configure(
    style: Literal["console", "json"], level: str, stream: TextIO | None = None
) -> "Lines":
    """Send the package's log to `stream`, standard error unless said otherwise.

    Parameters
    ----------
    style
        Readable lines, or one JSON object a line.
    level
        The least severe that is written: debug, info, warning, error.
    stream
        Where to.

    Returns
    -------
    Lines
        The handler, which counts; give it to `unconfigure` at the end.

    """
    stream = stream or sys.stderr
    lines = Lines(stream)
    colours = style == "console" and stream.isatty()
    lines.setFormatter(Json() if style == "json" else Console(colours=colours))
    lines.addFilter(Limit())
    root = logging.getLogger(_ROOT)
    for handler in root.handlers[:]:
        unconfigure(handler)
    root.addHandler(lines)
    root.propagate = False
    set_level(level)
    return lines


def set_level(level: str) -> None:
    """Change the least severe level that is written."""
    logging.getLogger(_ROOT).setLevel(level.upper())


def unconfigure(handler: logging.Handler) -> None:
    """Take back what `configure` did."""
    root = logging.getLogger(_ROOT)
    root.removeHandler(handler)
    root.propagate = True
    root.setLevel(logging.NOTSET)


class Lines(logging.StreamHandler[TextIO]):
    """Writes lines and counts those that need a look; a broken stream is no reason to fail."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.counts = {"warning": 0, "error": 0}
        """Lines by level, limited ones included; a critical one counts as an error."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Count, then write unless it is limited."""
        if record.levelno >= logging.WARNING:
            self.counts["error" if record.levelno >= logging.ERROR else "warning"] += 1
        return bool(super().handle(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: a log that cannot be written must not stop a stream."""


class Limit(logging.Filter):
    """Lets one line of a `limit` key through at a time, and counts the rest.

    Parameters
    ----------
    every_s
        How often one may pass.
    clock
        Seconds that only go forward.

    """

    def __init__(
        self, every_s: float = LIMIT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._every_s, self._clock = every_s, clock
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is written; adds `suppressed` to one that follows silence."""
        key = getattr(record, "limit", None)
        if key is None:
            return True
        now, key = self._clock(), str(key)
        when, suppressed = self._last.get(key, (-math.inf, 0))
        if now - when < self._every_s:
            self._last[key] = (when, suppressed + 1)
            return False
        if suppressed:
            record.suppressed = suppressed
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        if len(self._last) > _MOST_KEYS:
            self._last.popitem(last=False)
        return True


class Console(logging.Formatter):
    """`12:00:00.123 warning checkpoint: disk full  path=state rows=12`."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Write one line; what a client sent cannot begin another, nor move the cursor."""
        level = f"{record.levelname.lower():7}"
        if self._colours and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\33[0m"
        words = [f"{key}={_word(value)}" for key, value in _extras(record).items()]
        text = "  ".join([_printable(_message(record)), *([" ".join(words)] if words else [])])
        when = _when(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        return f"{when} {level} {_origin(record)}: {text}{self._trace(record)}"

    def _trace(self, record: logging.LogRecord) -> str:
        return "\n" + self.formatException(record.exc_info) if record.exc_info else ""


class Json(logging.Formatter):
    """One JSON object a line: time, level, module, message, then what was in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line; what JSON does not know becomes text."""
        fields: dict[str, Any] = {
            "time": _when(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "module": _origin(record),
            "message": _message(record),
            **_extras(record),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=_text, skipkeys=True)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _message(record: logging.LogRecord) -> str:
    """Fill in the arguments; a line whose arguments do not fit is still shown."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - an argument's own __str__ may raise anything
        return f"{record.msg} {_text(record.args)}"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the same
        return f"<{type(value).__name__}>"


def _word(value: object) -> str:
    """Quote what would not be one word."""
    text = f"{value:.6g}" if isinstance(value, float) else _text(value)
    plain = text.isprintable() and text and not set(text) & set(' "=')
    return text if plain else json.dumps(text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text).replace(
        "\n", "\n    "
    )


def _origin(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_ROOT}.")


def _when(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
