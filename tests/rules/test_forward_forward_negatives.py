"""Negatives made of real rows: as their slow twin makes them, smooth, in bounds, repeatable."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from naive.ff_negatives import Negatives as Naive
from naive.ff_negatives import masks as slow_masks

from streamlearn.errors import ConfigError
from streamlearn.kernels import kernel
from streamlearn.part import F32, Place
from streamlearn.rules.forward_forward.masks import grid_of, mask_bank
from streamlearn.rules.forward_forward.negatives import (
    KINDS,
    Negatives,
    Plain,
    make_negative,
    remember,
)
from streamlearn.rules.forward_forward.start import first_weights

SEED = 20
UNITS = 40
SHAPES = [(60,), (6, 10), (4, 5, 3), (3, 4, 5), (2, 2, 3, 5)]

every_kind = pytest.mark.parametrize("kind", KINDS)


@kernel
def run(negatives: Plain, x: F32, activity: F32, first: int, out: F32, made: F32) -> None:
    """For each row: make its negative, out [B, D]; made [B] says whether there was one; keep it."""
    for b in range(x.shape[0]):
        made[b] = make_negative(negatives, x[b], activity[b], first + b, out[b])
        remember(negatives, x[b], activity[b], first + b)


def source(kind: str, shape: tuple[int, ...], rows: int = 7, seed: int = SEED, **kw: Any) -> Any:
    """Where negatives of a kind come from, fast or by the slow twin."""
    options = SimpleNamespace(units=UNITS, negatives=kind, reservoir_rows=rows)
    return kw.get("cls", Negatives)(options, Place(math.prod(shape), shape, 2, seed))


def stream(count: int, width: int, seed: int = SEED) -> tuple[F32, F32]:
    """Rows [B, D], no two inputs of them alike, and sparse activities [B, H] that go with them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(1, 2, (count, width))
    activity = np.maximum((x - 1.5) @ rng.standard_normal((width, UNITS)), 0)
    return np.ascontiguousarray(x, np.float32), np.ascontiguousarray(activity, np.float32)


def negatives(part: Any, x: F32, activity: F32, first: int = 0) -> tuple[F32, F32]:
    """The negatives of rows, and whether there was one."""
    out, made = np.full_like(x, np.nan), np.zeros(len(x), np.float32)
    run(part.plain, x, activity, first, out, made)
    return out, made


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(kind, shape) for kind in KINDS for shape in SHAPES if (kind, shape) != ("shuffled", (60,))],
    ids=str,
)
def test_every_negative_is_that_of_the_slow_twin(kind: str, shape: tuple[int, ...]) -> None:
    """Row after row, the negative and all state are those that are worked out slowly."""
    fast, slow = source(kind, shape), source(kind, shape, cls=Naive)
    x, activity = stream(60, math.prod(shape))
    for row in range(60):
        expected = slow.make(x[row], activity[row], row)
        out, made = negatives(fast, x[row : row + 1], activity[row : row + 1], row)
        assert bool(made[0]) == (expected is not None)
        if expected is not None:
            np.testing.assert_allclose(out[0], expected, 1e-4, 1e-6, err_msg=f"row {row}")
        slow.remember(x[row], activity[row], row)
        for name, array in slow.arrays().items():
            np.testing.assert_allclose(fast.arrays()[name], array, 1e-4, 1e-6, err_msg=name)


@pytest.mark.parametrize("length", [1, 2, 3, 12, 28, 41])
def test_the_blur_in_one_product_is_the_blur_done_again_and_again(length: int) -> None:
    """Masks are those of noise that is blurred step by step, on axes of any length."""
    fast = mask_bank(grid_of((7, length)), SEED)
    assert (fast[:, :, :length] == slow_masks(7, length, SEED)).all()
    assert (fast[:, :, :length] == fast[:, :, length:]).all()


def test_masks_are_balanced_blobs() -> None:
    """On 28 x 28 half of each mask is 1; next to an input is one of its kind, far off any other."""
    masks = mask_bank(grid_of((28, 28)), SEED)[:, :, :28].astype(float)
    np.testing.assert_allclose(masks.mean(axis=(1, 2)), 0.5, atol=0.001)
    alike = [(masks == np.roll(masks, shift, 2)).mean() for shift in (1, 3, 14)]
    assert alike[0] > 0.85
    assert 0.55 < alike[1] < 0.8
    assert 0.35 < alike[2] < 0.6
    down = (masks == np.roll(masks, 1, 1)).mean()
    assert down == pytest.approx(alike[0], abs=0.03)
    # Smooth across the border too, or a shifted mask would have an edge in the middle.
    border = (masks[:, :, 0] == masks[:, :, -1]).mean()
    assert border == pytest.approx(alike[0], abs=0.06)


@pytest.mark.parametrize("shape", [(8, 9, 3), (3, 8, 9)])
def test_the_colours_of_a_place_stay_together(shape: tuple[int, ...]) -> None:
    """A hybrid takes all channels of a place from one row, wherever the shape has them."""
    x, activity = stream(50, math.prod(shape))
    out, _ = negatives(source("hybrid", shape), x, activity)
    own = (out == x)[1:].reshape(-1, *shape)
    axis = 1 + shape.index(3)
    assert (own.all(axis=axis) == own.any(axis=axis)).all()
    assert 0.45 < own.mean() < 0.55


def test_hybrids_use_masks_everywhere() -> None:
    """Shifted and swapped, a few masks have every input come from either row about as often."""
    x, activity = stream(3000, 100)
    out, _ = negatives(source("hybrid", (10, 10), rows=50), x, activity)
    own = (out == x)[1:]
    assert len({row.tobytes() for row in own}) > 2000
    assert np.abs(own.mean(axis=0) - 0.5).max() < 0.05


@every_kind
def test_there_is_no_negative_before_there_is_a_row_to_make_it_of(kind: str) -> None:
    """The first row has none, and nothing is written; a shuffled one needs no other row."""
    x, activity = stream(5, 60)
    out, made = negatives(source(kind, (6, 10)), x, activity)
    assert made[1:].all()
    assert made[0] == (kind == "shuffled")
    assert np.isnan(out[0]).all() == (kind != "shuffled")


def test_shuffled_steps_never_keep_their_places() -> None:
    """Each step of a window is there once, and none where it was, whatever its length."""
    for steps in (2, 3, 5, 9):
        x, activity = stream(300, 2 * steps)
        out, _ = negatives(source("shuffled", (steps, 2)), x, activity)
        before, after = x.reshape(-1, steps, 2), out.reshape(-1, steps, 2)
        assert (before != after).all()
        assert (np.sort(before, axis=1) == np.sort(after, axis=1)).all()
        orders = {row.tobytes() for row in np.argsort(after[:, :, 0]) - np.argsort(before[:, :, 0])}
        assert len(orders) >= min(math.factorial(steps - 1), 30)


@pytest.mark.parametrize("shape", [(12,), (1, 12)])
def test_one_time_step_cannot_be_shuffled(shape: tuple[int, ...]) -> None:
    """The error names the key, the shape that was found and the way out."""
    with pytest.raises(ConfigError, match=r"negatives: .*\[(1, )?12\].*stream\.shape.*hybrid"):
        source("shuffled", shape)


@every_kind
def test_the_reservoir_is_bounded_and_takes_rows_of_all_ages(kind: str) -> None:
    """It never grows, holds rows that were shown, mostly recent ones, and fills before it drops."""
    part, rows = source(kind, (6, 10), rows=50), 2000
    x, activity = stream(rows, 60)
    kept = part.arrays()["kept"]
    given = activity if kind == "generated" else x
    negatives(part, x[:50], activity[:50])
    assert (kept == given[:50]).all()
    negatives(part, x[50:], activity[50:], 50)
    assert part.arrays()["kept"] is kept
    assert part.arrays()["kept_rows"] == rows
    number = {row.tobytes(): n for n, row in enumerate(given)}
    ages = [rows - number[row.tobytes()] for row in kept]
    assert len(set(ages)) == 50
    assert 25 < np.mean(ages) < 90
    assert max(ages) > 100


@every_kind
def test_choices_follow_from_seed_and_row_alone(kind: str) -> None:
    """However the stream is cut, the bits are the same; another seed chooses otherwise."""
    x, activity = stream(200, 60)
    whole, cut, other = (source(kind, (6, 10), seed=seed) for seed in (SEED, SEED, SEED + 1))
    together, _ = negatives(whole, x, activity)
    pieces = [negatives(cut, x[a:b], activity[a:b], a)[0] for a, b in [(0, 1), (1, 77), (77, 200)]]
    assert np.concatenate(pieces).tobytes() == together.tobytes()
    for name, array in whole.arrays().items():
        assert cut.arrays()[name].tobytes() == array.tobytes(), name
    assert negatives(other, x, activity)[0].tobytes() != together.tobytes()


@every_kind
def test_arrays_restore_the_source(kind: str) -> None:
    """A source whose arrays are overwritten goes on as the one that they came from."""
    x, activity = stream(150, 60)
    first, second = source(kind, (6, 10)), source(kind, (6, 10))
    negatives(first, x[:100], activity[:100])
    for name, array in first.arrays().items():
        second.arrays()[name][...] = array
    onward = [negatives(part, x[100:], activity[100:], 100)[0] for part in (first, second)]
    assert onward[0].tobytes() == onward[1].tobytes()


def test_generated_negatives_come_nearer_to_the_data() -> None:
    """As the generator learns, its negatives look like rows, and are none that was shown."""
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((4, 60))
    x = centres[rng.integers(4, size=3000)] + 0.2 * rng.standard_normal((3000, 60))
    x = np.ascontiguousarray(x, np.float32)
    activity = np.maximum(x @ rng.standard_normal((60, UNITS)), 0).astype(np.float32)
    activity /= np.sqrt((activity**2).mean(axis=1, keepdims=True))
    out, _ = negatives(source("generated", (60,)), x, activity)

    between = np.array([(a + b) / 2 for a in centres for b in centres])

    def distance(rows: F32) -> float:
        """Mean distance to the nearest centre or middle of two, in lengths of a row."""
        away = np.linalg.norm(rows[:, None] - between, axis=2).min(axis=1)
        return float(away.mean() / np.linalg.norm(x, axis=1).mean())

    assert distance(out[-300:]) < 0.7 * distance(out[1:20])
    own = np.linalg.norm(out[-300:] - x[-300:], axis=1) / np.linalg.norm(x[-300:], axis=1)
    assert own.mean() > 0.4


@every_kind
def test_rows_that_say_nothing_do_no_harm(kind: str) -> None:
    """Rows and activities of zeros leave no NaN behind, in negatives or state."""
    part = source(kind, (6, 10))
    x, activity = stream(60, 60)
    x[::3], activity[::2] = 0, 0
    out, made = negatives(part, x, activity)
    assert np.isfinite(out[made > 0]).all()
    for name, array in part.arrays().items():
        assert np.isfinite(array).all(), name


@every_kind
def test_cost_counts_the_rows_and_the_generator(kind: str) -> None:
    """A generator is what costs."""
    assert source(kind, (6, 10)).cost() >= 4 * 60 * (UNITS if kind == "generated" else 1)


def first(start: str, shape: tuple[int, ...] = (28, 28), seed: int = SEED) -> F32:
    """First weights [*shape, H] of 200 units."""
    weights = first_weights(start, 200, Place(math.prod(shape), shape, 2, seed))
    return weights.reshape(*shape, 200)


@pytest.mark.parametrize("shape", [(28, 28), (8, 9, 3), (3, 8, 9), (60,), (1,)], ids=str)
@pytest.mark.parametrize("start", ["random", "local"])
def test_first_weights_let_rows_of_size_one_through_at_size_one(
    start: str, shape: tuple[int, ...]
) -> None:
    """Weights are finite, of length 1, repeatable, and another seed has others."""
    weights = first(start, shape).reshape(-1, 200)
    lengths = np.linalg.norm(weights, axis=0)
    if start == "random":
        assert np.sqrt((lengths**2).mean()) == pytest.approx(1, abs=0.2)
    elif len(weights) > 1:
        np.testing.assert_allclose(lengths, 1, rtol=1e-4)
    assert np.isfinite(weights).all()
    assert first(start, shape).tobytes() == weights.tobytes()
    assert len(weights) == 1 or first(start, shape, SEED + 1).tobytes() != weights.tobytes()


def test_local_units_look_at_one_place_and_not_at_even_light() -> None:
    """Nearly all of a unit lies within a window, smooth, sum 0, and windows are everywhere."""
    weights = first("local").astype(np.float64)
    assert np.abs(weights.sum(axis=(0, 1))).max() < 1e-4
    energy = weights**2
    down, across = np.mgrid[:28, :28][:, :, :, None]
    middle = [(energy * place).sum(axis=(0, 1)) for place in (down, across)]
    away = (down - middle[0]) ** 2 + (across - middle[1]) ** 2
    assert ((energy * (away < 8**2)).sum(axis=(0, 1)) > 0.9).mean() > 0.95
    beside = (weights[:, 1:] * weights[:, :-1]).sum(axis=(0, 1))
    assert beside.mean() > 0.6
    for place in middle:
        assert place.min() < 6
        assert place.max() > 21


def test_colours_of_local_units_share_a_window() -> None:
    """Whichever side the colours are on, they are looked at in the same place."""
    last, ahead = first("local", (16, 16, 3)), first("local", (3, 16, 16))
    for energy in (np.moveaxis(last, 2, 0) ** 2, ahead**2):
        share = energy / energy.sum(axis=(1, 2), keepdims=True)
        middle = np.einsum("crkh,r->ch", share, np.arange(16.0))
        assert np.abs(middle - middle.mean(axis=0)).mean() < 1.5
