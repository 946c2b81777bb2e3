"""SoftHebb: as printed, of true length, and never frozen."""

from typing import Any

import numpy as np
import pytest
from rules.hebbian_layers import follow, layer, learn, optdigits, pair, rows

SOFT: dict[str, Any] = {"competition": "soft"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"start": "random", "rate": 0.1},
        {"start": "random", "anti": True, "sharpness": 3.0},
        {"patience": 2.0, "rate": 0.3},
        {"rate": 0.0},
    ],
    ids=str,
)
def test_every_step_is_that_of_the_slow_twin(changed: dict[str, Any]) -> None:
    """Softmax shares, both signs, rates by length, units that come in late; weights themselves."""
    fast, slow = pair(10, **{**SOFT, "units": 7} | changed)
    follow(fast, slow, rows(150, 10, "sparse"))
    np.testing.assert_allclose(fast.receptive_fields(), slow.units.weights, 1e-3, 1e-4)


def test_units_come_to_the_unit_sphere_and_their_length_is_true() -> None:
    """From 25 times its radius, thousands of rows on; what the gauges say is what one measures."""
    x = optdigits()
    part = layer(64, **SOFT, units=50, start="random", rate=0.2, rate_floor=0.005)
    assert part.gauges()["norm_min"] > 15
    for _ in range(5):
        learn(part, x)
    lengths = np.linalg.norm(part.receptive_fields().astype(np.float64), axis=1)
    figures = part.gauges()
    assert figures["norm_max"] == pytest.approx(lengths.max(), rel=1e-3)
    assert figures["norm_min"] == pytest.approx(lengths.min(), rel=1e-3)
    assert np.median(lengths) == pytest.approx(1, abs=0.05)
    assert figures["dead_share"] == 0


def test_it_never_freezes() -> None:
    """Long after every unit has length 1, a new world is learned as well as the first was."""
    old, new = rows(3000, 20, seed=1), rows(3000, 20, seed=2)
    unit = new / np.linalg.norm(new, axis=1, keepdims=True)

    def fit(part: Any) -> float:
        """Mean cosine of new rows with the nearest unit."""
        return float((unit @ part.receptive_fields().T).max(axis=1).mean())

    kept = layer(20, **SOFT, units=12, rate_floor=0.02, patience=1e6)
    frozen = layer(20, **SOFT, units=12, rate_floor=0.0, patience=1e6)
    for part in (kept, frozen):
        learn(part, old)
        learn(part, new)
    fresh = layer(20, **SOFT, units=12, rate_floor=0.02, patience=1e6)
    learn(fresh, new)
    assert fit(kept) > fit(fresh) - 0.03
    assert fit(frozen) < fit(kept) - 0.05


def test_sharp_softness_is_winner_takes_all() -> None:
    """A very sharp softmax moves one unit a row."""
    part = layer(20, **SOFT, units=12, sharpness=1000.0)
    x = rows(60, 20)
    learn(part, x[:12])
    before = part.receptive_fields()
    learn(part, x[20:21])
    moved = np.abs(part.receptive_fields() - before).max(axis=1) > 1e-6
    assert moved.sum() == 1
