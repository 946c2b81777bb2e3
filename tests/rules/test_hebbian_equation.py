"""Eq. 2 as it is printed: Oja's rule, the p-sphere, the Lyapunov function, the paper's schedule."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules.hebbian_layers import follow, layer, learn, optdigits, pair, rows

from streamlearn.part import F32

EQUATION: dict[str, Any] = {"plasticity": "equation", "units": 6, "k": 3}
ALONE: dict[str, Any] = {"plasticity": "equation", "competition": "none"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"p": 2.7, "radius": 0.8},
        {"p": 4.0, "start": "random", "minibatch": 10, "largest": True, "anneal_rows": 200},
        {"start": "random", "minibatch": 8, "rate": 0.9, "radius": 2.0, "p": 3.0},
        {"p": 10.0, "threshold": "zero", "power": 4.5, "product": "dot"},
        {"patience": 2.0, "minibatch": 5, "delta": 1.0},
        {"rate": 0.0},
    ],
    ids=str,
)
def test_every_step_is_that_of_the_slow_twin(changed: dict[str, Any]) -> None:
    """Any p, any radius, minibatches, both measures of a step, units that come in late."""
    follow(*pair(8, **EQUATION | changed), rows(130, 8, "sparse"))


def field(part: Any, h: int = 0) -> F32:
    """Weights of a unit, in float64."""
    weights: F32 = part.receptive_fields()[h].astype(np.float64)
    return weights


def test_ojas_rule_is_the_case_of_p_2_and_g_linear() -> None:
    """One step from length 1 is Oja's, y (x - y W); a stream leads to the principal component."""
    rng = np.random.default_rng(3)
    spread = rng.standard_normal((6, 6)) * np.array([2.0, 1, 1, 0.5, 0.5, 0.3])[:, None]
    x = np.ascontiguousarray(rng.standard_normal((4000, 6)) @ spread, np.float32)
    part = layer(6, **ALONE, units=1, rate=0.1, rate_floor=0.1)
    learn(part, x[:1])
    z = x[1].astype(np.float64) / np.linalg.norm(x[1].astype(np.float64))
    w = field(part)
    y = w @ z
    learn(part, x[1:2])
    np.testing.assert_allclose(field(part), w + 0.1 * y * (z - y * w), rtol=1e-5)

    part = layer(6, **ALONE, units=1, rate=0.5, rate_floor=0.005)
    learn(part, x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    principal = np.linalg.eigh(unit.T @ unit)[1][:, -1]
    assert abs(principal @ field(part)) > 0.99


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("p", [2.0, 2.7, 4.0])
def test_weights_converge_to_the_p_sphere(p: float, radius: float) -> None:
    """From far outside, every unit comes to p-norm R, and the gauges say so."""
    given = {"p": p, "radius": radius, "start": "random", "delta": 0.0, "conscience": 0.3}
    part = layer(12, **EQUATION | given, rate=0.9, anneal_rows=6000)
    part.arrays()["weights"][...] *= 5 * radius
    part.arrays()["size"][...] *= (5 * radius) ** p
    part.restored()
    assert part.gauges()["norm_min"] > 2 * radius
    learn(part, rows(6000, 12, "sparse"))
    norms = (np.abs(part.receptive_fields().astype(np.float64)) ** p).sum(axis=1) ** (1 / p)
    np.testing.assert_allclose(norms, radius, rtol=0.02)
    assert part.gauges()["norm_mean"] == pytest.approx(norms.mean(), rel=1e-5)
    assert part.gauges()["norm_max"] == pytest.approx(norms.max(), rel=1e-5)


def lyapunov(part: Any, x: F32, p: float, *, alone: bool) -> float:
    """Eq. 3 over a set: sum of G(Q), Q = <W, z> / <W, W>^((p-1)/p), z on the p-sphere."""
    w = part.receptive_fields().astype(np.float64)
    z = x / (np.abs(x, dtype=np.float64) ** p).sum(axis=1, keepdims=True) ** (1 / p)
    norm = (np.abs(w) ** p).sum(axis=1) ** (1 / p)
    overlap = (np.sign(w) * np.abs(w) ** (p - 1)) @ z.T / norm[:, None] ** (p - 1)
    return float((overlap**2).sum() / 2 if alone else overlap.max(axis=0).sum())


@given(
    seed=st.integers(0, 10_000),
    p=st.sampled_from([2.0, 2.5, 3.0, 4.0]),
    alone=st.booleans(),
    units=st.integers(1, 4),
)
@settings(max_examples=40)
def test_the_lyapunov_function_never_falls(*, seed: int, p: float, alone: bool, units: int) -> None:
    """On a fixed set, with small steps over all of it at once, eq. 3 only rises."""
    x = rows(20, 6, seed=seed)
    chosen = ALONE if alone else {"plasticity": "equation", "delta": 0.0, "conscience": 0.0}
    part = layer(6, **chosen, units=units, p=p, minibatch=20, rate=0.02, rate_floor=0.02)
    learn(part, x[:units])
    before = first = lyapunov(part, x, p, alone=alone)
    for _ in range(60):
        learn(part, x)
        after = lyapunov(part, x, p, alone=alone)
        assert after >= before - 1e-5 * abs(before)
        before = after
    assert before > first


def test_the_gauge_is_the_mean_of_eq_3_over_rows() -> None:
    """While nothing moves, the gauge is the set's own sum, divided by its rows."""
    x = rows(50, 6)
    part = layer(6, **ALONE, units=3, rate=0.0)
    learn(part, x[:3])
    for _ in range(200):
        learn(part, x)
    expected = lyapunov(part, x, 2.0, alone=True) / len(x)
    assert part.gauges()["lyapunov"] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("largest", [True, False])
def test_the_annealed_schedule_ends_where_it_says(*, largest: bool) -> None:
    """The rate falls on a line to zero; then nothing moves, however long the stream goes on."""
    given = {"minibatch": 10, "anneal_rows": 400, "largest": largest, "rate": 0.04}
    part = layer(8, **EQUATION | given, start="random")
    x = rows(400, 8, "sparse")
    learn(part, x[:200])
    assert part.gauges()["rate_mean"] == pytest.approx(0.02)
    middle = part.receptive_fields()
    learn(part, x[200:])
    assert part.gauges()["rate_mean"] == 0
    last = part.receptive_fields()
    assert not np.array_equal(middle, last)
    learn(part, x)
    np.testing.assert_array_equal(part.receptive_fields(), last)


def test_no_unit_is_replaced_once_the_schedule_is_over() -> None:
    """One row for ever: all units but one wait, and wait on when nothing can move any more."""
    options = {**EQUATION, "units": 4, "k": 2, "conscience": 0.0, "patience": 2.0}
    part = layer(8, **options, anneal_rows=40, rate=0.1)
    learn(part, rows(40, 8, "sparse"))
    before = part.receptive_fields()
    learn(part, np.repeat(rows(1, 8, "sparse"), 60, axis=0))
    np.testing.assert_array_equal(part.receptive_fields(), before)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(("p", "radius"), [(10.0, 1.9), (4.0, 5.0), (10.0, 0.6)])
def test_answers_stay_finite_at_the_ends_of_the_range(
    *, p: float, radius: float, scaled: bool
) -> None:
    """The largest norm and power, far outside the sphere, along the units themselves."""
    options = {**EQUATION, "p": p, "radius": radius, "scaled": scaled, "power": 10.0}
    part = layer(400, **options | {"units": 9}, threshold="zero", start="random")
    part.arrays()["weights"][...] *= 100
    part.arrays()["size"][...] *= 100.0**p
    part.restored()
    x = np.ascontiguousarray(part.receptive_fields())
    for _ in range(30):
        assert np.isfinite(learn(part, x)).all()
    assert np.isfinite(part.receptive_fields()).all()
    assert part.gauges()["norm_min"] > 0


def test_a_step_is_measured_by_the_weight_that_changes_most() -> None:
    """With `largest`, the largest change of a minibatch is the rate itself."""
    part = layer(8, **EQUATION, start="random", minibatch=25, largest=True, anneal_rows=10**9)
    before = part.receptive_fields()
    learn(part, rows(25, 8, "sparse"))
    changed = np.abs(part.receptive_fields() - before).max()
    assert changed == pytest.approx(0.5, rel=1e-4)


def test_rows_that_are_answered_together_are_answered_alike() -> None:
    """A minibatch longer than what is answered at once gives the bits of row by row."""
    options = {**EQUATION, "units": 300, "minibatch": 150, "start": "random"}
    x = rows(310, 30, "sparse")
    whole, single = layer(30, **options), layer(30, **options)
    together = learn(whole, x)
    apart = np.concatenate([learn(single, x[b : b + 1]) for b in range(len(x))])
    assert together.tobytes() == apart.tobytes()
    for name, array in whole.arrays().items():
        assert array.tobytes() == single.arrays()[name].tobytes(), name


def test_units_that_are_driven_outward_are_held() -> None:
    """The k-th is pushed along its own weights when outside the sphere: it stays within bounds."""
    options = {**EQUATION, "units": 2, "k": 2, "delta": 1.0, "start": "random", "conscience": 0.0}
    part = layer(8, **options, rate=0.9, rate_floor=0.9, patience=1e6)
    part.arrays()["weights"][:, 1] *= 3
    part.arrays()["size"][1] *= 9
    part.restored()
    learn(part, np.abs(rows(5000, 8)))
    assert np.isfinite(part.receptive_fields()).all()
    assert part.gauges()["norm_max"] <= 1001


def test_minibatches_learn_digits_without_a_dead_unit() -> None:
    """Units that begin as noise outside the sphere come to it, all of them."""
    x = optdigits()
    options = {"plasticity": "equation", "units": 60, "p": 3.0, "minibatch": 20, "largest": True}
    part = layer(64, **options, start="random", rate=0.05, anneal_rows=len(x) * 10)
    for _ in range(10):
        learn(part, x)
    figures = part.gauges()
    assert figures["dead_share"] == 0
    assert figures["winner_entropy"] > 0.7
    assert figures["norm_mean"] == pytest.approx(1, abs=0.3)
