"""`least_squares`: recursive least squares on one-hot targets, the exact ridge fit, row by row.

For a row x [D + 1] (scaled, the last input 1) with label y, e = onehot(y) - W x:

    g = P x,   r = x'g,   R = max(1, r / 1000)
    W += e g' / (R + r)
    P <- P - g g' / (R + r), then P_dd <- min(P_dd + Q, 1 / ridge)
    Q = forgetting² / ((D + 1) (|x|² + ridge))

With forgetting 0 this is ridge regression on all rows so far (Plackett 1950), P the inverse of
ridge I + sum x x'. Forgetting is the random walk of Kalman's filter (Ljung & Gunnarsson 1990): each
row the weights may have moved a little, by variance Q. Where all directions are alike, r settles at
`forgetting`: every row then corrects about that share of its own error, however long the stream,
for about forgetting / 2 more squared error than a fit that never forgets, whatever D and the scale.

Why not P / lambda: there P grows without bound in every direction that the rows do not show (dead
inputs, constant rows), and its large and small eigenvalues drift apart as the rows' power, too far
for float32. Here they drift apart as its root, and no diagonal entry of P ever passes 1 / ridge, so
that no entry of P does. R bounds what one wild row does: P shrinks to 1/1001 in its direction.

P is stored as its lower triangle, in panels of four rows, and it must move once a row: that is the
time there is. So the change by row t is held back (`held`, `held_step`) and made in the sweep that
multiplies P with row t + 1. What is held back is part of the state, so block cuts change no bit.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import HeadOptions
from streamlearn.errors import ConfigError
from streamlearn.heads.base import Head
from streamlearn.heads.row import learn_size, read_row, scale_of
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32, Arrays, Place, Rows

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

_PANEL = 4
"""Rows of P that move together, so that the vectors are loaded a quarter as often."""
_LARGEST_GAIN = np.float32(1000.0)


class _State(NamedTuple):
    """What learning moves; D' is D + 1 rounded up to whole panels, the rest stays 0."""

    weights: F32
    """W [K, D']."""
    covariance: F32
    """P, packed: panel i has rows 4i … 4i + 3, each with columns 0 … 4i + 3; what is held back is
    not yet in it."""
    held: F32
    """g [D'] of the last labelled row."""
    held_step: F32
    """[1] its 1 / (R + r)."""
    labelled: I64
    """[1] labelled rows so far."""
    size: F64
    """[1] see `row.scale_of`."""


class _Setting(NamedTuple):
    """The options as the kernel takes them."""

    ridge: np.float32
    walk: np.float32
    """forgetting² / (D + 1)"""


class _Scratch(NamedTuple):
    """Room for one row; holds nothing between rows."""

    x: F32
    """[D'] the row."""
    g: F32
    """[D'] P x."""


@inlined
def _start(row: int) -> int:
    """Where a row of the packed P begins."""
    panel = row // _PANEL
    return 8 * panel * (panel + 1) + (row % _PANEL) * _PANEL * (panel + 1)


@inlined
def _left_of_diagonal(state: _State, first: int, x: F32, g: F32) -> None:
    """Four rows of P, columns before them: P -= c h h', g += P x and its mirror image.

    covariance moves; held h and x [D'] are read; g [D'] is added to.
    """
    a, length = _start(first), first + _PANEL
    p0, p1 = state.covariance[a : a + first], state.covariance[a + length : a + length + first]
    a += 2 * length
    p2, p3 = state.covariance[a : a + first], state.covariance[a + length : a + length + first]
    h, c = state.held, state.held_step[0]
    c0, c1, c2, c3 = c * h[first], c * h[first + 1], c * h[first + 2], c * h[first + 3]
    x0, x1, x2, x3 = x[first], x[first + 1], x[first + 2], x[first + 3]
    g0 = g1 = g2 = g3 = np.float32(0)
    for j in range(first):
        p0[j] -= c0 * h[j]
        p1[j] -= c1 * h[j]
        p2[j] -= c2 * h[j]
        p3[j] -= c3 * h[j]
        g0 += p0[j] * x[j]
        g1 += p1[j] * x[j]
        g2 += p2[j] * x[j]
        g3 += p3[j] * x[j]
        g[j] += (p0[j] * x0 + p1[j] * x1) + (p2[j] * x2 + p3[j] * x3)
    g[first] += g0
    g[first + 1] += g1
    g[first + 2] += g2
    g[first + 3] += g3


@inlined
def _at_diagonal(state: _State, first: int, x: F32, g: F32) -> None:
    """The lower triangle of the four by four on the diagonal, as `_left_of_diagonal`."""
    h, c = state.held, state.held_step[0]
    for i in range(first, first + _PANEL):
        a = _start(i)
        for j in range(first, i + 1):
            p = state.covariance[a + j] - c * h[i] * h[j]
            state.covariance[a + j] = p
            g[i] += p * x[j]
            if j < i:
                g[j] += p * x[i]


@inlined
def _sweep(state: _State, x: F32, g: F32) -> None:
    """P -= c h h' and g = P x in one pass; covariance moves, x [D'] is read, g [D'] is written."""
    g[:] = 0
    for first in range(0, x.shape[0], _PANEL):
        _left_of_diagonal(state, first, x, g)
        _at_diagonal(state, first, x, g)


@inlined
def _walk(state: _State, setting: _Setting, g: F32, step: np.float32, kept: np.float32) -> None:
    """Let the weights' variances grow: P_dd <- min(P_dd + walk, 1 / ridge); moves covariance.

    `kept` is R / (R + r): Cauchy and Schwarz leave each P_dd at least this share, and holding it to
    that keeps rounding from making P indefinite. P is without g g' yet, so it is put back on top.
    """
    most = np.float32(1) / setting.ridge
    for d in range(g.shape[0]):
        place = _start(d) + d
        own = state.covariance[place]
        taken = step * g[d] * g[d]
        left = max(own - taken, own * kept)
        if own > 0 and left < most:
            left = min(left + setting.walk, most)
        state.covariance[place] = left + taken


@inlined
def _dot(a: F32, b: F32) -> np.float32:
    total = np.float32(0)
    for d in range(a.shape[0]):
        total += a[d] * b[d]
    return total


@inlined
def _step(state: _State, setting: _Setting, x: F32, scores: F32, y: int, g: F32) -> None:
    """Learn from one row x [D'] of class y with scores [K]; writes g [D'], moves the state.

    W += (onehot(y) - scores) g' / (R + r), r = x'g, R = max(1, r / 1000)
    """
    _sweep(state, x, g)
    r = max(_dot(x, g), np.float32(0))
    noise = max(np.float32(1), r / _LARGEST_GAIN)
    step = np.float32(1) / (noise + r)
    for k in range(scores.shape[0]):
        target = np.float32(1) if k == y else np.float32(0)
        change = (target - scores[k]) * step
        w = state.weights[k]
        for d in range(g.shape[0]):
            w[d] += change * g[d]
    _walk(state, setting, g, step, noise * step)
    for d in range(g.shape[0]):
        state.held[d] = g[d]
    state.held_step[0] = step


@inlined
def _scores(weights: F32, x: F32, out: F32) -> None:
    """Write out = W x; weights [K, D'] and x [D'] are read, out [K] is written."""
    for k in range(out.shape[0]):
        out[k] = _dot(weights[k], x)


@kernel
def _learn(x: F32, y: I32, out: F32, arrays: Plain, numbers: Plain, room: Plain) -> None:
    """Score each row, then learn from it where y is known.

    x [B, D] and y [B] are read, out [B, K] is written, every array of the state moves. `arrays`,
    `numbers` and `room` are a state, a setting and a scratch as plain tuples.
    """
    state, setting, scratch = _State(*arrays), _Setting(*numbers), _Scratch(*room)
    for b in range(x.shape[0]):
        row = scratch.x
        read_row(x[b], scale_of(state.size), row)
        _scores(state.weights, row, out[b])
        label = y[b]
        if label < 0 or label >= out.shape[1]:
            continue
        now = _Setting(setting.ridge, setting.walk / (_dot(row, row) + setting.ridge))
        _step(state, now, row, out[b], label, scratch.g)
        state.labelled[0] += 1
        learn_size(x[b], state.labelled[0], state.size)


@kernel
def _infer(x: F32, out: F32, weights: F32, size: F64, scratch: F32) -> None:
    """Score rows: x [B, D], weights [K, D'] and size [1] are read, out [B, K] is written."""
    for b in range(x.shape[0]):
        read_row(x[b], scale_of(size), scratch)
        _scores(weights, scratch, out[b])


class LeastSquares(Head):
    """The exact ridge fit of the classes' indicators, kept up to date row by row.

    A row costs one sweep over D² / 2 numbers. Scores are estimates of the classes' probabilities
    that may lie outside 0…1.

    Parameters
    ----------
    options
        Ridge, forgetting, largest width.
    place
        Widths and classes; the seed is not used: nothing is random here.

    Raises
    ------
    ConfigError
        Where more inputs come in than `max_inputs`.

    """

    GAUGES = ("weight_norm", "mean_variance")

    class Options(HeadOptions, frozen=True, kw_only=True):
        """`[[head]]` with `kind = "least_squares"`: recursive least squares."""

        ridge: Annotated[
            float,
            Meta(ge=1e-3, le=1e6, description="Pull of the weights to zero, in rows of size 1."),
        ] = 1.0
        forgetting: Annotated[
            float,
            Meta(
                ge=0,
                le=0.5,
                description="Share of its own error that every row corrects at least; 0: the fit "
                "on all rows, for features that stand still.",
            ),
        ] = 0.05
        max_inputs: Annotated[
            int,
            Meta(
                ge=1,
                le=16384,
                description="Most inputs; a row costs half their square.",
                extra={"unit": "inputs"},
            ),
        ] = 4096

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        if place.width_in > options.max_inputs:
            line = (
                f"head least_squares: expected at most {options.max_inputs} inputs, "
                f"got {place.width_in}; read fewer layers (reads) or raise max_inputs: "
                "time and memory grow with the square"
            )
            raise ConfigError([line])
        padded = -(-(place.width_in + 1) // _PANEL) * _PANEL
        self._state = _State(
            weights=np.zeros((place.classes, padded), np.float32),
            covariance=np.zeros(_start(padded), np.float32),
            held=np.zeros(padded, np.float32),
            held_step=np.zeros(1, np.float32),
            labelled=np.zeros(1, np.int64),
            size=np.zeros(1, np.float64),
        )
        for d in range(place.width_in + 1):
            self._state.covariance[_start(d) + d] = 1 / options.ridge
        walk = options.forgetting**2 / (place.width_in + 1)
        self._setting = _Setting(np.float32(options.ridge), np.float32(walk))
        self._scratch = _Scratch(np.zeros(padded, np.float32), np.zeros(padded, np.float32))
        self._plain = tuple(self._state), tuple(self._setting), tuple(self._scratch)

    def learn(self, rows: Rows) -> None:
        """Write each row's scores, then refit where its label is known."""
        _learn(rows.x, rows.y, rows.out, *self._plain)

    def infer(self, x: F32, out: F32) -> None:
        """Write the scores [B, K] of rows x [B, D]."""
        scratch = np.zeros_like(self._scratch.x)
        _infer(x, out, self._state.weights, self._state.size, scratch)

    def arrays(self) -> Arrays:
        """Weights, the packed covariance and what is held back; see `_State`."""
        return dict(self._state._asdict())

    def gauges(self) -> dict[str, float]:
        """`weight_norm`; `mean_variance` of a weight, from 1 / ridge down to what is known."""
        width = self.place.width_in + 1
        diagonal = [_start(d) + d for d in range(width)]
        return {
            "weight_norm": float(np.linalg.norm(self._state.weights)),
            "mean_variance": float(self._state.covariance[diagonal].mean()),
        }

    def cost(self) -> int:
        """Half of P is read and written, the weights read twice and written once."""
        width = self.place.width_in
        return 4 * (width * width + 3 * width * self.place.classes)
