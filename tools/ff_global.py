"""One goodness for each layer, or one for the whole net: the question that no configuration asks.

Two layers of units, labels in the input, hard wrong ones. For a row z = x / rms(x) under label k:

    h1 = relu(W1 z + s L_k),  u = h1 / rms(h1),  h2 = relu(W2 u),  G_l = mean h_l^2

With d_l = scale (G_l(y) - G_l(wrong)) - margin, a layer's steps are weighted by c_l = sigmoid(-d_l)
where goodness is local, and by c = sigmoid(-(d_1 + d_2)) where it is global: a layer above that
already tells the labels apart then stills the one below, and the other way round. Nothing else
differs, nothing goes backwards, and the wrong label is drawn from the first layer's beliefs.
The answer is the label with the largest sum of goodness under averaged weights.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs, active_product
from streamlearn.kernels.random import uniform
from streamlearn.part import F32, I32

Plain = tuple[Any, ...]

SCALE: Final = np.float32(8)
MARGIN: Final = np.float32(1)
STRENGTH: Final = np.float32(28)
DECAY_ROWS: Final = np.float32(2000)
BLOCK: Final = 100
"""Rows from one step of the average to the next."""


class Weights(NamedTuple):
    """H units twice on D inputs and K labels."""

    w1: F32
    """[D, H]"""
    labels: F32
    """L [K, H]"""
    w2: F32
    """[H, H]"""


class Room(NamedTuple):
    """Scratch for one row under its label and a wrong one."""

    active: Any
    value: F32
    base: F32
    """[H] W1 z"""
    h1: F32
    """[2, H]"""
    u: F32
    """[2, H]"""
    h2: F32
    """[2, H]"""
    beliefs: F32
    """[K]"""


@inlined
def _square_mean(h: F32) -> np.float32:
    """Mean of the squares of h [H]."""
    total = np.float32(0)
    for i in range(h.shape[0]):
        total += h[i] * h[i]
    return total / np.float32(h.shape[0])


@inlined
def _under_label(weights: Weights, room: Room, k: int, h: F32) -> np.float32:
    """Write h = relu(W1 z + s L_k) [H]; returns its goodness."""
    base, label = room.base, weights.labels[k]
    for i in range(h.shape[0]):
        h[i] = max(base[i] + STRENGTH * label[i], np.float32(0))
    return _square_mean(h)


@inlined
def _second(weights: Weights, room: Room, lane: int, goodness: np.float32) -> np.float32:
    """Write u and h2 of a lane; returns its goodness in the second layer."""
    h1, u = room.h1[lane], room.u[lane]
    length: np.float32 = np.float32(1) / np.sqrt(goodness + np.float32(1e-12))
    for i in range(u.shape[0]):
        u[i] = length * h1[i]
    n = active_inputs(u, room.active, room.value)
    h2 = room.h2[lane]
    active_product(weights.w2, room.active[:n], room.value[:n], h2)
    for i in range(h2.shape[0]):
        h2[i] = max(h2[i], np.float32(0))
    return _square_mean(h2)


@inlined
def _wrong_label(weights: Weights, room: Room, y: int, dice: float) -> int:
    """Draw a label that is not y from softmax(scale G1)."""
    beliefs, largest, total = room.beliefs, np.float32(0), np.float32(0)
    for k in range(beliefs.shape[0]):
        beliefs[k] = SCALE * _under_label(weights, room, k, room.h1[1])
        largest = max(largest, beliefs[k] if k != y else np.float32(0))
    for k in range(beliefs.shape[0]):
        beliefs[k] = np.exp(min(beliefs[k] - largest, np.float32(0))) if k != y else np.float32(0)
        total += beliefs[k]
    left, chosen = np.float32(dice) * total, -1
    for k in range(beliefs.shape[0]):
        if k != y and (chosen < 0 or left > 0):
            chosen = k
            left -= beliefs[k]
    return chosen


@inlined
def _step(w: F32, inputs: F32, out: F32, rate: np.float32) -> None:
    """W += rate inputs out^T; w [D, H] moves."""
    for d in range(inputs.shape[0]):
        step = rate * inputs[d]
        if step != 0:
            row = w[d]
            for i in range(row.shape[0]):
                row[i] += step * out[i]


@inlined
def _move(weights: Weights, room: Room, z: F32, y: int, wrong: int, rates: Plain) -> None:
    """Steps of both layers, up for the label and down for the wrong one; rates: of each layer."""
    units, width = room.u.shape[1], np.float32(z.shape[0])
    for lane in range(2):
        sign = np.float32(1 - 2 * lane)
        rate = sign * rates[0] / (width + STRENGTH * STRENGTH)
        h1, label = room.h1[lane], weights.labels[wrong if lane else y]
        _step(weights.w1, z, h1, rate)
        for i in range(units):
            label[i] += rate * STRENGTH * h1[i]
        _step(weights.w2, room.u[lane], room.h2[lane], sign * rates[1] / np.float32(units))


@kernel
def _learn(x: F32, y: I32, plain: Plain, scratch: Plain, numbers: Plain) -> None:
    """Learn rows x [B, D] / rms of classes y [B]; the weights move.

    plain: `Weights`. scratch: `Room`. numbers: rate, whether goodness is global, rows learned
    before, seed.
    """
    weights, room = Weights(*plain), Room(*scratch)
    rate, is_global, learned, seed = numbers
    for b in range(x.shape[0]):
        n = active_inputs(x[b], room.active, room.value)
        active_product(weights.w1, room.active[:n], room.value[:n], room.base)
        wrong = _wrong_label(weights, room, y[b], uniform(seed, learned + b, 0))
        g1, g1_wrong = (
            _under_label(weights, room, y[b], room.h1[0]),
            _under_label(weights, room, wrong, room.h1[1]),
        )
        g2, g2_wrong = _second(weights, room, 0, g1), _second(weights, room, 1, g1_wrong)
        d1, d2 = SCALE * (g1 - g1_wrong) - MARGIN, SCALE * (g2 - g2_wrong) - MARGIN
        if is_global:
            d1 = d2 = d1 + d2
        fade = rate / np.sqrt(np.float32(1) + np.float32(learned + b) / DECAY_ROWS)
        c1, c2 = fade / (np.float32(1) + np.exp(d1)), fade / (np.float32(1) + np.exp(d2))
        _move(weights, room, x[b], y[b], wrong, (c1, c2))


class GlobalNet:
    """Two layers that learn by contrast.

    Parameters
    ----------
    widths
        Inputs, units of a layer, classes.
    together
        Whether goodness is summed over the layers before it is judged.
    rate
        First rate; it falls as (1 + t / 2000)^-1/2.
    seed
        Of the first weights and the wrong labels.

    """

    def __init__(
        self, widths: tuple[int, int, int], *, together: bool, rate: float, seed: int = 0
    ) -> None:
        inputs, units, classes = widths
        random = np.random.default_rng(seed)
        shapes = ((inputs, units), (classes, units), (units, units))
        spread = (inputs, inputs, units)
        self.weights = Weights(
            *(
                (random.standard_normal(shape) / np.sqrt(n)).astype(np.float32)
                for shape, n in zip(shapes, spread, strict=True)
            )
        )
        self.averaged = Weights(*(array.copy() for array in self.weights))
        self._room = Room(
            active=np.zeros(max(inputs, units), np.uint32),
            value=np.zeros(max(inputs, units), np.float32),
            base=np.zeros(units, np.float32),
            h1=np.zeros((2, units), np.float32),
            u=np.zeros((2, units), np.float32),
            h2=np.zeros((2, units), np.float32),
            beliefs=np.zeros(classes, np.float32),
        )
        self._numbers = (np.float32(rate), together)
        self._seed = seed
        self.learned = 0

    def learn(self, x: F32, y: I32) -> None:
        """Learn the rows x [n, D] / rms one by one."""
        for begin in range(0, len(x), BLOCK):
            here = slice(begin, begin + BLOCK)
            numbers = (*self._numbers, self.learned, self._seed)
            _learn(x[here], y[here], tuple(self.weights), tuple(self._room), numbers)
            self.learned += len(x[here])
            share = np.float32(min(1.0, 5 / (self.learned // BLOCK + 4)))
            for raw, mean in zip(self.weights, self.averaged, strict=True):
                mean[...] += share * (raw - mean)

    def answers(self, x: F32) -> I32:
        """Labels [n] with the largest summed goodness for the rows x [n, D] / rms."""
        w1, labels, w2 = self.averaged
        base = x @ w1
        scores = np.zeros((len(x), len(labels)), np.float32)
        for k, label in enumerate(labels):
            h1 = np.maximum(base + STRENGTH * label, 0)
            g1 = np.square(h1).mean(axis=1)
            u = h1 / np.sqrt(g1 + np.float32(1e-12))[:, None]
            scores[:, k] = g1 + np.square(np.maximum(u @ w2, 0)).mean(axis=1)
        said: I32 = scores.argmax(axis=1).astype(np.int32)
        return said
