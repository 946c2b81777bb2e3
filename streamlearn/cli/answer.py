"""An answer of the daemon for a person: a name and a value a line."""

import time
from collections.abc import Iterator
from typing import Any, Final

from streamlearn.cli.show import age, as_json, percent
from streamlearn.observe.metrics import PREFIX

_ENVELOPE: Final = ("v", "ok")
"""Keys that every answer has."""
_METRICS: Final = "metrics"
_WORTH_TELLING: Final = (
    "journal_rows",
    "samples_rejected_total",
    "samples_dropped_total",
    "samples_missed_total",
    "publish_dropped_total",
    "dead_letters_total",
    "checkpoint_failures_total",
    "journal_failures_total",
    "log_lines_total",
)
"""Of a hundred metrics, those that a person should see where they are not 0."""


def lines_of(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Each thing that an answer says; of metrics only what may be bad."""
    rest = {key: value for key, value in answer.items() if key not in (*_ENVELOPE, _METRICS)}
    metrics = {key.removeprefix(PREFIX): value for key, value in answer.get(_METRICS, {}).items()}
    told = {
        key: value for key, value in metrics.items() if value and key.startswith(_WORTH_TELLING)
    }
    lines = [*_lines("", rest), *_lines("", told)]
    if more := len(metrics) - len(told):
        lines.append(("metrics", f"{more} more, see --json or the page"))
    return lines or [("done", "yes")]


def _lines(above: str, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, dict) and value:
            yield from _lines(name, value)
        elif _is_matrix(value):
            yield from ((f"{name}[{i}]", _shown(name, row)) for i, row in enumerate(value))
        else:
            yield name, _shown(name, value)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def _shown(name: str, value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(name, value)
    if isinstance(value, list):
        return ", ".join(_shown(name, one) for one in value)
    return value if isinstance(value, str) else as_json(value)


def _number(name: str, value: float) -> str:
    if name.endswith(("started", "time")):  # since 1970
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if name.endswith("uptime_s"):
        return age(value)
    if name.endswith(("error", "error_recent")):
        return percent(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
