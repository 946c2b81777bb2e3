"""`geometric_spiking`: what moves a plastic edge, how far, and what is kept of it."""

import math
from typing import Any

import numpy as np
import pytest
from rules.geometric_layers import PLAIN, RECURRENT, learn, network, pictures, pixel, spikes_of

from streamlearn.rules.geometric_spiking.rule import changes

CLOCK = PLAIN | {
    "units": 6,
    "clocks": 1,
    "clock_from_ms": 5.0,
    "clock_to_ms": 5.0,
    "clock_latency_ms": 8.0,
    "clock_weight": 0.0,
    "stdp": "row",
    "gives": "weights",
    "threshold": 0.5,
    "latency_ms": 12.0,
}
"""One plastic edge to each unit, whose signal arrives before the pixel's does."""


def delays(part: Any) -> Any:
    """Steps from the clock to each of the six units."""
    net = part._net
    return {int(j): int(d) for j, d in zip(net.targets, net.delays, strict=True)}


def by_unit(part: Any, moved: Any) -> dict[int, float]:
    """How each unit's edge moved."""
    return dict(zip(sorted(part._net.targets.tolist()), moved.tolist(), strict=True))


def test_a_signal_that_came_before_a_spike_is_raised_by_how_long_before() -> None:
    """It is a_plus exp(-dt / tau_plus), from when the signal arrives, not when it was sent."""
    part = network(**CLOCK, a_plus=0.01, tau_plus_ms=15.0)
    fired, came = {j: t for t, j in spikes_of(part, pixel(27))}, delays(part)
    moved = by_unit(part, learn(part, pixel(27))[0])
    assert len(fired) == 6
    for j, t in fired.items():
        due = 0.01 * math.exp(-(t - 5 - came[j]) / 15.0) if t >= 5 + came[j] else 0.0
        assert moved[j] == pytest.approx(due, rel=1e-4)
    assert any(moved.values())


def test_a_signal_that_comes_after_a_spike_is_lowered_by_how_long_after() -> None:
    """The step is -a_minus exp(-dt / tau_minus)."""
    late = CLOCK | {"clock_from_ms": 30.0, "clock_to_ms": 30.0, "latency_ms": 2.0}
    part = network(**late, a_plus=0.0, a_minus=0.02, tau_minus_ms=9.0)
    fired, came = {j: t for t, j in spikes_of(part, pixel(27))}, delays(part)
    moved = by_unit(part, learn(part, pixel(27))[0])
    for j, t in fired.items():
        assert moved[j] == pytest.approx(-0.02 * math.exp(-(30 + came[j] - t) / 9.0), rel=1e-4)


def test_weights_are_sampled_at_their_times() -> None:
    """What moved by each of the times goes out side by side; after all spikes nothing moves."""
    times = {"sample_ms": (8.0, 16.0, 60.0), "a_plus": 0.01}
    part = network(**CLOCK, **times)
    spikes = spikes_of(part, pixel(27))
    samples = learn(part, pixel(27))[0].reshape(3, 6)
    for k, time in enumerate((8, 16, 60)):
        early = {j for t, j in spikes if t < time and t >= 5 + delays(part)[j]}
        assert set(np.flatnonzero(samples[k] > 0).tolist()) == early


def test_weights_go_back_to_the_start_after_every_row() -> None:
    """With stdp = "row" no row shows in another; with "kept" it does, and for good."""
    changed = RECURRENT | {"a_plus": 0.05, "gives": "weights"}
    x = pictures(12)
    rows, kept = network(**changed, stdp="row"), network(**changed, stdp="kept")
    before = rows.arrays()["weights"].copy()
    together = learn(rows, x)
    np.testing.assert_array_equal(rows.arrays()["weights"], before)
    np.testing.assert_array_equal(learn(rows, x[5:6]), together[5:6])
    moved = learn(kept, x)
    np.testing.assert_array_equal(moved[0], together[0])
    after = kept.arrays()["weights"] - before
    np.testing.assert_allclose(
        after[-moved.shape[1] :][kept._net.into], moved.sum(axis=0), atol=1e-5
    )
    assert not after[: -moved.shape[1]].any()


@pytest.mark.parametrize("bounds", ["additive", "multiplicative"])
@pytest.mark.parametrize("turns", [True, False])
def test_bounds_hold_and_signs_stay_where_they_should(bounds: str, *, turns: bool) -> None:
    """No weight passes the limit; one that may not turn ends at zero at most."""
    plastic = {"stdp": "kept", "a_plus": 0.2, "a_minus": 0.3, "weight_limit": 0.4}
    part = network(**RECURRENT | plastic | {"bounds": bounds, "turns": turns})
    start = part._net.birth.copy()
    learn(part, pictures(40))
    end = part.arrays()["weights"][-len(start) :][part._net.into]
    assert np.abs(end).max() <= np.float32(0.4)
    assert np.abs(end - start).max() > 0.1
    crossed = int((start * end < 0).sum())
    assert crossed > 0 if turns else crossed == 0


def test_shares_of_edges_say_what_became_of_them() -> None:
    """Raised, lowered, turned inhibiting or unchanged: each edge counts once."""
    before = np.array([0.5, 0.5, 0.5, 0.5, -0.2, -0.2, -0.2, 0.1], np.float32)
    after = np.array([0.6, 0.4, -0.1, 0.5, -0.1, -0.3, 0.2, 0.1], np.float32)
    shares = changes(before, after)
    assert shares == {
        "weights_raised_share": 3 / 8,
        "weights_lowered_share": 2 / 8,
        "weights_turned_share": 1 / 8,
        "weights_unchanged_share": 2 / 8,
    }
    part = network(**RECURRENT, stdp="kept", a_plus=0.02, a_minus=0.02)
    learn(part, pictures(20))
    shown = {name: value for name, value in part.gauges().items() if "weights_" in name}
    assert sum(shown.values()) == pytest.approx(1.0)
    assert shown["weights_raised_share"] > 0.05


def test_a_frozen_network_goes_along_and_keeps_nothing() -> None:
    """What a layer that stands still writes is what it would write while learning."""
    changed = RECURRENT | {"stdp": "kept", "a_plus": 0.05, "between": "carry", "gives": "weights"}
    x = pictures(6)
    learns, follows = network(**changed), network(**changed)
    first = learn(learns, x[:1])
    learns_rows = [learn(learns, x[b : b + 1]) for b in range(1, 6)]
    follows.learn = follows.follow
    np.testing.assert_array_equal(learn(follows, x[:1]), first)
    np.testing.assert_array_equal(follows.arrays()["weights"], network(**changed)._net.weights)
    follow_rows = [learn(follows, x[b : b + 1]) for b in range(1, 6)]
    assert any((a != b).any() for a, b in zip(learns_rows, follow_rows, strict=True))
