"""`geometric_spiking` at its limits: silence, running away, options and sizes that cannot be."""

from typing import Any

import numpy as np
import pytest
from rules.geometric_layers import PLAIN, RECURRENT, learn, network, pictures, spikes_of

from streamlearn.errors import ConfigError

EXCITED = RECURRENT | {"recurrent_weight": 5.0, "excitatory_share": 1.0, "refractory_ms": 1.0}
"""A network in which every spike makes many more."""


def test_a_row_of_zeros_is_silent_and_counted() -> None:
    """Nothing fires, nothing moves, zeros go out, and the share of silent rows says so."""
    part = network(**RECURRENT, stdp="kept", unit_norm=True, power=0.5)
    before = part.arrays()["weights"].copy()
    assert not learn(part, np.zeros((3, 64), np.float32)).any()
    learn(part, pictures(1, share=1.0))
    assert part.gauges()["silent_share"] == pytest.approx(0.75)
    assert part.arrays()["counts"].tolist() == [4, 3, 0]
    learn(part, np.zeros((1, 64), np.float32))
    assert (part.arrays()["weights"] != before).any()


@pytest.mark.parametrize("stdp", ["off", "row", "kept"])
def test_a_network_that_runs_away_is_cut_counted_and_begins_anew(stdp: str) -> None:
    """No window has more than max_spikes; a cut one teaches nothing and leaves nothing behind."""
    changed = EXCITED | {"max_spikes": 150, "between": "carry", "stdp": stdp}
    part = network(**changed)
    weights = part.arrays()["weights"].copy()
    x = pictures(2, share=1.0)
    out = learn(part, x)
    assert out.sum() == 300
    assert part.gauges()["runaway_share"] == 1.0
    np.testing.assert_array_equal(part.arrays()["weights"], weights)
    carried = {name: array for name, array in part.arrays().items() if name.startswith("past_")}
    for name in ("fast", "slow", "free", "until"):
        assert not carried[f"past_{name}"].any(), name
    np.testing.assert_array_equal(learn(part, x[:1]), out[:1])


def test_thresholds_calm_what_runs_away() -> None:
    """Where a rate is wanted, a network whose every window would be cut is cut in few."""
    cut = []
    for wanted in ({}, {"target_spikes": 1.0, "threshold_rate": 0.2}):
        part = network(**EXCITED, max_spikes=200, **wanted)
        learn(part, pictures(200))
        before = int(part.arrays()["counts"][2])
        learn(part, pictures(100, seed=8))
        cut.append(int(part.arrays()["counts"][2]) - before)
    assert cut[0] == 100
    assert cut[1] < 25


def test_weights_that_silence_it_are_seen() -> None:
    """Weights too small for any spike: silent rows and units are counted, nothing breaks."""
    part = network(**RECURRENT | {"input_weight": 1e-6})
    learn(part, pictures(1500))
    gauges = part.gauges()
    assert gauges["silent_share"] == 1.0
    assert gauges["silent_units_share"] == pytest.approx(1.0)


def test_a_network_without_an_edge_is_silent() -> None:
    """Chances so small that no edge is drawn leave nothing to go wrong."""
    for changed in ({}, {"p_recurrent": 1e-9, "stdp": "kept"}):
        part = network(**PLAIN | {"p_input": 1e-9} | changed)
        assert not learn(part, pictures(3)).any()
        assert part.gauges()["silent_share"] == 1.0
        assert np.isfinite(list(part.gauges().values())).all()
    with pytest.raises(ConfigError, match="gives: expected plastic edges"):
        network(**PLAIN | {"p_recurrent": 1e-9, "stdp": "kept", "gives": "weights"})


def test_a_latency_of_zero_is_made_one_step_and_counted() -> None:
    """No signal arrives in the step in which it was sent."""
    part = network(**PLAIN | {"speed": 1e6, "latency_ms": 0.0, "threshold": 0.1})
    assert part.gauges()["latency_raised_share"] == 1.0
    assert {step for step, _ in spikes_of(part, pictures(1))} == {1}


def test_a_window_shorter_than_any_latency_is_refused() -> None:
    """Nothing would ever arrive; the error names the key and the shortest latency."""
    with pytest.raises(
        ConfigError, match=r"window_ms: expected above 2\d\d, the shortest .* got 60"
    ):
        network(**PLAIN | {"latency_ms": 200.0})
    part = network(**PLAIN | {"latency_ms": 200.0}, between="carry")
    x = pictures(1)
    heard = [spikes_of(part, x), *(learn(part, x).sum() for _ in range(5))]
    assert not heard[0]
    assert heard[-1] > 0


def test_a_window_that_is_no_whole_number_of_steps_is_held_to_its_steps() -> None:
    """One of 60.4 ms has 60 steps: what takes 60 never arrives, and a clock fires in the last."""
    far = PLAIN | {"speed": 1e6, "latency_ms": 60.0, "window_ms": 60.4}
    with pytest.raises(ConfigError, match=r"window_ms: expected above 60, .* got 60.4"):
        network(**far)
    clocks = {"clocks": 2, "clock_to_ms": 60.3, "clock_latency_ms": 900.0}
    part = network(**far | clocks, between="carry")
    assert part._net.clock_steps.tolist() == [20, 59]
    lines = len(part._scratch.calendar) // 20
    assert part._net.clock_steps[-1] + part._net.cells.max() // 20 < lines


def test_times_without_end_are_longer_than_any_window() -> None:
    """A refractory time of billions of steps lets a unit fire once; so slow a signal is late."""
    short = {"step_ms": 1e-5, "window_ms": 1e-3, "latency_ms": 0.0, "threshold": 0.1}
    part = network(**PLAIN | short | {"speed": 1e6, "refractory_ms": 1e5}, between="carry")
    x = pictures(1, share=1.0)
    assert [int(learn(part, x).sum()) for _ in range(3)] == [20, 0, 0]
    with pytest.raises(ConfigError, match="window_ms: expected above"):
        network(**PLAIN | {"speed": 1e-30})


def test_latencies_beyond_the_window_are_counted() -> None:
    """Edges whose signals come too late are left out, and their share is shown."""
    part = network(**PLAIN | {"window_ms": 6.0})
    assert 0.1 < part.gauges()["latency_late_share"] < 0.9


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"sample_ms": (400.0,), "stdp": "row", "clocks": 1, "gives": "weights"},
            "sample_ms: .* 400",
        ),
        ({"gives": "weights"}, "gives: expected stdp"),
        ({"stdp": "row"}, "stdp: expected edges from units or clocks"),
        ({"low": 1.0}, "high: expected above low = 1, got 1"),
        ({"coding": "signed", "low": -1.0}, "low: expected 0 or more"),
        ({"blocks": 30, "layout": "blocks"}, "blocks: expected at most units = 20, got 30"),
        ({"coding_ms": 300.0}, "coding_ms: expected below window_ms = 300, got 300"),
        ({"clocks": 2, "clock_to_ms": 300.0}, "clock_to_ms: .* got 300"),
        ({"clocks": 2, "clock_from_ms": 270.0}, "clock_to_ms: expected from clock_from_ms = 270"),
        ({"gives": "path", "bin_ms": 200.0, "every_bins": 2}, "bin_ms: .* got 200 ms each"),
        ({"gives": "path", "bin_ms": 0.5}, "bin_ms: expected at least step_ms = 1, got 0.5"),
        ({"step_ms": 100.0, "window_ms": 50.0, "coding_ms": 1.0}, "step_ms: expected at most"),
        (
            {"stdp": "row", "clocks": 1, "bounds": "additive", "weight_limit": 0.01},
            "weight_limit: expected at least 0.035",
        ),
        ({"p_within": 0.5}, 'p_within: expected layout = "blocks"'),
        ({"layout": "blocks", "p_input": 0.5}, 'p_input: expected layout = "plane" or "front"'),
        ({"layout": "strips", "directions": 7}, "directions: expected a divisor of units = 20"),
        ({"layout": "rods", "deep": 20}, "deep: expected below units = 20, got 20"),
        ({"deep": 2}, 'deep: expected layout = "rods"'),
        ({"rod": 2.0}, 'rod: expected layout = "rods"'),
        ({"deep_to": 2.0}, "deep_to: expected deep above 0"),
        ({"recurrent_from": "deep", "p_recurrent": 1.0}, "recurrent_from: expected deep above 0"),
        ({"sigma": 0.0, "cutoff": 0.1}, "cutoff: expected sigma above 0"),
        ({"layout": "plane", "sigma_along": 2.0}, 'sigma_along: expected layout = "front" or'),
        ({"bumps": 3}, 'bumps: expected coding = "population"'),
        ({"coding": "active", "coding_ms": 3.0}, "coding_ms: expected coding"),
        ({"a_minus": 0.1}, 'a_minus: expected stdp = "row" or "kept"'),
        ({"balance": 0.0, "tau_slow_ms": 5.0}, "tau_slow_ms: expected balance above 0"),
        ({"threshold_rate": 0.5}, "threshold_rate: expected target_spikes above 0"),
        ({"smooth_ms": 3.0}, 'smooth_ms: expected gives = "path"'),
        ({"clock_weight": 3.0}, "clock_weight: expected clocks above 0"),
        ({"recurrent_weight": 3.0}, "recurrent_weight: expected p_recurrent above 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_are_refused_by_name(changed: dict[str, Any], says: str) -> None:
    """Contradictions and options that would mean nothing are told with the key and the way out."""
    with pytest.raises(ConfigError, match=says):
        network(**changed)


@pytest.mark.parametrize(
    ("changed", "live", "says"),
    [
        ({"units": 65536, "p_recurrent": 0.001}, 4, "units: the network would take"),
        ({"window_ms": 1e5, "step_ms": 0.1, "units": 1000}, 4, "window_ms: the calendar"),
        ({"window_ms": 1e5, "step_ms": 1e-7}, 4, "window_ms: its steps would take"),
        (
            {"between": "carry", "clocks": 50, "stdp": "row", "units": 2000, "max_spikes": 10**6},
            2000,
            "between: what is kept of streams would take",
        ),
    ],
)
def test_what_takes_more_than_a_gibibyte_is_refused(
    changed: dict[str, Any], live: int, says: str
) -> None:
    """Memory is bounded by the configuration, and the error names what takes it."""
    with pytest.raises(ConfigError, match=says):
        network(live=live, **changed)
