"""Neighbours: who votes and how much, whose place is taken, rows that share a sweep, wild rows."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from heads.learners import build, clouds, error, infer, learn

from streamlearn.errors import ConfigError
from streamlearn.part import F32, Rows


def rows(*values: Any) -> F32:
    """Rows [B, D] of plain numbers."""
    return np.array(values, np.float32)


def labels(*values: int) -> Any:
    """Labels [B] of plain numbers."""
    return np.array(values, np.int32)


def remembered(head: Any) -> list[float]:
    """The first number of every row in memory, as the rows came."""
    arrays = head.arrays()
    held = min(int(arrays["labelled"][0]), len(arrays["labels"]))
    return [float(arrays["memory"][m, 0]) for m in np.argsort(arrays["born"][:held])]


@pytest.mark.parametrize("keep", ["recency", "reservoir", "classes"])
@pytest.mark.parametrize("width", [1, 16, 100, 333])
def test_rows_that_share_a_sweep_see_each_other(keep: str, width: int) -> None:
    """Rows of one block, some in the place of others of it, score as one by one, to the bit."""
    x, y = clouds(90, width, 3, spread=2.0)
    x[40:60] = x[20:40]
    for memory_rows, index in ((4, "exact"), (9, "exact"), (50, "exact"), (30, "approximate")):
        options = {"keep": keep, "memory_rows": memory_rows, "k": 4, "metric": "euclidean"}
        options |= {"index": index, "look_share": 0.4}
        whole, single, cut = (build("neighbours", width, 3, **options) for _ in range(3))
        together = learn(whole, x, y)
        alone = [learn(single, x[b : b + 1], y[b : b + 1]) for b in range(90)]
        pieces = [learn(cut, x[a:b], y[a:b]) for a, b in pairwise([0, 3, 16, 27, 40, 90])]
        assert together.tobytes() == np.concatenate(alone).tobytes()
        assert together.tobytes() == np.concatenate(pieces).tobytes()
        for name, array in whole.arrays().items():
            assert array.tobytes() == single.arrays()[name].tobytes(), name


def many_clouds(count: int, seed: int = 0) -> tuple[F32, Any]:
    """Forty tight clouds of ten classes: rows [B, 24] and labels [B]."""
    x, cloud = clouds(count, 24, 40, seed, spread=0.4)
    return x, (cloud % 10).astype(np.int32)


def test_an_approximate_search_finds_nearly_all() -> None:
    """Looking at a fifth of memory answers 95 rows of 100 as an exact search does."""
    x, y = many_clouds(3000)
    fresh, truth = many_clouds(1000, seed=1)
    exact, near, whole = (
        build("neighbours", 24, 10, memory_rows=2000, metric="euclidean", **options)
        for options in (
            {},
            {"index": "approximate", "look_share": 0.2},
            {"index": "approximate", "look_share": 1.0},
        )
    )
    written = [learn(head, x, y) for head in (exact, near, whole)]
    scores = [infer(head, fresh) for head in (exact, near, whole)]
    assert 0.95 < (scores[0] == scores[1]).all(axis=1).mean() < 1
    assert error(scores[1], truth) < error(scores[0], truth) + 0.01
    assert written[0].tobytes() == written[2].tobytes()
    assert scores[0].tobytes() == scores[2].tobytes()


def test_a_restored_index_gives_the_same_answers() -> None:
    """Saved between two sortings and taken up by another head, it goes on to the bit."""
    x, y = many_clouds(1700)
    options = {"memory_rows": 500, "index": "approximate", "look_share": 0.1, "keep": "reservoir"}
    first, second = (build("neighbours", 24, 10, **options) for _ in range(2))
    learn(first, x[:1130], y[:1130])
    for name, array in second.arrays().items():
        array[...] = first.arrays()[name]
    second.restored()
    one, other = (learn(head, x[1130:], y[1130:]) for head in (first, second))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({"metric": "euclidean"}, [1 / 2 + 1 / 4, 1 / 1, 0]),
        ({"metric": "euclidean", "weights": "uniform"}, [2, 1, 0]),
        ({"metric": "euclidean", "k": 2}, [1 / 2, 1 / 1, 0]),
    ],
)
def test_a_vote_is_one_over_the_distance(options: dict[str, Any], shares: list[float]) -> None:
    """Scores are the classes' shares of the votes of the k nearest; others have no say."""
    head = build("neighbours", 1, 3, **({"k": 3} | options))
    learn(head, rows([2], [-4], [-1], [100]), labels(0, 0, 1, 2))
    np.testing.assert_allclose(infer(head, rows([0]))[0], np.divide(shares, sum(shares)), 1e-5)


def test_cosine_looks_at_directions_alone() -> None:
    """Rows of any length vote by 1 / (1 - cos), as in scikit-learn."""
    head = build("neighbours", 2, 3, k=2)
    angles = np.array([0.3, -0.7, 2.0])
    lengths = np.array([[5.0], [0.01], [1.0]])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths
    learn(head, x.astype(np.float32), labels(0, 1, 2))
    votes = 1 / (1 - np.cos([0.3, 0.7]))
    np.testing.assert_allclose(
        infer(head, rows([3, 0]))[0], [*votes / votes.sum(), 0], rtol=1e-4, atol=1e-7
    )


def test_an_exact_match_decides_without_an_infinity() -> None:
    """A row that comes again is its own class's; where its classes differ, they share."""
    x, y = clouds(200, 784, 4)
    for metric in ("euclidean", "cosine"):
        head = build("neighbours", 784, 4, metric=metric)
        learn(head, x, y)
        np.testing.assert_array_equal(infer(head, x), np.eye(4, dtype=np.float32)[y])
        learn(head, x[:1], (y[:1] + 1) % 4)
        again = infer(head, x[:1])[0]
        assert again[y[0]] == again[(y[0] + 1) % 4] == 0.5


def test_before_and_beyond_what_is_known() -> None:
    """At first all classes score alike; a class that never came scores 0."""
    x, y = clouds(100, 6, 3)
    head = build("neighbours", 6, 5)
    np.testing.assert_allclose(learn(head, x, y)[0], 0.2)
    scores = infer(head, x)
    assert not scores[:, 3:].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("age_rows", [0.0, 5.0])
def test_age_decides_between_the_near_and_the_young(age_rows: float) -> None:
    """A neighbour 25 rows older counts e^-5 as much with `age_rows = 5`, the same with 0."""
    head = build("neighbours", 1, 3, k=2, metric="euclidean", age_rows=age_rows)
    learn(head, rows([1.0]), labels(0))
    learn(head, np.full((24, 1), -50, np.float32), np.full(24, 2, np.int32))
    learn(head, rows([3.0]), labels(1))
    votes = np.array([np.exp(-25 / age_rows if age_rows else 0.0), 1 / 3, 0])
    np.testing.assert_allclose(infer(head, rows([0.0]))[0], votes / votes.sum(), 1e-5)
    learn(head, np.full((3000, 1), 1e9, np.float32), np.full(3000, 2, np.int32))
    np.testing.assert_allclose(infer(head, rows([0.0]))[0], votes / votes.sum(), 1e-5)


def test_recency_keeps_the_last() -> None:
    """A ring of the last M labelled rows; rows without a label take no place."""
    head = build("neighbours", 1, 2, keep="recency", memory_rows=7, metric="euclidean")
    x = np.arange(50, dtype=np.float32)[:, None]
    y = np.where(np.arange(50) % 5 == 0, -1, 1).astype(np.int32)
    learn(head, x, y)
    assert remembered(head) == x[y >= 0, 0][-7:].tolist()


def test_a_reservoir_keeps_all_the_past_alike() -> None:
    """Rows of the first, second, … tenth of a stream are kept as often; seeds keep others."""
    counts = np.zeros(10)
    for seed in range(20):
        head = build("neighbours", 1, 2, keep="reservoir", memory_rows=50, metric="euclidean")
        other = type(head)(head.options, head.place._replace(seed=seed))
        learn(other, np.arange(1000, dtype=np.float32)[:, None], np.zeros(1000, np.int32))
        counts += np.histogram(remembered(other), 10, (0, 1000))[0]
    # 1,000 rows kept: a tenth is 100 of them give or take 9.5, ten tenths stay within 4 times that.
    assert abs(counts - 100).max() < 38


def test_every_class_gets_its_share() -> None:
    """On a stream sorted by class each class ends with M / K rows, the newest of its own."""
    head = build("neighbours", 1, 4, keep="classes", memory_rows=40, metric="euclidean")
    x = np.arange(400, dtype=np.float32)[:, None]
    learn(head, x, np.repeat(np.arange(4, dtype=np.int32), 100))
    kept = np.array(remembered(head))
    assert np.histogram(kept, 4, (0, 400))[0].tolist() == [10, 10, 10, 10]
    assert kept[-10:].tolist() == [*range(390, 400)]
    np.testing.assert_array_equal(head.arrays()["counts"], np.bincount(head.arrays()["labels"]))


def test_a_rare_class_is_not_washed_away() -> None:
    """Ten rows of one class outlast thousands of the other under `classes`, not under `recency`."""
    kept = {}
    for keep in ("classes", "recency"):
        head = build("neighbours", 1, 2, keep=keep, memory_rows=40)
        learn(head, np.ones((10, 1), np.float32), np.zeros(10, np.int32))
        learn(head, np.ones((5000, 1), np.float32), np.ones(5000, np.int32))
        kept[keep] = head.arrays()["counts"].tolist()
    assert kept == {"classes": [10, 30], "recency": [0, 40]}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_extremes_stay_finite(metric: str) -> None:
    """Rows of zeros, near the largest and the smallest numbers there are: finite shares of 1."""
    x, y = clouds(60, 300, 3)
    wild = [x, 0 * x, 1e12 * x, np.sign(x) * np.float32(3e38), 1e-41 * x, 1e-30 * x]
    head = build("neighbours", 300, 3, metric=metric, memory_rows=400)
    for block in wild * 2:
        scores = learn(head, np.ascontiguousarray(block, np.float32), y)
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(infer(head, x).sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(head.arrays()["memory"]).all()
    assert np.isfinite([*head.gauges().values()]).all()
    assert error(infer(head, np.ascontiguousarray(1e12 * x, np.float32)), y) == 0


def test_a_late_label_is_kept_with_the_code_of_now() -> None:
    """A row that comes again with its label is remembered as the layers see it now."""
    head = build("neighbours", 1, 2, metric="euclidean", memory_rows=5)
    learn(head, rows([1.0]), labels(-1))
    assert remembered(head) == []
    head.learn_late(Rows(rows([2.0]), np.zeros((1, 2), np.float32), labels(1), 1))
    assert remembered(head) == [2.0]


def test_gauges_tell_what_is_kept() -> None:
    """Rows, shares, the nearest's distance and class, ages: worked out by hand."""
    head = build("neighbours", 1, 3, metric="euclidean", memory_rows=4, k=1)
    learn(head, rows([0.0], [1.0], [3.0], [4.0], [4.5]), labels(0, 1, 1, 1, 0))
    gauges = head.gauges()
    assert gauges["rows"] == 4
    assert (gauges["class_share_smallest"], gauges["class_share_largest"]) == (0, 0.75)
    assert gauges["nearest_distance"] == pytest.approx(np.mean([1, 2, 1, 0.5]))
    assert gauges["nearest_same_share"] == pytest.approx(2 / 4)
    assert gauges["mean_age_rows"] == 2.5


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"memory_rows": 1 << 20}, "memory_rows: expected at most 85271 with 3136 inputs"),
        ({"memory_rows": 4}, "k: expected at most memory_rows = 4, got 5"),
        (
            {"memory_rows": 8, "keep": "classes"},
            "memory_rows: expected at least one a class (10) with",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], line: str) -> None:
    """Too large a memory, or too small a one: an error that names the key and the way out."""
    with pytest.raises(ConfigError, match=r"^(memory_rows|k): ") as raised:
        build("neighbours", 3136, 10, **options)
    assert line in str(raised.value)
