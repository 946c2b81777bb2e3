"""Inhibition until activities stand still: the steady state, its bound, and what is learned."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.hebbian import steady
from rules.hebbian_layers import follow, layer, learn, optdigits, pair, rows

from streamlearn.kernels import kernel
from streamlearn.part import F32
from streamlearn.rules.hebbian import dynamics

DYNAMICS: dict[str, Any] = {"competition": "dynamics"}


@kernel
def _settle(drive: F32, inhibition: float, max_steps: int, room: F32, steps: F32) -> None:
    steps[0] = dynamics.settle(drive, np.float32(inhibition), max_steps, room)


def settled(drive: F32, inhibition: float, max_steps: int = 1000) -> tuple[F32, int]:
    """Steady activities [H], and the steps that it took."""
    room, steps = np.full((4, len(drive)), np.nan, np.float32), np.zeros(1, np.float32)
    _settle(drive, inhibition, max_steps, room, steps)
    return np.maximum(room[0], 0), int(steps[0])


@given(
    drive=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50),
    inhibition=st.floats(0, 0.95),
)
@settings(max_examples=200)
def test_the_steady_state_is_the_one_there_is(drive: list[float], inhibition: float) -> None:
    """For inhibition below 1 the integral ends where the closed form says, whatever drives it."""
    expected = np.zeros(len(drive))
    for h, activity in steady(dict(enumerate(drive)), inhibition).items():
        expected[h] = activity
    ours, steps = settled(np.array(drive, np.float32), inhibition)
    scale = max(map(abs, drive))
    assert steps <= 200
    np.testing.assert_allclose(ours, expected, atol=5e-3 * scale + 1e-9)


@given(inhibition=st.floats(1.0, 5.0), seed=st.integers(0, 10_000))
def test_strong_inhibition_leaves_one(inhibition: float, seed: int) -> None:
    """From 1 on the unit of the highest drive is active alone, with that drive."""
    drive = np.random.default_rng(seed).permutation(np.linspace(0.1, 0.9, 30)).astype(np.float32)
    ours, _ = settled(drive, inhibition)
    assert np.flatnonzero(ours).tolist() == [drive.argmax()]
    assert ours.max() == pytest.approx(0.9, abs=1e-3)


def test_the_bound_on_steps_is_kept_and_counted() -> None:
    """Dynamics that are cut short say so; with room enough they never are."""
    x = rows(300, 12, "sparse")
    short = layer(12, **DYNAMICS, units=20, max_steps=3)
    learn(short, x)
    assert short.gauges()["cut_short_share"] > 0.9
    whole = layer(12, **DYNAMICS, units=20)
    learn(whole, x)
    assert whole.gauges()["cut_short_share"] == 0
    assert settled(np.full(9, 0.5, np.float32), 0.9, 2)[1] == 3


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"inhibition": 0.3, "h_star": 0.1, "p": 3.0},
        {"h_star": 0.0, "delta": 0.0},
        {"plasticity": "equation", "minibatch": 4, "inhibition": 0.6},
        {"delta": 1.0, "start": "random", "p": 2.3},
    ],
    ids=str,
)
def test_every_step_is_that_of_the_slow_twin(changed: dict[str, Any]) -> None:
    """Units from h* on are drawn to a row, other active ones pushed away, as in closed form."""
    # An h* that no activity of these rows comes as near to as the integral's own error.
    options = {**DYNAMICS, "units": 9, "patience": 3.0, "h_star": 0.2}
    follow(*pair(16, **options | changed), rows(110, 16))


def test_who_is_between_zero_and_h_star_moves_away() -> None:
    """Long-term potentiation above h*, depression below, nothing for the silent."""
    part = layer(3, **DYNAMICS, units=3, inhibition=0.7, h_star=0.3, conscience=0.0, delta=0.5)
    x = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1]], np.float32)
    learn(part, x)
    before = part.receptive_fields()
    row = np.array([[1, 0, 0]], np.float32)
    currents = before @ row[0]
    active = steady(dict(enumerate(currents.tolist())), 0.7)
    assert active[0] > 0.3 > active[1] > 0
    assert 2 not in active
    learn(part, row)
    after = part.receptive_fields()
    assert after[1] @ row[0] < currents[1]
    np.testing.assert_array_equal(after[2], before[2])


def test_no_unit_stays_dead_on_digits() -> None:
    """On a real stream each unit wins its share, and learning finds what is there."""
    x = optdigits()
    part = layer(64, **DYNAMICS, units=100)
    for _ in range(3):
        learn(part, x)
    figures = part.gauges()
    assert figures["dead_share"] == 0
    assert figures["winner_entropy"] > 0.8
    assert figures["cut_short_share"] == 0
    assert figures["norm_max"] == pytest.approx(1, abs=1e-4)
