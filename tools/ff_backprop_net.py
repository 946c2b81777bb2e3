"""Two hidden layers with and without a backward pass, compiled: what locality costs or gives.

The network and its trimmings are those of local projection on decorrelated inputs:

    z1 = x / rms(x)                     h1 = relu(W1 z1 + b1)
    z2 = [h1 / rms(h1), z1]             h2 = relu(W2 z2 + b2)
    p = softmax(M h),  e = q - p,  q the smoothed target
    M += rate_m e h^T,  W += rate a v^T,  b += rate a,  v = P z |z|^2 / (z^T P z)

`P` is the inverse of the damped second moments of a layer's input. Local: each layer has its own M
and a_i = [h_i > 0] sum_c e_c M_ci, and the second layer reads the averaged first one. Backprop:
there is one M, over h2; a1 is the gradient of its loss through W2 and through the division by the
rms of h1. Everything else is the same code.

One row is learned after the other, but W is written once a block: until then a row's steps stand
beside it as rank-one terms, W + sum_j v_j a_j^T, which moves a third of the memory.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs, active_product
from streamlearn.part import F32, I32

U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]

BLOCK: Final = 25
AVERAGE_EVERY: Final = 100
WAITING_BLOCKS: Final = 8
DAMPING: Final = 3.0
DECAY_ROWS: Final = np.float32(2000)
LABEL_SMOOTHING: Final = np.float32(0.1)


class Layer(NamedTuple):
    """H units on D inputs with their read-out, and the steps that W still has to take."""

    w: F32
    """W [D, H], a row an input, so that zeros cost nothing."""
    b: F32
    """[H]"""
    m: F32
    """M [K, H]"""
    v: F32
    """[BLOCK, D]"""
    a: F32
    """[BLOCK, H], rate included"""


class Room(NamedTuple):
    """Scratch of a layer for one row; holds nothing between rows."""

    active: U32
    """[D]"""
    value: F32
    """[D]"""
    h: F32
    """[H]"""
    p: F32
    """[K] becomes e = q - p"""


@inlined
def _dot(one: F32, other: F32) -> np.float32:
    """Sum of one_i other_i over the length of `other`."""
    total = np.float32(0)
    for i in range(other.shape[0]):
        total += one[i] * other[i]
    return total


@inlined
def _add(out: F32, factor: np.float32, x: F32) -> None:
    """out += factor x, over the length of `out`."""  # noqa: D403  an equation
    for i in range(out.shape[0]):
        out[i] += factor * x[i]


@inlined
def _respond(layer: Layer, z: F32, pending: int, room: Room) -> int:
    """Write h = relu((W + sum_j v_j a_j^T) z + b), z [D]; returns how many inputs are active."""
    n = active_inputs(z, room.active, room.value)
    h, b = room.h, layer.b
    active_product(layer.w, room.active[:n], room.value[:n], h)
    for j in range(pending):
        _add(h, _dot(layer.v[j], z), layer.a[j])
    for i in range(h.shape[0]):
        h[i] = max(h[i] + b[i], np.float32(0))
    return n


@inlined
def _errors(m: F32, y: int, room: Room) -> None:
    """Write e = q - softmax(M h) [K]."""
    p, largest, total = room.p, np.float32(-np.inf), np.float32(0)
    for k in range(p.shape[0]):
        p[k] = _dot(m[k], room.h)
        largest = max(largest, p[k])
    for k in range(p.shape[0]):
        p[k] = np.exp(p[k] - largest)
        total += p[k]
    rest = LABEL_SMOOTHING / np.float32(p.shape[0] - 1)
    for k in range(p.shape[0]):
        p[k] = (np.float32(1) - LABEL_SMOOTHING if k == y else rest) - p[k] / total


@inlined
def _credit_from_read_out(m: F32, room: Room, rate_m: np.float32, a: F32) -> None:
    """Write a_i = [h_i > 0] sum_c e_c M_ci [H], then move M += rate_m e h^T."""
    a[:] = 0
    for k in range(m.shape[0]):
        _add(a, room.p[k], m[k])
        _add(m[k], rate_m * room.p[k], room.h)
    _gate(room.h, np.float32(1), a)


@inlined
def _gate(h: F32, factor: np.float32, a: F32) -> None:
    """Keep factor a_i where h_i > 0, else 0."""
    for i in range(a.shape[0]):
        a[i] = factor * a[i] if h[i] > 0 else np.float32(0)


@inlined
def _finish(layer: Layer, row: int, rate: np.float32) -> None:
    """b += rate a and a *= rate, for the pending step of a row."""  # noqa: D403  an equation
    a = layer.a[row]
    for i in range(a.shape[0]):
        a[i] *= rate
    _add(layer.b, np.float32(1), a)


@inlined
def _fade(rows: int) -> np.float32:
    """f(t) = (1 + t / 2000)^-1/2."""
    result: np.float32 = np.float32(1) / np.sqrt(np.float32(1) + np.float32(rows) / DECAY_ROWS)
    return result


@kernel
def learn_layer(z: F32, y: I32, plain: Plain, scratch: Plain, rates: Plain) -> None:
    """One layer learns rows z [B, D] of classes y [B] from its own read-out.

    plain: a `Layer` whose v holds the rows' directions; its b, m and a move. scratch: a `Room`.
    rates: of W, of M, rows learned before.
    """
    layer, room = Layer(*plain), Room(*scratch)
    for r in range(z.shape[0]):
        fade = _fade(rates[2] + r)
        _respond(layer, z[r], r, room)
        _errors(layer.m, y[r], room)
        _credit_from_read_out(layer.m, room, rates[1] * fade, layer.a[r])
        _finish(layer, r, rates[0] * fade)


@inlined
def _second_input(h: F32, x: F32, z: F32) -> np.float32:
    """Write z = [h / rms(h), x]; returns 1 / rms(h)."""
    n = h.shape[0]
    scale: np.float32 = np.float32(1) / np.sqrt(_dot(h, h) / np.float32(n) + np.float32(1e-12))
    for i in range(n):
        z[i] = scale * h[i]
    for d in range(x.shape[0]):
        z[n + d] = x[d]
    return scale


@inlined
def _direction(inverse: F32, z: F32, n: int, room: Room, v: F32) -> None:
    """Write v = P z |z|^2 / (z^T P z) [D], or z where P has no rows yet."""
    if inverse.shape[0]:
        active_product(inverse, room.active[:n], room.value[:n], v)
        scale = _dot(z, z) / _dot(z, v)
        for d in range(v.shape[0]):
            v[d] *= scale
    else:
        for d in range(v.shape[0]):
            v[d] = z[d]


@inlined
def _credit_below(above: Layer, row: int, z: F32, scale: np.float32, h: F32, a: F32) -> None:
    """Write the credit a [H] of h through W2 and through z = h / rms(h).

    g = (W2 + sum_j v_j a_j^T) a2;  a = [h > 0] (g - z mean(g z)) / rms(h)
    """
    a2 = above.a[row]
    for i in range(a.shape[0]):
        a[i] = _dot(above.w[i], a2)
    for j in range(row):
        _add(a, _dot(above.a[j], a2), above.v[j])
    _add(a, -_dot(z, a) / np.float32(a.shape[0]), z)
    _gate(h, scale, a)


@kernel
def learn_through(
    rows: Plain, below: Plain, above: Plain, scratches: Plain, inverse: F32, rates: Plain
) -> None:
    """Two layers learn rows by backprop from the upper read-out.

    rows: z1 [B, D], y [B], z2 [B, H + D], which is written. below, above: a `Layer` each; the
    lower v holds the rows' directions. scratches: two `Room`. inverse: P of the upper layer.
    rates: as for `learn_layer`.
    """
    x, y, deep = rows
    layer1, layer2, room1, room2 = (
        Layer(*below),
        Layer(*above),
        Room(*scratches[0]),
        Room(*scratches[1]),
    )
    for r in range(x.shape[0]):
        fade = _fade(rates[2] + r)
        _respond(layer1, x[r], r, room1)
        scale = _second_input(room1.h, x[r], deep[r])
        n = _respond(layer2, deep[r], r, room2)
        _errors(layer2.m, y[r], room2)
        _credit_from_read_out(layer2.m, room2, rates[1] * fade, layer2.a[r])
        _credit_below(layer2, r, deep[r], scale, room1.h, layer1.a[r])
        _direction(inverse, deep[r], n, room2, layer2.v[r])
        _finish(layer2, r, rates[0] * fade)
        _finish(layer1, r, rates[0] * fade)


class Moments:
    """Second moments of a layer's input, and the inverse that steps go through.

    P = (S / t + 3 (tr S / t) / D I)^-1, made anew at t = 50, then whenever t has grown by half,
    later after every 1000 rows, later still by a tenth.
    """

    def __init__(self, width: int) -> None:
        self.sum, self._product = (np.zeros((width, width), np.float32) for _ in range(2))
        self.rows, self.due = 0, 50
        self._waiting: list[F32] = []
        self.inverse: F32 = np.zeros((0, 0), np.float32)

    def add(self, z: F32) -> None:
        """Take in the rows z [B, D]."""
        self._waiting.append(z)
        self.rows += len(z)
        if self.rows >= self.due or len(self._waiting) == WAITING_BLOCKS:
            waiting = np.concatenate(self._waiting)
            self.sum += np.matmul(waiting.T, waiting, out=self._product)
            self._waiting.clear()
        if self.rows >= self.due:
            self.due = self.rows + max(min(self.rows // 2, 1000), self.rows // 10)
            mean = self.sum / np.float32(self.rows)
            mean[np.diag_indices_from(mean)] += np.float32(DAMPING * np.trace(mean) / len(mean))
            self.inverse = np.ascontiguousarray(np.linalg.inv(mean))

    def directions(self, z: F32, v: F32) -> None:
        """Write v = P z |z|^2 / (z^T P z) for the rows z [B, D]."""
        v[: len(z)] = z
        if len(self.inverse):
            v[: len(z)] = z @ self.inverse
            along = np.einsum("bd,bd->b", z, v[: len(z)])
            v[: len(z)] *= (np.square(z).sum(axis=1) / along)[:, None]


class Net:
    """Two layers, the second of which also sees the input.

    Parameters
    ----------
    widths
        Inputs, units of a layer, classes.
    backward
        Whether the error of the one read-out goes down; else each layer has its own.
    rates
        First rates of W and M; they fall as (1 + t / 2000)^-1/2.
    seed
        Of the first weights.

    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        *,
        backward: bool,
        rates: tuple[float, float],
        seed: int = 0,
    ) -> None:
        inputs, units, classes = widths
        random = np.random.default_rng(seed)
        both = (inputs, units + inputs)
        self.layers = tuple(_first(random, width, units, classes) for width in both)
        self.averaged = tuple(tuple(a.copy() for a in layer[:3]) for layer in self.layers)
        self.rooms = tuple(tuple(_room(width, units, classes)) for width in both)
        self.moments = tuple(Moments(width) for width in both)
        self._step = np.zeros((both[1], units), np.float32)
        self.backward = backward
        self.rates = (np.float32(rates[0]), np.float32(rates[1]))
        self.learned = 0

    def learn(self, x: F32, y: I32) -> I32:
        """Predict, then learn, the rows x [n, D] / rms one by one.

        Returns the classes [n, 3] by both layers together, the second one, the first one; with a
        backward pass only the second one means anything.
        """
        said = np.zeros((len(x), 3), np.int32)
        for begin in range(0, len(x), BLOCK):
            here = slice(begin, begin + BLOCK)
            said[here], deep = self._answered(x[here])
            self._learn_block(x[here], y[here], deep)
        return said

    def _learn_block(self, x: F32, y: I32, deep: F32) -> None:
        rates, layers = (*self.rates, self.learned), tuple(map(tuple, self.layers))
        self.moments[0].directions(x, self.layers[0].v)
        if self.backward:
            rows = (x, y, deep)
            learn_through(rows, layers[0], layers[1], self.rooms, self.moments[1].inverse, rates)
        else:
            self.moments[1].directions(deep, self.layers[1].v)
            learn_layer(x, y, layers[0], self.rooms[0], rates)
            learn_layer(deep, y, layers[1], self.rooms[1], rates)
        for layer, moments, z in zip(self.layers, self.moments, (x, deep), strict=True):
            step = self._step[: len(layer.w)]
            layer.w[...] += np.matmul(layer.v[: len(x)].T, layer.a[: len(x)], out=step)
            moments.add(z)
        self.learned += len(x)
        if self.learned % AVERAGE_EVERY == 0:
            self._average(np.float32(5 / (self.learned // AVERAGE_EVERY + 4)))

    def _average(self, share: np.float32) -> None:
        for layer, averaged in zip(self.layers, self.averaged, strict=True):
            for new, mean in zip(layer[:3], averaged, strict=True):
                mean[...] += share * (new - mean)

    def answers(self, x: F32) -> I32:
        """Likeliest classes [n, 3] of the rows x [n, D] / rms under the averaged weights."""
        return self._answered(x)[0]

    def _answered(self, x: F32) -> tuple[I32, F32]:
        (w1, b1, m1), (w2, b2, m2) = self.averaged
        h1 = np.maximum(x @ w1 + b1, 0)
        rms = np.sqrt(np.square(h1).mean(axis=1, keepdims=True) + np.float32(1e-12))
        deep = np.hstack((h1 / rms, x))
        first = _log_softmax(h1 @ m1.T)
        second = _log_softmax(np.maximum(deep @ w2 + b2, 0) @ m2.T)
        scores = (first + second, second, first)
        return np.stack([s.argmax(axis=1) for s in scores], axis=1).astype(np.int32), deep


def _log_softmax(scores: F32) -> F32:
    top = scores - scores.max(axis=1, keepdims=True)
    result: F32 = top - np.log(np.exp(top).sum(axis=1, keepdims=True))
    return result


def _first(random: np.random.Generator, width: int, units: int, classes: int) -> Layer:
    """W ~ N(0, 2 / D), b = 0, M ~ N(0, 1 / H)."""
    return Layer(
        w=random.normal(0, np.sqrt(2 / width), (width, units)).astype(np.float32),
        b=np.zeros(units, np.float32),
        m=random.normal(0, np.sqrt(1 / units), (classes, units)).astype(np.float32),
        v=np.zeros((BLOCK, width), np.float32),
        a=np.zeros((BLOCK, units), np.float32),
    )


def _room(width: int, units: int, classes: int) -> Room:
    return Room(
        active=np.zeros(width, np.uint32),
        value=np.zeros(width, np.float32),
        h=np.zeros(units, np.float32),
        p=np.zeros(classes, np.float32),
    )
