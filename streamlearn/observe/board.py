"""The board: where the daemon's figures hang, as plain numbers, until somebody looks.

Writing costs an addition a block. Everything else, names, labels, text, is made when the metrics
page is read or a `metrics` message is due. All series are there from the start; none can be added,
so that nothing a client sends makes the page grow.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import isnan, nan
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn import __version__
from streamlearn.errors import REASONS
from streamlearn.observe import metrics
from streamlearn.observe.curve import Curve
from streamlearn.observe.latency import Histogram
from streamlearn.observe.metrics import METRICS, Metric

Labels = tuple[str, ...]
Values = dict[Labels, float]
Source = Callable[[], float | Mapping[Any, float]]
Report = Mapping[str, Any]
"""What `Figures.report` gives."""

_LATENCY: Final = "latency_seconds"


class Family(NamedTuple):
    """A metric with the values of all its series."""

    metric: Metric
    values: Values
    """By the labels' values, in the order of `metric.labels`."""


class Board:
    """The daemon's figures; each series is written by one thread, any thread may read.

    Parameters
    ----------
    stages
        Names of the stages.
    steps, layers, heads
        By name, what each tells of itself: the keys of its `gauges()`.
    published
        The head whose predictions are published; its figures are the learner's.
    classes
        K.
    rules
        Names of the rules that run.

    """

    def __init__(
        self,
        *,
        stages: Sequence[str] = (),
        steps: Mapping[str, Iterable[str]] | None = None,
        layers: Mapping[str, Iterable[str]] | None = None,
        heads: Mapping[str, Iterable[str]] | None = None,
        published: str = "",
        classes: int = 0,
        rules: Iterable[str] = (),
    ) -> None:
        self.latency = Histogram(metrics.LATENCY_BOUNDS_S)
        self.reports: Mapping[str, Report] = {}
        """Head → its figures, as they were last shown."""
        self.curve = Curve()
        """Recent error of the published head over the rows scored since the start."""
        self.published = published
        heads = heads or {}
        self._metrics = {metric.name: metric for metric in METRICS if metric.name != _LATENCY}
        self._values = self._start(list(stages), list(heads), classes, ",".join(sorted({*rules})))
        self._sources: dict[str, Source] = {}
        self._add_gauges(metrics.PREPARE_GAUGE, steps or {})
        self._add_gauges(metrics.LAYER_GAUGE, layers or {})
        self._add_gauges(metrics.HEAD_GAUGE, heads)

    def _start(
        self, stages: list[str], heads: list[str], classes: int, rules: str
    ) -> dict[str, Values]:
        shown = [str(k) for k in range(classes if classes <= metrics.CLASSES_SHOWN else 0)]
        domains: dict[str, list[str]] = {
            "reason": list(REASONS),
            "outcome": list(metrics.LATE_OUTCOMES),
            "stage": stages,
            "head": heads,
            "window": list(metrics.WINDOWS),
            "rule": list(metrics.TRIVIAL_RULES),
            "class": shown,
            "topic": list(metrics.TOPICS),
            "begin": list(metrics.BEGIN_REASONS),
            "fate": list(metrics.DEAD_FATES),
            "level": list(metrics.LOG_LEVELS),
            "version": [__version__],
            "rules": [rules],
        }
        values: dict[str, Values] = {}
        for metric in self._metrics.values():
            series = product(*[domains[label] for label in metric.labels])
            values[metric.name] = dict.fromkeys(series, nan if metric.name in _FIGURES else 0.0)
        values["samples_dropped_total"] = {(reason,): 0.0 for reason in metrics.DROP_REASONS}
        values["build_info"] = dict.fromkeys(values["build_info"], 1.0)
        return values

    def _add_gauges(self, pattern: Metric, parts: Mapping[str, Iterable[str]]) -> None:
        for part, gauges in parts.items():
            for gauge in gauges:
                name = pattern.name.format(gauge=gauge)
                if name in {metric.name for metric in METRICS} or not name.isidentifier():
                    raise ValueError(f"{part}: a gauge cannot be called {gauge!r}: choose another")
                self._metrics[name] = pattern._replace(name=name)
                self._values.setdefault(name, {})[part,] = nan

    def take_shape(self, other: "Board") -> None:
        """Have the series of another board from now on; values that both have stay.

        Only while nobody writes: a layer was added.
        """
        mine, started = vars(self), vars(other)["_values"]
        for name, values in started.items():
            values.update({k: v for k, v in mine["_values"].get(name, {}).items() if k in values})
        self._metrics, self._values = vars(other)["_metrics"], started

    def add(self, name: str, amount: float, *labels: str) -> None:
        """Count `amount` more; raises KeyError where there is no such series."""
        self._values[name][labels] += amount

    def set(self, name: str, value: float, *labels: str) -> None:
        """Show a value; raises KeyError where there is no such series."""
        _ = self._values[name][labels]
        self._values[name][labels] = value

    def supply(self, name: str, source: Source) -> None:
        """Ask `source` for a metric's values whenever somebody looks.

        Parameters
        ----------
        name
            The metric.
        source
            Gives a number, or for a metric with labels a mapping from the label's value (several:
            from a tuple of them) to a number. Called on any thread; cheap, and never waits.

        """
        _ = self._values[name]
        self._sources[name] = source

    def observe_block(self, seconds: NDArray[np.float64]) -> None:
        """Add the times from received to learned of a block's rows [B], learned just now."""
        self.latency.observe(seconds)
        self._values["last_learned_timestamp_seconds"][()] = time.time()

    def show_figures(self, reports: Mapping[str, Report]) -> None:
        """Show what `Figures.report` gives, by head."""
        self.reports = reports
        report = reports.get(self.published, {})
        if report.get("error_recent") is not None:
            self.curve.add(float(report["labelled"]), float(report["error_recent"]))

    def show_gauges(self, kind: str, part: str, gauges: Mapping[str, float]) -> None:
        """Show what a part tells of itself; `kind` is prepare, layer or head."""
        for gauge, value in gauges.items():
            self.set(f"{kind}_{gauge}", float(value), part)

    def metrics(self) -> list[Metric]:
        """Every metric but the histogram."""
        return list(self._metrics.values())

    def families(self) -> Iterator[Family]:
        """Every metric but the histogram, with its values now."""
        figures = dict(_of_reports(self.reports, self.published))
        for name, metric in self._metrics.items():
            values = self._values[name]
            fresh = self._asked(name) if name in self._sources else figures.get(name, {})
            if metric.labels == ("class",):  # there may be too many to show
                fresh = {labels: fresh[labels] for labels in values.keys() & fresh.keys()}
            if unknown := fresh.keys() - values.keys():
                raise ValueError(f"{name}: no series for {', '.join(map(str, unknown))}")
            yield Family(metric, {**values, **fresh})

    def _asked(self, name: str) -> Values:
        answer = self._sources[name]()
        if not isinstance(answer, Mapping):
            return {(): float(answer)}
        return {(k if isinstance(k, tuple) else (str(k),)): float(v) for k, v in answer.items()}

    def flat(self, prefix: str = "") -> dict[str, float]:
        """All figures by the name of their series, for the `metrics` topic and for status.

        Figures that nobody can know yet, such as an error before the first label, are left out.
        """
        flat = {
            metrics.series(
                prefix + metric.name, dict(zip(metric.labels, labels, strict=True))
            ): value
            for metric, values in self.families()
            for labels, value in values.items()
            if not isnan(value)
        }
        for bound, count in self.latency_buckets():
            flat[metrics.series(f"{prefix}{_LATENCY}_bucket", {"le": bound})] = count
        flat[f"{prefix}{_LATENCY}_sum"] = self.latency.total
        flat[f"{prefix}{_LATENCY}_count"] = self.latency.cumulative()[-1]
        return flat

    def latency_buckets(self) -> list[tuple[str, float]]:
        """The histogram as Prometheus wants it: upper bound and how many are at most that."""
        bounds = [*map(str, self.latency.bounds), "+Inf"]
        return list(zip(bounds, self.latency.cumulative(), strict=True))


_FIGURES: Final = (
    "prequential_error",
    "head_error",
    "head_log_loss",
    "trivial_error",
    "kappa",
    "class_recall",
    "class_precision",
)


def _of_reports(reports: Mapping[str, Report], published: str) -> Iterator[tuple[str, Values]]:
    """Every head's figures as series."""
    yield "head_error", _by_name(reports, "error")
    yield "head_log_loss", _by_name(reports, "log_loss")
    if report := reports.get(published):
        yield "prequential_error", _by_window(report, "error")
        yield (
            "trivial_error",
            _by_name({r: _of_rule(report, r) for r in metrics.TRIVIAL_RULES}, "error"),
        )
        yield "kappa", {(): _number(report["kappa"])}
        yield "labelled_total", {(): _number(report["labelled"])}
        for name in ("recall", "precision"):
            yield f"class_{name}", {(str(k),): _number(v) for k, v in enumerate(report[name])}


def _by_name(reports: Mapping[str, Report], key: str) -> Values:
    return {
        (name, window): value
        for name, report in reports.items()
        for (window,), value in _by_window(report, key).items()
    }


def _by_window(report: Report, key: str) -> Values:
    return {("all",): _number(report[key]), ("recent",): _number(report[f"{key}_recent"])}


def _of_rule(report: Report, rule: str) -> Report:
    return {"error": report[f"{rule}_error"], "error_recent": report[f"{rule}_error_recent"]}


def _number(value: float | None) -> float:
    return nan if value is None else float(value)
