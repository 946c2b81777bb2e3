"""`softmax`: multinomial logistic regression, one labelled row at a time, with no end in sight.

For a row x [D + 1] (scaled, the last input 1) with label y, K classes:

    p = softmax(W x)                          what the raw weights say
    q_y = 1 - s, q_k = s / (K - 1)            the smoothed target, s = smoothing
    u_kd = clip((q_k - p_k) x_d G_kd, ±1)     the gradient in units of its own history
    W += rate u
    G <- min(G (1 + 1 / memory_rows - u² / 2), g)

G is the per-weight gain of Adagrad (Duchi, Hazan & Singer 2011), one over the root of the summed
squared gradients, carried along directly: G^-2 grows by the square of a gradient where G falls by
half of G u², so that neither a root nor a division is left in the inner loop. It starts at
g = min(10, 200 / (D + 1)), which keeps the first steps from overshooting where rows are wide.
The clip bounds what one wild row can do to a weight and to its gain.
1 / memory_rows lets the gains recover, so that on a drifting stream no weight ever goes deaf.

Scores are softmax(A x), A the average of W that `common` describes.

With `revisits` the last `kept_rows` labelled rows stay in a ring, and each is learned from that
many times more, at even distances, before it leaves. Without, every row is seen once.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import HeadOptions
from streamlearn.heads.base import Head
from streamlearn.heads.common import exp_below_zero, move_average
from streamlearn.heads.row import learn_size, read_row, scale_of
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32, Arrays, Place, Rows

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

_LARGEST_GAIN = 10.0
_FIRST_CHANGE = 200.0
"""Sum of a row's gains before anything is learned: the first steps may change its scores by
0.03 times this, about what a score needs. Without it wide rows overshoot for thousands of rows
(MNIST, 2000 hebbian units: prequential error 5.7 instead of 4.2 %, test 3.0 instead of 2.8)."""
_SMALLEST_ERROR = np.float32(1e-7)
"""Below the precision of a probability; see `row` for what smaller ones would cost."""


class _State(NamedTuple):
    """What learning moves."""

    weights: F32
    """W [K, D + 1] raw weights, the bias last."""
    average: F32
    """A [K, D + 1] what scores are made with."""
    gains: F32
    """G [K, D + 1] one over the root of the squared gradients."""
    labelled: I64
    """[1] labelled rows so far."""
    size: F64
    """[1] see `row.scale_of`."""
    kept: F32
    """[N, D + 1] the last labelled rows, scaled, at labelled modulo N."""
    kept_y: I32
    """[N] their labels."""


class _Setting(NamedTuple):
    """The options as the kernel takes them."""

    rate: np.float32
    smoothing: np.float32
    recovery: np.float32
    """1 / memory_rows, 0 for never."""
    largest_gain: np.float32
    revisits: int


class _Scratch(NamedTuple):
    """Room for one row; holds nothing between rows."""

    x: F32
    """[D + 1]"""
    p: F32
    """[K]"""


@inlined
def _probabilities(weights: F32, x: F32, p: F32) -> None:
    """Write p = softmax(W x); weights [K, D + 1] and x [D + 1] are read, p [K] is written."""
    largest = np.float32(-np.inf)
    for k in range(p.shape[0]):
        w = weights[k]
        score = np.float32(0)
        for d in range(x.shape[0]):
            score += w[d] * x[d]
        p[k] = score
        largest = max(largest, score)
    total = np.float32(0)
    for k in range(p.shape[0]):
        p[k] = exp_below_zero(p[k] - largest)
        total += p[k]
    share = np.float32(1) / total
    for k in range(p.shape[0]):
        p[k] *= share


@inlined
def _descend(state: _State, setting: _Setting, x: F32, y: int, p: F32) -> None:
    """One step from the row x [D + 1] of class y: writes p [K], moves weights and gains [K, D + 1].

    u = clip((q_k - p_k) x G, ±1), W += rate u, G <- min(G (1 + 1 / memory_rows - u² / 2), g)
    """
    # Taken out first: each look into a tuple counts references, which costs as much as a class.
    weights, gains, rate = state.weights, state.gains, setting.rate
    largest = setting.largest_gain
    growth = np.float32(1) + setting.recovery
    hit = np.float32(1) - setting.smoothing
    miss = setting.smoothing / np.float32(max(p.shape[0] - 1, 1))
    _probabilities(weights, x, p)
    for k in range(p.shape[0]):
        error = (hit if k == y else miss) - p[k]
        error = error if abs(error) > _SMALLEST_ERROR else np.float32(0)
        w, gain = weights[k], gains[k]
        for d in range(x.shape[0]):
            u = min(max(error * x[d] * gain[d], np.float32(-1)), np.float32(1))
            w[d] += rate * u
            gain[d] = min(gain[d] * (growth - np.float32(0.5) * u * u), largest)


@inlined
def _revisit(state: _State, setting: _Setting, p: F32) -> None:
    """Step again from kept rows of ages N/R, 2N/R, … N, for R revisits of N rows."""
    rows, seen = state.kept_y.shape[0], state.labelled[0]
    for j in range(setting.revisits):
        age = rows * (j + 1) // setting.revisits
        if age <= seen:
            slot = (seen - age) % rows
            _descend(state, setting, state.kept[slot], state.kept_y[slot], p)


@inlined
def _keep(state: _State, x: F32, y: int) -> None:
    """Put the row x [D + 1] in the place of the oldest one; moves kept and kept_y."""
    slot = state.labelled[0] % state.kept_y.shape[0]
    kept = state.kept[slot]
    for d in range(x.shape[0]):
        kept[d] = x[d]
    state.kept_y[slot] = y


@kernel
def _learn(x: F32, y: I32, out: F32, arrays: Plain, numbers: Plain, room: Plain) -> None:
    """Score each row, then learn from it where y is known.

    x [B, D] and y [B] are read, out [B, K] is written, every array of the state moves. `arrays`,
    `numbers` and `room` are a state, a setting and a scratch as plain tuples.
    """
    state, setting, scratch = _State(*arrays), _Setting(*numbers), _Scratch(*room)
    average, size, labelled, row = state.average, state.size, state.labelled, scratch.x
    for b in range(x.shape[0]):
        read_row(x[b], scale_of(size), row)
        _probabilities(average, row, out[b])
        label = y[b]
        if label < 0 or label >= out.shape[1]:
            continue
        _descend(state, setting, row, label, scratch.p)
        if setting.revisits:
            _revisit(state, setting, scratch.p)
            _keep(state, row, label)
        labelled[0] += 1
        learn_size(x[b], labelled[0], size)
        move_average(state.weights, average, labelled[0], setting.recovery)


@kernel
def _infer(x: F32, out: F32, average: F32, size: F64, scratch: F32) -> None:
    """Score rows: x [B, D], average [K, D + 1] and size [1] are read, out [B, K] is written."""
    for b in range(x.shape[0]):
        read_row(x[b], scale_of(size), scratch)
        _probabilities(average, scratch, out[b])


class Softmax(Head):
    """Online logistic regression whose steps set themselves; scores are probabilities.

    Parameters
    ----------
    options
        Step, smoothing, how long it remembers, how often it goes back to a row.
    place
        Widths and classes; the seed is not used: nothing is random here.

    """

    GAUGES = ("weight_norm", "mean_gain")

    class Options(HeadOptions, frozen=True, kw_only=True):
        """`[[head]]` with `kind = "softmax"`: probabilities by logistic regression."""

        rate: Annotated[
            float,
            Meta(ge=1e-5, le=1, description="Largest change of a weight by one row; it falls."),
        ] = 0.03
        smoothing: Annotated[
            float,
            Meta(ge=0, le=0.5, description="Share of the target that goes to the other classes."),
        ] = 0.1
        memory_rows: Annotated[
            int,
            Meta(
                ge=0,
                le=1 << 40,
                description="Labelled rows that steps and averages remember, fading; 0: all.",
                extra={"unit": "rows"},
            ),
        ] = 3000
        revisits: Annotated[
            int,
            Meta(ge=0, le=10, description="How often each kept row is learned from again."),
        ] = 0
        kept_rows: Annotated[
            int,
            Meta(
                ge=1,
                le=100_000,
                description="Labelled rows kept for revisits.",
                extra={"unit": "rows"},
            ),
        ] = 100

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        shape = (place.classes, place.width_in + 1)
        largest_gain = min(_LARGEST_GAIN, _FIRST_CHANGE / shape[1])
        kept_rows = options.kept_rows if options.revisits else 0
        self._state = _State(
            weights=np.zeros(shape, np.float32),
            average=np.zeros(shape, np.float32),
            gains=np.full(shape, largest_gain, np.float32),
            labelled=np.zeros(1, np.int64),
            size=np.zeros(1, np.float64),
            kept=np.zeros((kept_rows, shape[1]), np.float32),
            kept_y=np.zeros(kept_rows, np.int32),
        )
        self._setting = _Setting(
            rate=np.float32(options.rate),
            smoothing=np.float32(options.smoothing),
            recovery=np.float32(1 / options.memory_rows if options.memory_rows else 0),
            largest_gain=np.float32(largest_gain),
            revisits=options.revisits,
        )
        self._scratch = _Scratch(
            x=np.zeros(shape[1], np.float32), p=np.zeros(place.classes, np.float32)
        )
        self._plain = tuple(self._state), tuple(self._setting), tuple(self._scratch)

    def learn(self, rows: Rows) -> None:
        """Write each row's probabilities, then take a step where its label is known."""
        _learn(rows.x, rows.y, rows.out, *self._plain)

    def infer(self, x: F32, out: F32) -> None:
        """Write the probabilities [B, K] of rows x [B, D] under the averaged weights."""
        _infer(x, out, self._state.average, self._state.size, np.empty_like(self._scratch.x))

    def arrays(self) -> Arrays:
        """Weights, averages and gains [K, D + 1], counts, and the kept rows; see `_State`."""
        return dict(self._state._asdict())

    def gauges(self) -> dict[str, float]:
        """`weight_norm` of the averaged weights; `mean_gain`: 1 before anything is learned."""
        return {
            "weight_norm": float(np.linalg.norm(self._state.average)),
            "mean_gain": float(self._state.gains.mean() / self._setting.largest_gain),
        }

    def cost(self) -> int:
        """Weights are read three times and written once, gains read and written once."""
        weights = self.place.width_in * self.place.classes
        return 24 * weights * (1 + int(self.options.revisits))
