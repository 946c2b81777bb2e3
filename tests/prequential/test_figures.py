"""Running figures: what a slow count over all rows says, at any cut, after any restart."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.part import F32, I32
from streamlearn.prequential import Figures

CLASSES = 4
RECENT_ROWS = 20


def stream(count: int, seed: int) -> tuple[I32, F32]:
    """Labels [B], a fifth of them missing, and scores [B, K], some outside 0…1, mostly right."""
    rng = np.random.default_rng(seed)
    y = rng.choice(CLASSES, count, p=[0.5, 0.3, 0.15, 0.05])
    scores = rng.normal(0.2, 0.4, (count, CLASSES)) + 0.5 * np.eye(CLASSES)[y]
    y[rng.random(count) < 0.2] = -1
    return np.ascontiguousarray(y, np.int32), np.ascontiguousarray(scores, np.float32)


def slow_kappa(true: list[int], said: list[int], weights: list[float]) -> float | None:
    """Cohen's kappa of weighted rows, from its definition."""
    total = sum(weights)
    agreed = sum(w for t, s, w in zip(true, said, weights, strict=True) if t == s) / total
    chance = 0.0
    for k in range(CLASSES):
        by_truth = sum(w for t, w in zip(true, weights, strict=True) if t == k)
        by_head = sum(w for s, w in zip(said, weights, strict=True) if s == k)
        chance += by_truth * by_head / total**2
    return (agreed - chance) / (1 - chance) if chance < 1 - 1e-12 else None


def slow_trivial(true: list[int]) -> tuple[list[bool], list[bool]]:
    """Whether majority and repeat are wrong on each row, each told only the rows before."""
    majority, repeat, counts, leader = [], [], dict.fromkeys(range(CLASSES), 0), None
    for t, y in enumerate(true):
        majority.append(leader != y)
        repeat.append(t == 0 or true[t - 1] != y)
        counts[y] += 1
        if leader is None or counts[y] > counts[leader]:
            leader = y
    return majority, repeat


def slow_report(y: I32, scores: F32) -> dict[str, Any]:
    """Every figure, worked out from the whole stream at once."""
    known = [b for b in range(len(y)) if y[b] >= 0]
    true = [int(y[b]) for b in known]
    said = [int(np.argmax(scores[b])) for b in known]
    p = np.clip(scores[known].astype(float), 1e-6, 1)
    loss = [-math.log(row[t] / row.sum()) for row, t in zip(p, true, strict=True)]
    majority, repeat = slow_trivial(true)
    wrong = [s != t for s, t in zip(said, true, strict=True)]
    report: dict[str, Any] = {"rows": len(y), "labelled": len(known)}
    fading = [(1 - 1 / RECENT_ROWS) ** age for age in range(len(known))][::-1]
    for suffix, weights in (("", [1.0] * len(known)), ("_recent", fading)):
        columns = {
            "error": wrong,
            "log_loss": loss,
            "majority_error": majority,
            "repeat_error": repeat,
        }
        for name, column in columns.items():
            report[name + suffix] = np.average(column, weights=weights) if known else None
        report["kappa" + suffix] = slow_kappa(true, said, weights) if known else None
    return report | slow_confusion(true, said)


def slow_confusion(true: list[int], said: list[int]) -> dict[str, Any]:
    """The matrix and its shares."""
    pairs = list(zip(true, said, strict=True))
    matrix = [[pairs.count((t, s)) for s in range(CLASSES)] for t in range(CLASSES)]
    right = [matrix[k][k] for k in range(CLASSES)]
    rows, columns = [sum(row) for row in matrix], [sum(c) for c in zip(*matrix, strict=True)]
    return {
        "confusion": matrix,
        "recall": [r / n if n else None for r, n in zip(right, rows, strict=True)],
        "precision": [r / n if n else None for r, n in zip(right, columns, strict=True)],
    }


def figures_of(y: I32, scores: F32) -> Figures:
    """Figures that have seen these rows in one block."""
    figures = Figures(CLASSES, RECENT_ROWS)
    figures.update(y, scores)
    return figures


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 150), seed=st.integers(0, 1000))
def test_figures_are_those_of_a_slow_count(count: int, seed: int) -> None:
    """Every figure of a stream, however short, is what its definition gives over all rows."""
    y, scores = stream(count, seed)
    report, expected = figures_of(y, scores).report(), slow_report(y, scores)
    assert report.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, list) or value is None:
            assert report[name] == value, name
        else:
            assert report[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=6), seed=st.integers(0, 1000))
def test_where_blocks_end_changes_nothing(cuts: list[int], seed: int) -> None:
    """Any cut of a stream into blocks gives the same bits."""
    y, scores = stream(120, seed)
    cut = Figures(CLASSES, RECENT_ROWS)
    for a, b in pairwise([0, *sorted(cuts), 120]):
        cut.update(y[a:b], scores[a:b])
    for name, array in figures_of(y, scores).arrays().items():
        assert cut.arrays()[name].tobytes() == array.tobytes(), name


def test_arrays_restore_the_figures() -> None:
    """Figures into which the arrays are copied go on like those they came from."""
    y, scores = stream(200, 3)
    first, second = figures_of(y[:90], scores[:90]), figures_of(*stream(50, 4))
    for name, array in second.arrays().items():
        array[...] = first.arrays()[name]
    for figures in (first, second):
        figures.update(y[90:], scores[90:])
    assert second.report() == first.report()


def test_nothing_is_said_before_the_first_label() -> None:
    """Without labels every share is None, not 0 and not NaN, and rows are counted."""
    y, scores = stream(10, 1)
    report = figures_of(np.full_like(y, -1), scores).report()
    assert (report["rows"], report["labelled"]) == (10, 0)
    shares = [name for name in report if "error" in name or "loss" in name or "kappa" in name]
    assert len(shares) == 10
    assert {report[name] for name in shares} == {None}
    assert report["recall"] == report["precision"] == [None] * CLASSES


def test_broken_scores_are_counted_as_the_least() -> None:
    """NaN, infinite and negative scores neither win nor spoil the log-loss."""
    scores = np.array([[np.nan, 0.5, -1, 0], [np.inf, 0, 0, np.nan]], np.float32)
    report = figures_of(np.array([1, 0], np.int32), scores).report()
    assert report["log_loss"] == pytest.approx(0, abs=1e-4)
    assert report["confusion"][1][1] == report["confusion"][0][0] == 1


def test_labels_outside_the_classes_touch_nothing() -> None:
    """A label that is no class counts as none, rather than writing where it should not."""
    y, scores = np.array([4, 1000, -7], np.int32), np.ones((3, CLASSES), np.float32)
    assert figures_of(y, scores).report()["labelled"] == 0


def test_trivial_rules_show_what_order_gives_away() -> None:
    """On a stream sorted by class, repeating the last label looks clever and kappa does not."""
    y = np.repeat(np.arange(CLASSES, dtype=np.int32), 50)
    scores = np.tile(np.array([[1, 0, 0, 0]], np.float32), (200, 1))
    report = figures_of(y, scores).report()
    assert report["repeat_error"] == CLASSES / 200
    assert report["majority_error"] == pytest.approx(0.755)
    assert report["kappa"] == pytest.approx(0)


def test_recent_figures_follow_a_change() -> None:
    """A head that turns bad shows within the window, while the error over all still looks fine."""
    y = np.zeros(2000, np.int32)
    scores = np.zeros((2000, CLASSES), np.float32)
    scores[:1900, 0], scores[1900:, 1] = 1, 1
    report = figures_of(y, scores).report()
    assert report["error"] == 0.05
    assert report["error_recent"] > 0.99


def test_the_report_is_plain() -> None:
    """A report can be sent as JSON as it is."""
    report = figures_of(*stream(60, 2)).report()
    assert json.loads(json.dumps(report)) == report
