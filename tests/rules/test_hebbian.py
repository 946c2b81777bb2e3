"""Competing hidden units: as written, alive, finite, awake, and no slower for where blocks end."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.hebbian import Hebbian as Naive
from rules.hebbian_layers import layer, learn, optdigits, rows

from streamlearn.part import F32
from streamlearn.rules.hebbian import Hebbian
from streamlearn.rules.hebbian.ranks import unit_of_rank


def infer(part: Any, x: F32) -> F32:
    """Activities [B, H] of rows [B, D]."""
    out = np.zeros((len(x), part.options.units), np.float32)
    part.infer(x, out)
    return out


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("start", ["data", "random"])
@pytest.mark.parametrize("p", [2.0, 3.0, 4.5])
def test_every_step_is_that_of_the_slow_twin(p: float, start: str, kind: str) -> None:
    """After each row, activities and all state are those of the equations, worked out slowly."""
    options = {"units": 9, "p": p, "k": 3, "start": start, "patience": 3.0, "rate_floor": 0.02}
    fast, slow = layer(24, **options), layer(24, Naive, **options)
    for t, row in enumerate(rows(120, 24, kind)):
        x = row[None]
        np.testing.assert_allclose(learn(fast, x), learn(slow, x), rtol=2e-3, atol=2e-4)
        for name, array in slow.arrays().items():
            ours = fast.arrays()[name]
            np.testing.assert_allclose(ours, array, 1e-3, 1e-5, err_msg=f"{name}, row {t}")


@pytest.mark.parametrize(
    "changed",
    [{"threshold": "zero", "power": 4.5}, {"rate": 0.0}, {"k": 50}, {"delta": 0.0}, {"units": 1}],
)
def test_every_option_means_what_the_slow_twin_does(changed: dict[str, Any]) -> None:
    """Thresholds, powers, units that never move, no rank to punish: all as the equations say."""
    options = {"units": 6, "k": 2, **changed}
    fast, slow = layer(8, **options), layer(8, Naive, **options)
    x = rows(60, 8, "sparse")
    np.testing.assert_allclose(learn(fast, x), learn(slow, x), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(fast.arrays()["weights"], slow.arrays()["weights"], 1e-3, 1e-5)


def test_layers_on_layers_follow_their_slow_twins() -> None:
    """Three layers, each reading the sparse activities below it, stay with three slow ones."""
    shapes = [(10, {"units": 8}), (8, {"units": 7, "p": 3.0}), (7, {"units": 5, "k": 2})]
    fast = [layer(width, **options) for width, options in shapes]
    slow = [layer(width, Naive, **options) for width, options in shapes]
    for row in rows(80, 10, "sparse"):
        ours = theirs = row[None]
        for one, other in zip(fast, slow, strict=True):
            ours, theirs = learn(one, ours), learn(other, theirs)
            np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 90), max_size=6), p=st.sampled_from([2.0, 2.5, 4.0]))
def test_where_blocks_end_changes_nothing(cuts: list[int], p: float) -> None:
    """Any cut of a stream into blocks gives the same activities and state to the bit."""
    x = rows(90, 12, "sparse")
    whole, cut = layer(12, units=10, p=p), layer(12, units=10, p=p)
    together = learn(whole, x)
    edges = [0, *sorted(cuts), 90]
    pieces = [learn(cut, x[a:b], a) for a, b in pairwise(edges)]
    assert np.concatenate(pieces).tobytes() == together.tobytes()
    for name, array in whole.arrays().items():
        assert cut.arrays()[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("p", [2.0, 3.5])
def test_arrays_restore_the_layer(p: float) -> None:
    """A layer whose arrays are overwritten in mid-stream goes on as the one they came from."""
    x = rows(200, 12, "dense")
    first, second = layer(12, units=10, p=p), layer(12, units=10, p=p)
    learn(first, x[:100])
    learn(second, rows(37, 12, "sparse", seed=1))
    for name, array in first.arrays().items():
        second.arrays()[name][...] = array
    second.restored()
    assert learn(second, x[100:]).tobytes() == learn(first, x[100:]).tobytes()


def test_infer_answers_from_the_weights_as_they_are_and_changes_nothing() -> None:
    """The activity written before learning a row is the one that `infer` gives for it."""
    x, part = rows(150, 12, "dense"), layer(12, units=10)
    learn(part, x[:100])
    for row in x[100:]:
        before = {name: array.tobytes() for name, array in part.arrays().items()}
        answer = infer(part, row[None])
        assert {name: array.tobytes() for name, array in part.arrays().items()} == before
        assert learn(part, row[None]).tobytes() == answer.tobytes()


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 4.0, 5.0])
def test_nothing_diverges_from_gaussian_weights(p: float) -> None:
    """From weights N(0, 1), at the highest rates, weights stay finite and on the p-sphere."""
    part = layer(300, units=40, p=p, start="random", rate=0.9, rate_floor=0.5, delta=1.0, k=2)
    out = learn(part, rows(3000, 300, "sparse"))
    gauges = part.gauges()
    assert np.isfinite(out).all()
    assert np.isfinite(part.arrays()["weights"]).all()
    assert gauges["norm_min"] == pytest.approx(1, abs=1e-5)
    assert gauges["norm_max"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("p", [2.0, 5.0])
def test_extreme_rows_do_no_harm(p: float) -> None:
    """Rows of zeros, of one number, of the largest and smallest numbers leave no NaN behind."""
    x, part = rows(200, 12, "dense"), layer(12, units=10, p=p)
    largest = np.float32(np.finfo(np.float32).max)
    extreme = np.stack(
        [0 * x[0], 0 * x[0] + 7, 1e6 * x[1], x[2] * 0 + largest, -1e-44 + 0 * x[3], x[4] / largest]
    ).astype(np.float32)
    for row in x:
        assert np.isfinite(learn(part, np.concatenate([extreme, row[None]]))).all()
    for name, array in part.arrays().items():
        assert np.isfinite(array).all(), name
    assert (infer(part, extreme)[0] == 0).all()


@pytest.mark.parametrize("changed", [{}, {"power": 10.0}, {"p": 3.0}, {"threshold": "zero"}])
@pytest.mark.parametrize("units", [2, 7, 300])
def test_units_that_are_all_alike_answer_alike(units: int, changed: dict[str, Any]) -> None:
    """Currents that differ by rounding alone are no activity: no unit is above the mean."""
    x = np.linspace(1, 2, 12, dtype=np.float32) * np.ones((units, 1), np.float32)
    expected = 1 if changed.get("threshold") == "zero" else 0
    for cls in (Hebbian, Naive)[: 2 if units < 10 else 1]:
        part = layer(12, cls, units=units, **changed)
        learn(part, x)
        np.testing.assert_allclose(infer(part, x[:1]), expected, rtol=1e-5)


def test_the_highest_power_of_the_widest_layer_stays_finite() -> None:
    """One unit above the mean or all but one: what is raised stays within float32."""
    part = layer(4, units=20_000, power=10.0, threshold="zero", start="random", rate=0.0)
    for row in (rows(1, 4, "dense"), np.eye(4, dtype=np.float32)[:1]):
        out = infer(part, row)
        assert np.isfinite(out).all()
        assert np.sqrt((out.astype(np.float64) ** 2).mean()) == pytest.approx(1, rel=1e-3)


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(st.integers(-(1 << 31) + 1, (1 << 31) - 1) | st.integers(-3, 3), min_size=1),
    k=st.integers(1, 40),
)
def test_the_unit_of_rank_k_is_found_without_sorting(keys: list[int], k: int) -> None:
    """It is the one that sorting would give, the earlier of two alike; none where too few live."""
    ranked = sorted(range(len(keys)), key=lambda h: -keys[h])
    found = unit_of_rank(np.array(keys, np.int32), k, np.int32(max(keys)))
    assert found == (ranked[k - 1] if k <= len(keys) else -1)


def test_a_row_counts_by_its_direction() -> None:
    """Rows a million times larger give the same activities: only their direction is learned."""
    x = rows(100, 12, "sparse")
    one, other = layer(12, units=10), layer(12, units=10)
    np.testing.assert_allclose(learn(one, x), learn(other, x * np.float32(2**20)), rtol=1e-5)


@pytest.mark.parametrize("start", ["data", "random"])
def test_no_unit_stays_dead_on_digits(start: str) -> None:
    """After a pass over real digits every unit wins now and then, wherever it began."""
    part = layer(64, units=100, start=start, patience=10.0)
    learn(part, optdigits())
    gauges = part.gauges()
    assert gauges["dead_share"] <= 0.02
    assert gauges["winner_entropy"] > 0.85


def test_it_never_freezes() -> None:
    """After 20,000 rows of one world the units still move to the next: currents come back."""
    old, new = rows(20_000, 30, "dense"), rows(3000, 30, "dense", seed=5)
    part = layer(30, units=20, start="data")
    learn(part, old)
    settled = part.gauges()["rate_mean"]
    fit_before = _fit(part, new[-200:])
    learn(part, new)
    assert settled >= part.options.rate_floor
    assert _fit(part, new[-200:]) > fit_before + 0.3


def _fit(part: Hebbian, x: F32) -> float:
    """Mean cosine between rows and the unit nearest to them."""
    fields = part.receptive_fields()
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ fields.T
    return float(cosines.max(axis=1).mean())


def test_learning_finds_the_centres() -> None:
    """Units that learn lie nearer to fresh rows than units that are plain training rows."""
    x, fresh = rows(5000, 30, "dense"), rows(5300, 30, "dense")[5000:]
    still, moving = layer(30, units=20, rate=0.0), layer(30, units=20)
    learn(still, x)
    learn(moving, x)
    assert _fit(moving, fresh) > _fit(still, fresh) + 0.02


def test_activities_are_scaled_and_sparse() -> None:
    """Whatever the rows, an activity has root mean square 1, none negative, about half zero."""
    x, part = 1e-3 * rows(300, 12, "sparse"), layer(12, units=50)
    learn(part, x)
    out = infer(part, x[100:])
    np.testing.assert_allclose(np.sqrt((out**2).mean(axis=1)), 1, rtol=1e-4)
    assert (out >= 0).all()
    assert 0.3 < (out == 0).mean() < 0.8


def test_gauges_have_their_names_from_the_start() -> None:
    """A fresh layer shows the same gauges as one that has learned, all finite."""
    part = layer(12, units=10)
    fresh = part.gauges()
    assert fresh["dead_share"] == 1
    learn(part, rows(50, 12, "dense"))
    later = part.gauges()
    assert fresh.keys() == later.keys()
    assert later["dead_share"] == 0
    assert all(np.isfinite(list(fresh.values()) + list(later.values())))


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_a_row_that_is_the_opposite_of_a_unit_does_no_harm(p: float) -> None:
    """A step that would leave nothing of a unit gives it the row's direction instead."""
    rng = np.random.default_rng(1)
    same = np.repeat(rng.standard_normal((1, 6)).astype(np.float32), 5, axis=0)
    part = layer(6, units=3, p=p, rate=0.5, rate_floor=0.5, conscience=0.0)
    for x in (same, -same, same, -same):
        assert np.isfinite(learn(part, np.ascontiguousarray(x))).all()
    assert np.isfinite(part.receptive_fields()).all()
    assert part.gauges()["norm_min"] == pytest.approx(1, abs=1e-4)
    kept = part.receptive_fields()
    kept[...] = 7
    assert part.receptive_fields().max() < 7
