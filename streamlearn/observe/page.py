"""The page at /: the running figures for somebody who would rather look than read.

One self-contained document, made anew at each request; it asks for itself every two seconds.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import isnan, nan
from typing import Any, Final

from streamlearn.observe.board import Board, Values
from streamlearn.observe.look import SHELL
from streamlearn.observe.metrics import WINDOWS

_MOST_CLASSES: Final = 24
"""A confusion matrix of more classes would not fit on the page."""
_CURVE_W: Final = 720
_CURVE_H: Final = 150
_UNKNOWN: Final = "\N{EN DASH}"


class Page:
    """Draws a board.

    Parameters
    ----------
    board
        Where the figures are.
    clock, today
        Seconds that only go forward, and seconds since 1970.

    """

    def __init__(
        self,
        board: Board,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._board, self._clock, self._today = board, clock, today
        self._before: tuple[float, float] | None = None
        self._rate = nan

    def render(self, reason: str) -> str:
        """Draw the page; `reason` says why the daemon is not ready, or is empty."""
        values = {family.metric.name: family.values for family in self._board.families()}
        self._measure_rate(_one(values, "samples_learned_total"))
        report = self._board.reports.get(self._board.published, {})
        parts = [
            _state(reason),
            f'<section class="cards">{"".join(self._cards(values))}</section>',
            _curve(self._board.curve.points),
            '<div class="columns">',
            _section("Confusion: true class down, called across", _confusion(report)),
            _section("Heads", _heads(values)),
            _section("Stages", _stages(values)),
            _section("What parts tell of themselves", _gauges(values)),
            _section("Refused, dropped, missed, late", _losses(values)),
            "</div>",
        ]
        return SHELL.replace("<!-- figures -->", "".join(parts))

    def _measure_rate(self, learned: float) -> None:
        """Rows a second since the page was drawn at least a second ago, by whomever."""
        now = self._clock()
        if self._before is None:
            self._before = (now, learned)
        elif now - self._before[0] >= 1.0:
            self._rate = (learned - self._before[1]) / (now - self._before[0])
            self._before = (now, learned)

    def _cards(self, values: Mapping[str, Values]) -> Iterable[str]:
        error, trivial = values["prequential_error"], values["trivial_error"]
        yield _card(
            "Error now",
            _percent(error["recent",]),
            f"all rows {_percent(error['all',])} · always the commonest class "
            f"{_percent(trivial['majority', 'recent'])} · the last label again "
            f"{_percent(trivial['repeat', 'recent'])}",
        )
        yield _card(
            "Rows learned",
            _count(_one(values, "samples_learned_total")),
            f"{_rate(self._rate)} · since the start; in all, "
            f"{_count(_one(values, 'labelled_total'))} with a label",
        )
        latency = self._board.latency
        yield _card(
            "Received to learned",
            _duration(latency.quantile(0.5)),
            f"99 of 100 rows within {_duration(latency.quantile(0.99))}",
        )
        yield self._checkpoint_card(values)

    def _checkpoint_card(self, values: Mapping[str, Values]) -> str:
        written = _one(values, "checkpoint_last_success_timestamp_seconds")
        failed = _one(values, "checkpoint_failures_total")
        failures = f' · <b class="bad">{_count(failed)} failed</b>' if failed else ""
        rows = _one(values, "checkpoint_rows")
        ago = f"{_duration(max(0.0, self._today() - written))} ago"
        found = "from before the start" if rows else "none yet"
        survives = f"at row {_count(rows)}" if rows else "nothing would survive a restart"
        return _card("Newest checkpoint", ago if written else found, f"{survives}{failures}")


def _one(values: Mapping[str, Values], name: str) -> float:
    return values[name][()]


def _state(reason: str) -> str:
    text, kind = (escape(reason), "wait") if reason else ("learning", "good")
    return f'<p class="state {kind}">{text}</p>'


def _card(title: str, figure: str, note: str) -> str:
    return f"<article><h2>{title}</h2><strong>{figure}</strong><small>{note}</small></article>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(lines)}</table>" if lines else ""


def _heads(values: Mapping[str, Values]) -> str:
    heads = dict.fromkeys(labels[0] for labels in values["head_error"])
    figures = ("head_error", _percent), ("head_log_loss", _number)
    return _table(
        ("", "error now", "all", "log loss now", "all"),
        (
            [escape(head)]
            + [
                shown(values[name][head, window])
                for name, shown in figures
                for window in reversed(WINDOWS)
            ]
            for head in heads
        ),
    )


def _stages(values: Mapping[str, Values]) -> str:
    return _table(
        ("", "worked", "rows waiting"),
        (
            (escape(stage), _duration(busy), _count(values["stage_rows_behind"][stage,]))
            for (stage,), busy in values["stage_busy_seconds_total"].items()
        ),
    )


def _gauges(values: Mapping[str, Values]) -> str:
    """What parts tell of themselves; of one that told something, nothing that it never tells."""
    known = ("head_error", "head_log_loss")
    told = [
        (part, name.partition("_")[2].replace("_", " "), value)
        for name, series in values.items()
        if name.startswith(("prepare_", "layer_", "head_")) and name not in known
        for (part,), value in series.items()
    ]
    some = {part for part, _, value in told if not isnan(value)}
    rows = sorted(row for row in told if not isnan(row[2]) or row[0] not in some)
    rows.sort(key=lambda row: (row[0], row[1].rstrip("0123456789"), len(row[1])))
    return _table(("", "", ""), [(escape(part), escape(n), _number(v)) for part, n, v in rows])


def _losses(values: Mapping[str, Values]) -> str:
    """Everything that was refused, dropped, missed or late; what never happened is not listed."""
    names = {
        "samples_rejected_total": "messages refused",
        "samples_dropped_total": "rows dropped",
        "samples_missed_total": "rows missed",
        "labels_late_total": "late labels",
        "publish_dropped_total": "answers dropped",
    }
    rows = [
        (" ".join([title, *map(_plain, labels)]), _count(value))
        for name, title in names.items()
        for labels, value in values[name].items()
        if value
    ]
    return _table(("", ""), rows) or "<p>Nothing: every row came in, in time and whole.</p>"


def _plain(label: str) -> str:
    return escape(label.replace("_", " "))


def _confusion(report: Mapping[str, Any]) -> str:
    matrix: Sequence[Sequence[float]] = report.get("confusion", ())
    if not 0 < len(matrix) <= _MOST_CLASSES:
        return ""
    head = "".join(f"<th>{k}</th>" for k in range(len(matrix)))
    rows = "".join(
        f"<tr><th>{k}</th>{''.join(_cell(row, j, right=j == k) for j in range(len(row)))}</tr>"
        for k, row in enumerate(matrix)
    )
    return f'<table class="confusion"><tr><th></th>{head}</tr>{rows}</table>'


def _cell(row: Sequence[float], j: int, *, right: bool) -> str:
    """Shade a cell by its share of the row; mistakes in another colour, and sooner."""
    share = row[j] / max(1.0, sum(row))
    colour, alpha = ("--good", share) if right else ("--bad", min(1.0, 4 * share))
    shade = f"color-mix(in srgb, var({colour}) {80 * alpha:.0f}%, transparent)"
    return f'<td style="background:{shade}">{_count(row[j]) if row[j] else ""}</td>'


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Draw the recent error over the labelled rows."""
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    top = max(0.01, *(y for _, y in points))
    line = " ".join(
        f"{_CURVE_W * (x - first) / max(1.0, last - first):.1f},{_CURVE_H * (1 - y / top):.1f}"
        for x, y in points
    )
    area = f"0,{_CURVE_H} {line} {_CURVE_W},{_CURVE_H}"
    return _section(
        "Recent error",
        f'<figure><span>{_percent(top)}</span><svg viewBox="0 0 {_CURVE_W} {_CURVE_H}" '
        f'preserveAspectRatio="none"><polygon points="{area}"/><polyline points="{line}"/></svg>'
        f"<figcaption><i>row {_count(first)}</i><i>row {_count(last)}</i></figcaption></figure>",
    )


def _percent(share: float) -> str:
    return _UNKNOWN if isnan(share) else f"{100 * share:.2f} %"


def _count(number: float) -> str:
    return _UNKNOWN if isnan(number) else f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _number(number: float) -> str:
    return _UNKNOWN if isnan(number) else f"{number:.4g}"


def _rate(rows_per_s: float) -> str:
    return f"{_UNKNOWN} rows/s" if isnan(rows_per_s) else f"{_count(rows_per_s)} rows/s"


def _duration(seconds: float) -> str:
    if isnan(seconds):
        return _UNKNOWN
    for limit, scale, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if seconds < limit:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
