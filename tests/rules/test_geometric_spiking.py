"""`geometric_spiking`: latencies, refractory nodes, windows, streams, what goes out."""

from typing import Any

import numpy as np
import pytest
from naive.geometric_spiking import GeometricSpiking as Naive
from rules.geometric_layers import (
    PLAIN,
    RECURRENT,
    learn,
    network,
    options_of,
    pictures,
    pixel,
    place,
    spikes_of,
)

from streamlearn.part import Rows
from streamlearn.rules.geometric_spiking.start import new_net


@pytest.mark.parametrize(
    "changed",
    [
        RECURRENT,
        {"stdp": "row", "clocks": 5, "clock_to_ms": 90.0, "window_ms": 100.0, "latency_ms": 40.0},
        RECURRENT | {"stdp": "kept", "a_plus": 0.01, "a_minus": 0.01, "bounds": "additive"},
        PLAIN
        | {"layout": "rods", "deep": 4, "p_recurrent": 1.0, "recurrent_from": "deep"}
        | {"stdp": "row", "a_minus": 0.001, "reset": "subtract", "balance": 1.0, "speed": 0.3},
    ],
    ids=["recurrent", "clocks", "plastic", "rods"],
)
def test_the_calendar_gives_the_spikes_of_every_step_worked_out(changed: dict[str, Any]) -> None:
    """Who fires when in a window is, spike by spike, what a plain loop over all steps finds."""
    fast, slow = network(**changed), Naive(options_of(**changed), place())
    seen = 0
    for x in pictures(25):
        spikes = spikes_of(fast, x[None])
        for part, width in ((fast, fast.width_out), (slow, fast.width_out)):
            part.learn(Rows(x[None], np.zeros((1, width), np.float32), np.zeros(1, np.int32), 0))
        assert spikes == slow.spikes
        seen += len(spikes)
    assert seen > 25 * 20


def test_a_signal_takes_its_distance_over_its_speed() -> None:
    """tau_ij = d_ij / s_ij: each unit fires for one pixel at the step that geometry says."""
    part = network(**PLAIN | {"threshold": 0.1, "speed": 0.25, "latency_ms": 3.0})
    nodes = part.nodes()
    for at in (0, 27, 63):
        distance = np.linalg.norm(nodes.units - nodes.inputs[at], axis=1)
        due = np.maximum(np.rint(3.0 + distance / 0.25), 1).astype(int)
        assert sorted(spikes_of(part, pixel(at))) == sorted(
            zip(due.tolist(), range(20), strict=True)
        )


def test_a_plane_front_comes_from_the_units_own_direction() -> None:
    """With layout = "front" latency grows by the projection on the unit's direction alone."""
    part = network(
        **PLAIN | {"layout": "front", "speed": 0.5, "latency_ms": 20.0, "threshold": 0.1}
    )
    nodes = part.nodes()
    along = ((nodes.inputs[5] - nodes.units) * nodes.directions).sum(axis=1)
    due = np.rint(20.0 + along / 0.5).astype(int).tolist()
    assert sorted(spikes_of(part, pixel(5))) == sorted(zip(due, range(20), strict=True))


def test_strips_lie_evenly_without_chance() -> None:
    """Strips of one direction are side by side, all around the middle; no seed moves them."""
    strips = {"layout": "strips", "units": 12, "directions": 4, "spacing": 2.0, "input_spread": 0.0}
    part, other = network(**PLAIN | strips), network(seed=9, **PLAIN | strips)
    np.testing.assert_array_equal(part.arrays()["weights"], other.arrays()["weights"])
    nodes = part.nodes()
    for k in range(4):
        angle = 2 * np.pi * (k + 0.5) / 4
        along, across = (np.cos(angle), np.sin(angle)), np.array([-np.sin(angle), np.cos(angle)])
        centres = 3.5 + np.array([-2.0, 0.0, 2.0])[:, None] * across
        np.testing.assert_allclose(nodes.units[3 * k : 3 * k + 3], centres, atol=1e-9)
        np.testing.assert_allclose(nodes.directions[3 * k : 3 * k + 3], [along] * 3, atol=1e-9)


def test_a_gaussian_reaches_further_along_a_unit_than_across_it() -> None:
    """Weights fall off by sigma across and sigma_along; what is left out is below the cutoff."""
    shape = {"sigma": 1.0, "sigma_along": 4.0, "cutoff": 0.1, "input_spread": 0.0, "units": 1}
    part = network(**PLAIN | {"layout": "front", "latency_ms": 30.0} | shape)
    nodes = part.nodes()
    away, u = nodes.inputs - nodes.units[0], nodes.directions[0]
    along, across = away @ u, away @ np.array([-u[1], u[0]])
    due = np.exp(-(across**2) / 2 - along**2 / 32)
    np.testing.assert_allclose(np.sort(part.arrays()["weights"]), np.sort(due[due >= 0.1]), 1e-5)


def test_rods_hear_along_their_length_and_deep_ones_fire_once() -> None:
    """A signal comes to a rod's nearest point; deep units fire by their depth, once a window."""
    rods = {"layout": "rods", "rod": 4.0, "depth": 1.0, "deep": 5, "deep_to": 30.0, "speed": 0.5}
    part = network(**PLAIN | rods | {"threshold": 0.1, "deep_threshold": 0.1})
    nodes = part.nodes()
    ends = nodes.units + 2.0 * np.stack([-nodes.directions, nodes.directions])
    for at in (0, 30):
        points = np.linspace(ends[0], ends[1], 4001)
        near = np.linalg.norm(points - nodes.inputs[at], axis=2).min(axis=0)
        way = np.sqrt(near**2 + nodes.depths**2)
        steps = {unit: step for step, unit in spikes_of(part, pixel(at))}
        for j in np.flatnonzero(2 + way / 0.5 < 59):
            assert abs(steps[int(j)] - (2 + way[j] / 0.5)) < 0.6
    raster = spikes_of(part, pictures(1, share=1.0))
    counts = np.bincount([unit for _, unit in raster], minlength=20)
    assert counts[:15].min() > 1
    assert counts[15:].max() == 1
    assert nodes.depths[15:].tolist() == pytest.approx([1.0, 8.25, 15.5, 22.75, 30.0])


def test_edges_from_deep_units_alone() -> None:
    """With recurrent_from = "deep" every edge between units goes from a deep one to another."""
    options = options_of(layout="rods", deep=3, p_recurrent=1.0, recurrent_from="deep", stdp="kept")
    net, _ = new_net(options, place((4, 4)))
    source = np.repeat(np.arange(len(net.first) - 1), np.diff(net.first)) - 16
    target = (net.cells % 20).astype(int)[source >= 0]
    assert len(target) == len(net.targets) == 3 * 17
    assert set(source[source >= 0].tolist()) == {17, 18, 19}
    assert set(target.tolist()) == set(range(17))


def test_a_node_that_has_just_fired_ignores_what_arrives() -> None:
    """The first effective arrival wins: signals within the refractory time add nothing later."""
    shape, spread = (1, 12), {"threshold": 0.7, "speed": 0.5, "window_ms": 40.0}
    x = np.ones((1, 12), np.float32)
    for refractory_ms in (1.0, 3.0, 7.0, 100.0):
        kept = network(shape, **PLAIN | spread, refractory_ms=refractory_ms, units=1, reset="zero")
        steps = [step for step, _ in spikes_of(kept, x)]
        arrivals = _arrivals(kept)
        allowed, free = [], -1
        for step in arrivals:
            if step >= free:
                allowed.append(step)
                free = step + refractory_ms
        assert steps == allowed
    assert len(steps) == 1


def _arrivals(part: Any) -> list[int]:
    """Steps at which a signal of one of the pixels reaches the only unit."""
    away = np.linalg.norm(part.nodes().units[0] - part.nodes().inputs, axis=1)
    return sorted(set(np.rint(2.0 + away / 0.5).astype(int).tolist()))


def test_balance_takes_away_what_excitation_brought() -> None:
    """At balance = 1 a signal's kernel f - r s has no area, so steady input does not add up."""
    drive = PLAIN | {"tau_fast_ms": 3.0, "window_ms": 200.0, "speed": 0.05, "threshold": 1.5}
    shape, x = (1, 9), np.ones((1, 9), np.float32)
    plain = spikes_of(network(shape, **drive | {"tau_fast_ms": 60.0}), x)
    balanced = network(shape, **drive | {"balance": 1.0, "tau_fast_ms": 60.0, "tau_slow_ms": 61.0})
    assert plain
    assert not spikes_of(balanced, x)


def test_two_windows_that_carry_on_are_one_long_window() -> None:
    """Traces, refractory times and signals under way pass from row to row without a seam."""
    long = network(**RECURRENT | {"window_ms": 120.0, "speed": 0.1, "threshold": 0.2})
    short = network(
        **RECURRENT | {"window_ms": 40.0, "speed": 0.1, "threshold": 0.2}, between="carry"
    )
    x, none = pictures(1), np.zeros((1, 64), np.float32)
    pieces = []
    for k, row in enumerate((x, none, none)):
        pieces += [(step + 40 * k, unit) for step, unit in spikes_of(short, row)]
        learn(short, row)
    whole = spikes_of(long, x)
    assert pieces == whole
    assert {step // 40 for step, _ in whole} == {0, 1, 2}


@pytest.mark.parametrize("stdp", ["off", "row"])
def test_streams_in_turn_are_as_each_alone(stdp: str) -> None:
    """What is carried on belongs to a stream; others in between do not show."""
    changed = RECURRENT | {"between": "carry", "stdp": stdp, "window_ms": 30.0, "gives": "path"}
    if stdp == "row":
        changed |= {"a_minus": 0.01}
    x, slot = pictures(30, seed=4), np.arange(30) % 3
    begins = np.isin(np.arange(30), (0, 1, 2, 17))
    together = learn(network(**changed), x, slot, begins)
    assert together.any()
    for one in range(3):
        mine = slot == one
        alone = learn(network(**changed), np.ascontiguousarray(x[mine]), 0, begins[mine])
        np.testing.assert_array_equal(together[mine], alone)


def test_encodings_are_of_the_same_spikes() -> None:
    """Counts, first spikes and paths say of one window what its raster says."""
    raster = spikes_of(network(**RECURRENT), pictures(1))
    counts = np.bincount([unit for _, unit in raster], minlength=20)
    first = np.zeros(20)
    path = np.zeros((6, 20))
    for step, unit in reversed(raster):
        first[unit] = 1 - step / 60
        path[step // 10, unit] += 1
    for gives, expected in (("counts", counts), ("first_spikes", first)):
        got = learn(network(**RECURRENT, gives=gives), pictures(1))[0]
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    bins = {"gives": "path", "smooth_ms": 0.0}
    got = learn(network(**RECURRENT, **bins), pictures(1))
    np.testing.assert_array_equal(got.reshape(6, 20), path)
    got = learn(network(**RECURRENT, **bins | {"every_bins": 2}), pictures(1))
    np.testing.assert_array_equal(got.reshape(3, 20), path[1::2])


def test_folded_encodings_keep_angles() -> None:
    """Signed random places keep distances about, and are the same for the same seed."""
    paths = RECURRENT | {"gives": "path", "bin_ms": 2.0, "unit_norm": True, "units": 60}
    x = pictures(40)
    whole = learn(network(**paths), x)
    folded = learn(network(**paths, compress_to=150), x)
    assert folded.shape == (40, 150)
    np.testing.assert_allclose(np.linalg.norm(folded, axis=1), 1.0, rtol=1e-5)
    angles = [(one @ one.T)[np.triu_indices(40, 1)] for one in (whole, folded)]
    assert np.abs(angles[0] - angles[1]).mean() < 0.09
    assert folded.tobytes() == learn(network(**paths, compress_to=150), x).tobytes()


@pytest.mark.parametrize("shape", [(6,), (3, 5), (2, 3, 4), (2, 2, 3, 2)])
@pytest.mark.parametrize("coding", ["latency", "signed", "population"])
def test_sensors_and_video_are_told_apart(shape: tuple[int, ...], coding: str) -> None:
    """Rows of any shape drive a network; values, signs and places show in what goes out."""
    part = network(shape, coding=coding, gives="path", bin_ms=5.0, jitter_ms=0.0, latency_ms=30.0)
    D = int(np.prod(shape))
    x = np.random.default_rng(2).uniform(-1, 1, (20, D)).astype(np.float32)
    out = learn(part, x)
    assert len(np.unique(out, axis=0)) == 20
    beyond = np.float32(1e12) * np.sign(x)
    np.testing.assert_array_equal(learn(part, beyond), learn(part, np.sign(x)))
    signs = np.abs(learn(part, x) - learn(part, np.abs(x))).max()
    assert coding == "population" or signs > 0


def test_blocks_decide_which_edges_there_are() -> None:
    """Edges within and between blocks are as frequent as their chances say."""
    options = options_of(
        units=120, layout="blocks", blocks=3, p_within=0.6, p_between=0.1, stdp="kept"
    )
    net, _ = new_net(options, place((4, 4)))
    source = np.repeat(np.arange(len(net.first) - 1), np.diff(net.first))
    target = (net.cells % 120).astype(int)
    between_units = source >= 16
    within = (source - 16) // 40 == target // 40
    assert np.sum(between_units & within) == pytest.approx(0.6 * 3 * 40 * 39, rel=0.1)
    assert np.sum(between_units & ~within) == pytest.approx(0.1 * 120 * 80, rel=0.15)
    assert np.sum(~between_units) == pytest.approx(0.1 * 16 * 120, rel=0.25)
    assert (source - 16 != target).all()


def test_most_edges_excite_as_the_article_has_it() -> None:
    """A uniform draw, of which the share that is asked for lies above zero."""
    part = network(**RECURRENT | {"units": 100, "p_recurrent": 1.0})
    weights = part.arrays()["weights"]
    assert np.mean(weights > 0) == pytest.approx(0.7, abs=0.02)
    assert weights[-9900:].max() == pytest.approx(0.7 * 0.5, abs=0.01)
    assert weights[-9900:].min() == pytest.approx(-0.3 * 0.5, abs=0.01)


def test_the_refraction_ratio_is_refractory_time_over_latency() -> None:
    """Its gauges are quantiles over all edges; the thresholds move towards the wanted rate."""
    part = network(**PLAIN | {"refractory_ms": 6.0, "speed": 1e6, "latency_ms": 5.0})
    gauges = part.gauges()
    assert gauges["refraction_ratio_p10"] == gauges["refraction_ratio_p90"] == pytest.approx(1.2)


def test_thresholds_move_until_units_fire_as_often_as_wanted() -> None:
    """From thresholds far too low and far too high alike."""
    for threshold in (0.05, 20.0):
        part = network(
            **PLAIN, threshold=threshold, target_spikes=2.0, threshold_rate=0.05, reset="zero"
        )
        learn(part, pictures(600))
        out = learn(part, pictures(200, seed=9))
        assert out.mean() == pytest.approx(2.0, abs=0.25)
        assert part.gauges()["threshold_mean"] != pytest.approx(threshold, rel=0.1)
