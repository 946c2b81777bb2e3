"""The board as Prometheus reads it."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamlearn.observe.board import Board
from streamlearn.observe.metrics import METRICS, PREFIX

_FAMILIES: Final = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
_LATENCY: Final = next(metric for metric in METRICS if metric.kind == "histogram")


class BoardCollector(Collector):
    """Makes the metrics page's families when it is read; costs nothing in between."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """Give every series as it is now."""
        for metric, values in self._board.families():
            family = _FAMILIES[metric.kind](PREFIX + metric.name, metric.help, labels=metric.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family
        yield self._latency()

    def describe(self) -> Iterator[Metric]:
        """Give every name, without asking for values: the daemon may not be built yet."""
        for metric in self._board.metrics():
            yield _FAMILIES[metric.kind](PREFIX + metric.name, metric.help, labels=metric.labels)
        yield self._latency()

    def _latency(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(
            PREFIX + _LATENCY.name,
            _LATENCY.help,
            buckets=self._board.latency_buckets(),
            sum_value=self._board.latency.total,
        )


def registry(board: Board) -> CollectorRegistry:
    """Make the registry of one daemon: its board, its process, its Python."""
    own = CollectorRegistry(auto_describe=True)
    own.register(BoardCollector(board))
    ProcessCollector(registry=own)
    PlatformCollector(registry=own)
    return own
