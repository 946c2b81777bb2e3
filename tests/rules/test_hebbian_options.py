"""Options of competing units: contradictions are named, bad times end, patches fit."""

from typing import Any

import numpy as np
import pytest
from msgspec import ValidationError
from rules.hebbian_layers import layer, learn, optdigits

from streamlearn.config import parse
from streamlearn.errors import ConfigError
from streamlearn.part import Rows
from streamlearn.plan import CATALOGUE, check

EVERY: dict[str, dict[str, Any]] = {
    "ranking": {},
    "dynamics": {"competition": "dynamics"},
    "soft": {"competition": "soft"},
    "equation": {"plasticity": "equation", "minibatch": 10},
}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"competition": "none"}, "competition: expected one that chooses"),
        ({"competition": "soft", "plasticity": "equation"}, 'plasticity: expected "sphere"'),
        ({"competition": "soft", "p": 3.0}, "p: expected 2 beside competition"),
        ({"competition": "dynamics", "h_star": 1.0}, "h_star: expected below 1, the largest"),
        (
            {"competition": "dynamics", "plasticity": "equation", "radius": 0.5, "h_star": 0.5},
            "h_star: expected below 0.5",
        ),
        ({"competition": "dynamics", "k": 7}, 'k: expected competition = "ranking" beside it'),
        ({"competition": "soft", "delta": 0.4}, "delta: expected competition"),
        ({"minibatch": 100}, 'minibatch: expected plasticity = "equation"'),
        ({"largest": True}, 'largest: expected plasticity = "equation"'),
        ({"sharpness": 3.0}, 'sharpness: expected competition = "soft"'),
        ({"plasticity": "equation", "competition": "none", "patience": 3.0}, "patience: expected"),
        ({"plasticity": "equation", "anneal_rows": 9, "rate_floor": 0.1}, "rate_floor: expected"),
        ({"plasticity": "equation", "radius": 50.0, "p": 4.0}, "radius: expected radius^p from"),
        ({"pool": 2}, "pool: expected field above 0"),
        ({"field": 3}, "field: expected rows of shape"),
    ],
    ids=str,
)
def test_what_contradicts_itself_or_means_nothing_is_refused(
    options: dict[str, Any], line: str
) -> None:
    """The line names the key, what is expected and what was given."""
    with pytest.raises(ConfigError) as caught:
        layer(12, units=4, **options)
    assert any(one.startswith(line) for one in caught.value.lines), caught.value.lines


def test_a_field_is_no_larger_than_the_image() -> None:
    """Larger ones are refused with the side there is."""
    with pytest.raises(ConfigError, match="field: expected at most 3, the image's side, got 4"):
        layer(12, shape=(3, 4), units=4, field=4)


@pytest.mark.parametrize(
    ("key", "value"),
    [("p", 1.5), ("delta", 1.1), ("delta", -0.1), ("k", 1), ("units", 0), ("h_star", -1.0)],
)
def test_values_out_of_range_name_their_key(key: str, value: float) -> None:
    """From the file: the error has the path of the key."""
    raw = {
        "stream": {"shape": [12], "classes": 2},
        "layer": [{"rule": "hebbian", "units": 4, key: value}],
        "head": [{"kind": "softmax"}],
    }
    with pytest.raises((ConfigError, ValidationError), match=key):
        check(parse(raw, CATALOGUE), "file.toml")


@pytest.mark.parametrize("name", EVERY)
def test_all_units_live_after_bad_times(name: str) -> None:
    """The same row for long, zeros, rows a million times larger; then digits find all awake."""
    x = optdigits()
    part = layer(64, units=40, **EVERY[name])
    learn(part, x)
    same = np.ascontiguousarray(np.repeat(x[:1], 4000, axis=0))
    for bad in (same, np.zeros_like(x[:500]), 1e6 * x[:500], same):
        assert np.isfinite(learn(part, np.ascontiguousarray(bad))).all()
    learn(part, x)
    learn(part, x)
    figures = part.gauges()
    assert figures["dead_share"] == 0
    assert figures["winner_entropy"] > 0.7
    assert all(np.isfinite(array).all() for array in part.arrays().values())
    fields = part.receptive_fields().reshape(40, -1)
    assert len(np.unique(np.round(fields, 3), axis=0)) == 40, "units are all different again"


@pytest.mark.parametrize("name", EVERY)
def test_one_unit_is_enough(name: str) -> None:
    """A layer of one unit learns and stays finite; there is no k-th to push away."""
    part = layer(64, units=1, **EVERY[name])
    learn(part, optdigits()[:500])
    assert np.isfinite(part.receptive_fields()).all()
    assert part.gauges()["dead_share"] == 0


def test_patches_are_rows_to_the_units() -> None:
    """A field as large as the image is the layer itself; smaller ones give an image of answers."""
    x = optdigits()[:400]
    whole, field = layer(64, units=10), layer(64, shape=(8, 8), units=10, field=8)
    centred = np.ascontiguousarray(x - x.mean(axis=1, keepdims=True))
    np.testing.assert_array_equal(learn(whole, centred), learn(field, x))
    part = layer(64, shape=(8, 8), units=10, field=3, stride=1, pool=2)
    assert part.shape_out == (3, 3, 10)
    assert part.receptive_fields().shape == (10, 3, 3)
    out = np.zeros((len(x), 90), np.float32)
    part.learn(Rows(x, out, np.full(len(x), -1, np.int32), 0))
    again = np.zeros_like(out)
    part.infer(x, again)
    moved = np.roll(x.reshape(-1, 8, 8), 2, axis=2)
    moved[:, :, :2] = 0
    shifted = np.zeros_like(out)
    part.infer(np.ascontiguousarray(moved.reshape(-1, 64)), shifted)
    left, right = again.reshape(-1, 3, 3, 10)[:, :, 0], shifted.reshape(-1, 3, 3, 10)[:, :, 1]
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def test_a_patch_counts_by_its_contrast() -> None:
    """Brightness changes nothing; patches of one grey, zero or not, teach and say nothing."""
    x = optdigits()[:200]
    part = layer(64, shape=(8, 8), units=10, field=3)
    out = np.zeros((len(x), part.width_out), np.float32)
    part.learn(Rows(x, out, np.full(len(x), -1, np.int32), 0))
    dark, bright = np.zeros_like(out), np.zeros_like(out)
    part.infer(x, dark)
    part.infer(x + np.float32(16), bright)
    np.testing.assert_allclose(dark, bright, rtol=1e-2, atol=1e-2)
    state = {name: array.copy() for name, array in part.arrays().items()}
    grey = np.full((3, 64), 0.3, np.float32) * np.float32([[1], [0], [7]])
    part.learn(Rows(grey, out[:3], np.full(3, -1, np.int32), 200))
    assert not out[:3].any()
    for name, array in part.arrays().items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)


def test_patches_of_an_image_with_channels() -> None:
    """Channels are part of a patch."""
    part = layer(4 * 4 * 3, shape=(4, 4, 3), units=5, field=2, stride=2)
    assert part.shape_out == (2, 2, 5)
    assert part.receptive_fields().shape == (5, 2, 2, 3)


def test_a_schedule_counts_images_not_patches() -> None:
    """Half of the annealed rows leave half of the rate, however many patches an image has."""
    options = {**EVERY["equation"], "anneal_rows": 200, "start": "random", "field": 3}
    part = layer(64, shape=(8, 8), units=10, **options)
    x = optdigits()[:100]
    part.learn(Rows(x, np.zeros((100, part.width_out), np.float32), np.zeros(100, np.int32), 0))
    assert part.gauges()["rate_mean"] == pytest.approx(part.options.rate / 2, rel=0.1)
