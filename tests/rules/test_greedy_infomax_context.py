"""What contexts learn: the gradient that `lru` carries along is that of the whole past."""

import math
from typing import Any

import numpy as np
import pytest
from naive import greedy_infomax_gru
from naive.greedy_infomax_lru import Unit
from numpy.typing import NDArray
from rules.infomax_streams import STREAMS, by_turns, learn, module, turning

from streamlearn.kernels.random import uniform
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax import GreedyInfomax

pytestmark = pytest.mark.xdist_group("greedy_infomax")

Values = dict[str, NDArray[np.float64]]
ROWS = 60


def unit_loss(values: Values, zn: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Sum over rows of the contexts' overlaps with targets, everything computed from the start."""
    nu, theta, log_gamma = values["recurrent"]
    pole = np.exp(-np.exp(nu) + 1j * np.exp(theta))
    mix = values["mix"][0] + 1j * values["mix"][1]
    h, total = np.zeros(len(nu), complex), 0.0
    for code, wanted in zip(zn, target, strict=True):
        h = pole * h + np.exp(log_gamma) * (code @ mix)
        c = np.concatenate([h.real, h.imag]) / math.sqrt(np.mean(np.abs(h) ** 2) + 1e-4)
        total += c @ wanted
    return total


def slope_of(function: Any, values: Values, name: str, at: tuple[int, ...]) -> float:
    """One derivative by central differences."""
    ends = []
    for side in (1e-5, -1e-5):
        moved = {key: array.copy() for key, array in values.items()}
        moved[name][at] += side
        ends.append(function(moved))
    return (ends[0] - ends[1]) / 2e-5


def test_traces_give_the_gradient_through_time() -> None:
    """In float64, over 60 rows, the twin's carried gradient is that of the unrolled sum."""
    rng = np.random.default_rng(1)
    n, H = 4, 6
    start = {
        "recurrent": np.stack(
            [
                np.log(-np.log(rng.uniform(0.8, 0.99, n))),
                np.log(rng.uniform(0.01, 0.5, n)),
                rng.uniform(-2, 0, n),
            ]
        ),
        "mix": rng.standard_normal((2, H, n)),
    }
    zn, target = rng.random((ROWS, H)), rng.standard_normal((ROWS, 2 * n))
    unit, moment = Unit(start, H), None
    found: Values = {name: np.zeros_like(array) for name, array in start.items()}
    for code, wanted in zip(zn, target, strict=True):
        moment = unit.advance(moment, code)
        lines, mix, _ = unit.gradients(moment, wanted)
        found["recurrent"] += lines
        found["mix"] += mix
    for name, array in start.items():
        for at in np.ndindex(array.shape):
            slope = slope_of(lambda values: unit_loss(values, zn, target), start, name, at)
            assert math.isclose(found[name][at], slope, rel_tol=1e-6, abs_tol=1e-6), (name, at)


def loss_at(part: GreedyInfomax, values: Values, x: F32, row: int) -> float:
    """The contrast of one row, from arrays alone and from the very first row on."""
    own = np.arange(row % STREAMS, row + 1, STREAMS)
    weights, options = part.arrays()["weights"].astype(np.float64), part.options
    negatives = part.arrays()["stored_x"][:row]
    others = [m for m in range(row) if m % STREAMS != row % STREAMS]
    seed = part.place.seed
    drawn = [
        negatives[others[int(len(others) * uniform(seed, row, 16 + j))]]
        for j in range(options.negatives)
    ]
    rows = np.maximum(np.concatenate([x[own], drawn]).astype(np.float64) @ weights, 0)
    codes = rows / np.sqrt(np.mean(rows**2, axis=1) + 1e-4)[:, None]
    nu, theta, log_gamma = values["recurrent"]
    pole = np.exp(-np.exp(nu) + 1j * np.exp(theta))
    mix, h, contexts = values["mix"][0] + 1j * values["mix"][1], np.zeros(len(nu), complex), []
    for code in codes[: len(own)]:
        h = pole * h + np.exp(log_gamma) * (code @ mix)
        root = math.sqrt(np.mean(np.abs(h) ** 2) + 1e-4)
        contexts.append(np.concatenate([h.real, h.imag]) / root)
    total = 0.0
    for k in range(options.steps):
        query = contexts[-2 - k] @ values["predict"][k] / options.units
        scores = np.concatenate([codes[len(own) - 1 :] @ query])
        total += math.log(np.exp(scores - scores[0]).sum())
    return total / options.steps


@pytest.mark.parametrize("name", ["recurrent", "mix", "predict"])
def test_the_kernels_gradient_is_that_of_the_loss(name: str) -> None:
    """With weights that stand still, row 100 moves them by its loss's slope."""
    part = module({"context": "lru", "units": 6, "rate": 0.0, "steps": 2, "warm_rows": 30})
    x, origin, last = turning(101), by_turns(101), 100
    learn(part, x[:last], origin.between(0, last))
    before = part.arrays()[f"{name}_moments"][0].astype(np.float64)
    learn(part, x[last:], origin.between(last, last + 1), last)
    found = (part.arrays()[f"{name}_moments"][0] - 0.9 * before) / 0.1
    values = {key: part.arrays()[key].astype(np.float64) for key in ("recurrent", "mix", "predict")}
    rng = np.random.default_rng(0)
    for at in rng.permutation([*np.ndindex(values[name].shape)])[:40]:
        slope = slope_of(lambda moved: loss_at(part, moved, x, last), values, name, tuple(at))
        assert math.isclose(found[tuple(at)], slope, rel_tol=5e-3, abs_tol=2e-6), at


def test_the_gated_unit_learns_by_the_slope_of_one_step() -> None:
    """With the state before held fixed, gradients of gates and code are those of differences."""
    rng = np.random.default_rng(2)
    n, H = 3, 4
    values = {"mix": rng.standard_normal((3, H + n + 1, n)), "zn": rng.random(H)}
    old, wanted = rng.uniform(-1, 1, n), rng.standard_normal(n)
    before = greedy_infomax_gru.Moment(old, *[np.zeros(n)] * 5)

    def loss(moved: Values) -> float:
        unit = greedy_infomax_gru.Unit(moved)
        return float(unit.context(unit.advance(before, moved["zn"]))[0] @ wanted)

    unit = greedy_infomax_gru.Unit(values)
    weights, code = unit.gradients(unit.advance(before, values["zn"]), wanted, values["zn"])
    for name, found in (("mix", weights), ("zn", code)):
        for at in np.ndindex(found.shape):
            assert math.isclose(found[at], slope_of(loss, values, name, at), abs_tol=1e-7), at


def now_and_then(rows: int) -> F32:
    """Streams [B, D] that show one of four patterns now and then and noise between; it changes."""
    rng = np.random.default_rng(5)
    patterns = 2 * rng.standard_normal((4, 12))
    shown = rng.integers(0, 4, STREAMS)
    x = 0.5 * rng.standard_normal((rows, 12))
    for b in range(rows):
        if rng.random() < 0.02:
            shown[b % STREAMS] = rng.integers(0, 4)
        if rng.random() < 0.5:
            x[b] += patterns[shown[b % STREAMS]]
    return np.ascontiguousarray(x, np.float32)


def test_a_context_foresees_what_a_code_cannot() -> None:
    """Where the row before says little and many before it say much, a context tells it better."""
    losses = {}
    for context in ("none", "lru", "gru"):
        part = module({"context": context, "negatives_from": "any", "rate": 3e-3})
        learn(part, now_and_then(6000), by_turns(6000))
        losses[context] = part.gauges()["loss"]
    assert losses["lru"] < losses["none"] - 0.05
    assert losses["gru"] < losses["none"] - 0.05
