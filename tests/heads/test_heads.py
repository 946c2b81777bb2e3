"""What both heads have to be good for: learning, scale, drift, dead inputs, wild rows."""

from typing import Any

import numpy as np
import pytest
from heads.learners import build, clouds, error, infer, learn

from streamlearn.data.source import load
from streamlearn.heads import HEADS
from streamlearn.part import F32, I32
from streamlearn.schema import resolve

LEARNING = [name for name, target in HEADS.items() if not resolve(target).READS_SCORES]
"""Heads that learn; what only adds up the layers' evidence has nothing to show here."""

LEARNED = dict.fromkeys(LEARNING, "weights") | {"neighbours": "memory"}
"""The array [N, D or more] that holds what a head has learned, zeros before."""

every_head = pytest.mark.parametrize("name", LEARNING)


@every_head
def test_learns_what_can_be_learned(name: str) -> None:
    """After one pass over clouds, fresh rows are told apart almost as well as by their centres."""
    x, y = clouds(4000, 20, 4)
    fresh, truth = clouds(4000, 20, 4, seed=1)
    centres = np.stack([fresh[truth == k].mean(axis=0) for k in range(4)])
    nearest = ((fresh[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    head = build(name, 20, 4)
    learn(head, x, y)
    assert error(infer(head, fresh), truth) < (nearest != truth).mean() + 0.01


@every_head
def test_the_size_of_the_inputs_hardly_matters(name: str) -> None:
    """Inputs of 0.001 or 1,000 times the size end in nearly the same scores."""
    x, y = clouds(2000, 20, 4)
    plain = build(name, 20, 4)
    learn(plain, x, y)
    for factor in (2.0**-10, 2.0**10):
        head = build(name, 20, 4)
        scaled = x * np.float32(factor)
        learn(head, scaled, y)
        difference = np.abs(infer(head, scaled) - infer(plain, x))
        assert difference.max() < 0.05


@every_head
def test_one_wild_row_is_survived(name: str) -> None:
    """A row a million times too large costs no more than a point of error two hundred rows on."""
    x, y = clouds(3000, 20, 4)
    fresh, truth = clouds(3000, 20, 4, seed=1)
    calm, shaken = build(name, 20, 4), build(name, 20, 4)
    learn(calm, x, y)
    learn(shaken, x[:2800], y[:2800])
    learn(shaken, x[:1] * np.float32(1e6), (y[:1] + 1) % 4)
    learn(shaken, x[2800:], y[2800:])
    worse = error(infer(shaken, fresh), truth) - error(infer(calm, fresh), truth)
    assert worse < 0.01


@every_head
def test_classes_that_trade_places_are_learned_anew(name: str) -> None:
    """After 30,000 rows of one world the classes are renamed; 8,000 later that is learned."""
    x, y = clouds(30_000, 20, 4)
    after, truth = clouds(8000, 20, 4, seed=1)
    fresh, fresh_truth = clouds(2000, 20, 4, seed=2)
    head = build(name, 20, 4)
    learn(head, x, y)
    before = error(infer(head, fresh), fresh_truth)
    learn(head, after, (truth + 1) % 4)
    assert error(infer(head, fresh), (fresh_truth + 1) % 4) < before + 0.03


def turning_code(x: F32, share: float) -> F32:
    """Features max(W x, 0)² whose weights turn from one random set to another."""
    rng = np.random.default_rng(5)
    one, other = rng.standard_normal((2, 100, x.shape[1])) / np.sqrt(x.shape[1])
    weights = one * np.cos(share * np.pi / 2) + other * np.sin(share * np.pi / 2)
    return np.ascontiguousarray(np.maximum(x @ weights.T, 0) ** 2, np.float32)


@every_head
def test_a_code_that_moves_is_followed(name: str) -> None:
    """Learned while the features turn, a head reads the finished code nearly as a fresh one does.

    Fresh means a head that was shown the finished code for the whole stream.
    """
    x, y = clouds(12_000, 20, 6, spread=1.5)
    fresh, truth = clouds(4000, 20, 6, seed=1, spread=1.5)
    moved, still = build(name, 100, 6), build(name, 100, 6)
    for a in range(0, 12_000, 100):
        share = min(1.0, a / 6000)
        learn(moved, turning_code(x[a : a + 100], share), y[a : a + 100])
        learn(still, turning_code(x[a : a + 100], 1.0), y[a : a + 100])
    finished = turning_code(fresh, 1.0)
    errors = [error(infer(head, finished), truth) for head in (moved, still)]
    assert errors[0] < errors[1] + 0.03, errors


@every_head
def test_inputs_that_never_speak_stay_silent(name: str) -> None:
    """Dead inputs among live ones leave no trace, and change no score when they stay dead."""
    x, y = clouds(3000, 10, 3)
    wide = np.ascontiguousarray(np.hstack([x, np.zeros_like(x)]))
    head = build(name, 20, 3)
    learn(head, wide, y)
    assert not head.arrays()[LEARNED[name]][:, 10:20].any()


@every_head
@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes_are_enough(name: str, classes: int) -> None:
    """One class, or two, is no special case."""
    x, y = clouds(500, 6, classes)
    head = build(name, 6, classes)
    assert np.isfinite(learn(head, x, y)).all()
    assert error(infer(head, x), y) < 0.1


@every_head
def test_labels_outside_the_classes_teach_nothing(name: str) -> None:
    """A label that is no class is taken as none, rather than writing where it should not."""
    x, _ = clouds(50, 6, 3)
    head = build(name, 6, 3)
    learn(head, x, np.full(50, 3, np.int32))
    assert not head.arrays()[LEARNED[name]].any()


def digit_features() -> tuple[tuple[F32, I32], tuple[F32, I32]]:
    """Bundled digits as cosines with 300 training rows, above their mean, cubed."""
    data = load("optdigits")
    sets: list[Any] = []
    units = None
    for part in (data.train, data.test):
        x = part.X.reshape(len(part.X), -1).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        units = x[:300] if units is None else units
        cosines = x @ units.T
        above = np.maximum(cosines - cosines.mean(axis=1, keepdims=True), 0) ** 3
        sets.append((np.ascontiguousarray(above), np.ascontiguousarray(part.y, np.int32)))
    return sets[0], sets[1]


@every_head
def test_digits_of_other_writers_are_read(name: str) -> None:
    """On plain features of the bundled digits one pass leaves at most 6 % test error."""
    (x, y), (fresh, truth) = digit_features()
    head = build(name, 300, 10)
    learn(head, x, y)
    assert error(infer(head, fresh), truth) <= 0.06
