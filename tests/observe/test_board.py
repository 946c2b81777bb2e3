"""The board and the metrics page: one table of names, every series from the start, none added."""

import re
import time
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observe.helpers import board, report
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamlearn.errors import REASONS
from streamlearn.observe.board import Board
from streamlearn.observe.collector import registry
from streamlearn.observe.curve import POINTS, Curve
from streamlearn.observe.latency import Histogram
from streamlearn.observe.metrics import METRICS, PREFIX, series

PATTERNS = ("layer_", "head_")


def page(shown: Board) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the metrics page as Prometheus does: name → labels → value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry(shown)).decode()):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), "a series twice"
            found[sample.name][labels] = sample.value
    return found


def test_the_page_is_the_table() -> None:
    """Every name on the page is in the table with exactly its labels, and every name is there."""
    found = page(board())
    for metric in METRICS:
        name = PREFIX + metric.name + ("_count" if metric.kind == "histogram" else "")
        assert found[name], f"{name} has no series before anything happened"
        assert {key for labels in found[name] for key, _ in labels} == set(metric.labels)
    known = {PREFIX + metric.name for metric in METRICS}
    gauges = {f"{PREFIX}layer_dead_share", f"{PREFIX}head_rate"}
    histogram = {f"{PREFIX}latency_seconds_{end}" for end in ("bucket", "sum", "count")}
    ours = {name for name in found if name.startswith(PREFIX)}
    assert ours == (known | gauges | histogram) - {f"{PREFIX}latency_seconds"}


def test_the_table_keeps_the_rules() -> None:
    """Counters end in _total, units are base units, names are plain words, help is a sentence."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not metric.name.endswith(("_ms", "_ratio", "_percent", "_age_seconds"))
        assert metric.help.endswith(".")


def test_memory_and_processor_are_there() -> None:
    """The page shows the process's own memory and time."""
    found = page(board())
    assert found["process_resident_memory_bytes"][()] > 1e6
    assert found["process_cpu_seconds_total"][()] > 0


def test_every_reason_is_there_from_the_start() -> None:
    """A reason that never occurred is 0, not missing, so that its rate can be asked for."""
    rejected = page(board())[f"{PREFIX}samples_rejected_total"]
    assert rejected == {(("reason", reason),): 0.0 for reason in REASONS}


def test_counts_and_values_are_shown() -> None:
    """What is added, set or supplied stands on the page and in `flat`, under the same names."""
    shown = board()
    shown.add("samples_rejected_total", 2, "dtype")
    shown.add("samples_rejected_total", 1, "dtype")
    shown.set("stage_rows_behind", 7, "layer/layer1")
    shown.supply("samples_received_total", lambda: 12)
    shown.supply("labels_late_total", lambda: {"learned": 3})
    shown.supply("published_total", lambda: {("event",): 2})
    shown.show_gauges("layer", "layer1", {"dead_share": 0.5})
    flat = shown.flat()
    assert flat['samples_rejected_total{reason="dtype"}'] == 3
    assert flat['stage_rows_behind{stage="layer/layer1"}'] == 7
    assert flat["samples_received_total"] == 12
    assert flat['labels_late_total{outcome="learned"}'] == 3
    assert flat['labels_late_total{outcome="dropped"}'] == 0
    assert flat['published_total{topic="event"}'] == 2
    assert flat['layer_dead_share{layer="layer1"}'] == 0.5


def test_flat_has_the_names_and_values_of_the_page() -> None:
    """Each figure has the same name and value in the `metrics` topic as on the page."""
    shown = board()
    shown.show_figures({"softmax": report(), "least_squares": report(error=1.0)})
    shown.observe_block(np.array([0.002, 20.0]))
    expected = {
        series(name, dict(labels)): value
        for name, all_series in page(shown).items()
        for labels, value in all_series.items()
        if name.startswith(PREFIX) and not isnan(value)
    }
    assert shown.flat(PREFIX) == expected
    assert shown.flat() == {k.removeprefix(PREFIX): v for k, v in expected.items()}


def test_figures_are_shown() -> None:
    """Errors by head and window, the trivial rules, kappa and figures by class."""
    shown = board()
    shown.show_figures({"softmax": report(), "least_squares": report(error=1.0)})
    flat = shown.flat()
    assert flat['prequential_error{window="all"}'] == 0.25
    assert flat['prequential_error{window="recent"}'] == 0.5
    assert flat['head_error{head="least_squares",window="all"}'] == 1.0
    assert flat['head_log_loss{head="softmax",window="all"}'] == 0.75
    assert flat['trivial_error{rule="majority",window="recent"}'] == 0.5
    assert flat["kappa"] == 0.6
    assert flat["labelled_total"] == 4
    assert flat['class_recall{class="1"}'] == 0.5


def test_when_a_row_was_last_learned() -> None:
    """0 before the first row, then the time of the newest block."""
    shown = board()
    assert shown.flat()["last_learned_timestamp_seconds"] == 0
    begin = time.time()
    shown.observe_block(np.array([0.001]))
    assert begin <= shown.flat()["last_learned_timestamp_seconds"] <= time.time()


def test_what_nobody_can_know_is_nan_on_the_page_and_left_out_elsewhere() -> None:
    """Before the first label there is no error; it is never shown as 0."""
    shown = board()
    before = page(shown)
    assert isnan(before[f"{PREFIX}prequential_error"][("window", "all"),])
    assert isnan(before[f"{PREFIX}class_recall"][("class", "0"),])
    assert 'prequential_error{window="all"}' not in shown.flat()
    shown.show_figures({"softmax": report(error=None), "least_squares": report()})
    assert isnan(page(shown)[f"{PREFIX}prequential_error"][("window", "all"),])


def test_no_series_can_be_added() -> None:
    """An unknown name or label is refused, so the page cannot grow while the daemon runs."""
    shown = board()
    for call in (
        lambda: shown.add("samples_rejected_total", 1, "unheard-of"),
        lambda: shown.add("samples_received_total", 1, "label"),
        lambda: shown.set("unheard_of", 1),
        lambda: shown.supply("unheard_of", lambda: 1),
        lambda: shown.show_gauges("layer", "layer2", {"dead_share": 1}),
    ):
        with pytest.raises(KeyError):
            call()
    shown.supply("published_total", lambda: {"prediction/cam0": 1})
    with pytest.raises(ValueError, match=r"published_total: no series for .*cam0"):
        shown.flat()


def test_a_gauge_cannot_take_a_name_of_the_table() -> None:
    """A part whose gauge would hide a metric, or is no name, is refused when the board is made."""
    for gauge in ("error", "log_loss", "of loss", "a-b"):
        with pytest.raises(ValueError, match="choose another"):
            Board(heads={"softmax": [gauge]})


@pytest.mark.parametrize("classes", [100, 101])
def test_many_classes_make_no_series(classes: int) -> None:
    """Beyond a hundred classes the figures by class are left out, and nothing breaks."""
    shown = board(classes)
    by_class = [0.5] * classes
    shown.show_figures({"softmax": report(recall=by_class, precision=by_class)})
    found = [name for name in shown.flat() if name.startswith("class_")]
    assert len(found) == (200 if classes == 100 else 0)


def test_names_with_quotes_cannot_break_the_page() -> None:
    """A label's value is escaped as Prometheus wants it, on the page and in `flat`."""
    odd = 'a"b\\c\nd'
    shown = Board(stages=[odd])
    assert (("stage", odd),) in page(shown)[f"{PREFIX}stage_rows_behind"]
    assert 'stage_rows_behind{stage="a\\"b\\\\c\\nd"}' in shown.flat()


BOUNDS = (0.001, 0.01, 1.0)


@given(st.lists(st.lists(st.floats(0, 10), max_size=20), max_size=8))
def test_a_histogram_counts_blocks_like_values(blocks: list[list[float]]) -> None:
    """However values are cut into blocks, each counts once, in the bucket that it belongs to."""
    histogram = Histogram(BOUNDS)
    for block in blocks:
        histogram.observe(np.array(block, np.float64))
    values = [value for block in blocks for value in block]
    expected = [sum(value <= bound for value in values) for bound in (*BOUNDS, inf)]
    assert histogram.cumulative() == expected
    assert histogram.total == pytest.approx(sum(values))


@given(st.lists(st.floats(0, 0.99), min_size=1), st.floats(0.01, 1))
def test_a_quantile_lies_in_its_bucket(values: list[float], q: float) -> None:
    """The estimate is between the bounds of the bucket that holds the true quantile."""
    histogram = Histogram(BOUNDS)
    histogram.observe(np.array(values))
    true = sorted(values)[max(0, int(np.ceil(q * len(values))) - 1)]
    low = max((bound for bound in BOUNDS if bound < true), default=0.0)
    high = min(bound for bound in BOUNDS if bound >= true)
    assert low <= histogram.quantile(q) <= high * (1 + 1e-9)


def test_quantiles_at_the_ends() -> None:
    """Before any value there is none; beyond the last bound it is the last bound."""
    histogram = Histogram(BOUNDS)
    assert isnan(histogram.quantile(0.5))
    histogram.observe(np.array([5.0]))
    assert histogram.quantile(0.99) == BOUNDS[-1]


@given(st.integers(0, 5000))
def test_a_curve_stays_short_and_keeps_its_ends(n: int) -> None:
    """However long the life, a few hundred points, evenly spread, with the first and the newest."""
    curve = Curve()
    for i in range(n):
        curve.add(i, 0.5)
        curve.add(i, 0.5)
    x = [int(point[0]) for point in curve.points]
    assert len(x) <= POINTS + 1
    if n:
        assert (x[0], x[-1]) == (0, n - 1)
        steps = np.diff(x)
        assert len(set(steps[:-1])) <= 1
        assert all(steps > 0)
