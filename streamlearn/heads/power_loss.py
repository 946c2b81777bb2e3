"""`power_loss`: the read-out of Krotov & Hopfield (PNAS 2019, arXiv 1806.10181, eq. 1).

For a row h [D + 1] (scaled, the last input 1) with label y, K classes:

    a_k = beta S_k . h / N,  c_k = tanh a_k,  N = max(D + 1, 50)
    C = sum_k |c_k - t_k|^m,  t_k = 1 for k = y, -1 for all others         eq. 1
    g_kd = dC/da_k h_d,  in dC/da the slope of the tanh is max(1 - c_k², 0.01)

With `smoothing` s, C is the mean of eq. 1 over targets that are 1 with probability q_y = 1 - s and
q_k = s / (K - 1); s = 0 is the paper's (one pass over MNIST, 2000 hebbian units, m = 6: test error
3.2 instead of 2.9 %). S moves by `adam` on the mean g of `minibatch` labelled rows, at

    rate_n = rate sqrt(3000 / (3000 + min(n, memory_rows))), n labelled rows so far

The paper's rate falls over a set number of passes; a stream has no end to fall towards. So it falls
as the root of the rows down to a floor, and scores are made with A, the average of S that `common`
describes. Adam's steps do not depend on a factor in g, so beta / N is left out of it: epsilon means
the same at every width, and beta only says how far a step moves an output: beta rate times the mean
of |h|. In narrow rows that would be a long way for one weight, hence the 50.

The paper's beta stands before a plain sum over raw activities. Here rows are scaled as for every
head (`row`), so raw cosines to the power 4.5 need no other beta than activities of size 1; for
h of root mean square r, the paper's is this one divided by r N. The bias is ours, too.

Slope. On the wrong side a saturated tanh has slope 0 and would never come back, so the slope is
held at 0.01: from about |a| = 3 on the loss goes straight where it would go flat. On the right side
|c - t|^(m-1) leaves nothing of it. a itself is not bounded.

Scores. Where a class has probability q, C is least on average at ((1 + c) / (1 - c))^(m-1) =
q / (1 - q). So the loss itself says what outputs mean, q_k = 1 / (1 + e^(-2 (m-1) a_k)), and scores
are these divided by their sum: for m = 2 that is (c + 1) / 2, which for larger m is far too timid:
with m = 6, c = 0.2 already means a probability of 0.88.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import HeadOptions
from streamlearn.errors import ConfigError
from streamlearn.heads.adam import adam_step, descend
from streamlearn.heads.base import Head
from streamlearn.heads.common import exp_below_zero, move_average
from streamlearn.heads.row import learn_size, read_row, scale_of
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32, Arrays, Place, Rows

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

_LEAST_SLOPE = np.float32(0.01)
_NARROW = 50
"""Inputs: rows of fewer take steps as if they were so many."""
_SMALLEST_GRADIENT = np.float32(1e-7)
"""Of an output; see `row` for what smaller ones would cost."""
_STEADY_ROWS = 3000.0
"""Labelled rows after which the rate begins to fall as the root of the rows."""
_WATCHED_ROWS = 1000
"""Labelled rows that the gauge of saturated outputs remembers."""


class _State(NamedTuple):
    """What learning moves."""

    weights: F32
    """S [K, D + 1] raw weights, the bias last."""
    average: F32
    """A [K, D + 1] what scores are made with."""
    mean: F32
    """M [K, D + 1] Adam's first moment."""
    square: F32
    """V [K, D + 1] its second."""
    gradient: F32
    """[K, D + 1] sum over the rows of the minibatch so far."""
    labelled: I64
    """[1] labelled rows so far."""
    size: F64
    """[1] see `row.scale_of`."""
    saturated: F64
    """[1] share of outputs whose slope is held, over the last labelled rows."""


class _Setting(NamedTuple):
    """The options as the kernel takes them."""

    m: np.float32
    gain: np.float32
    """beta / N"""
    rate: float
    beta1: float
    beta2: float
    epsilon: float
    minibatch: int
    smoothing: np.float32
    memory: float
    """memory_rows, infinite for 0."""
    recovery: np.float32
    """1 / memory_rows, 0 for never."""


class _Scratch(NamedTuple):
    """Room for one row; holds nothing between rows."""

    x: F32
    """[D + 1]"""
    a: F32
    """[K]"""


@inlined
def _outputs(weights: F32, x: F32, gain: np.float32, a: F32) -> None:
    """Write a = gain S x; weights [K, D + 1] and x [D + 1] are read, a [K] is written."""
    for k in range(a.shape[0]):
        w = weights[k]
        total = np.float32(0)
        for d in range(x.shape[0]):
            total += w[d] * x[d]
        a[k] = gain * total


@inlined
def _logistic(z: np.float32) -> np.float32:
    """1 / (1 + e^-z), exact to rounding on either side; never 0."""
    e = exp_below_zero(-abs(z))
    return (np.float32(1) if z > 0 else e) / (np.float32(1) + e)


@inlined
def _scores(weights: F32, x: F32, setting: _Setting, out: F32) -> None:
    """Write out_k = q_k / sum q, q = logistic(2 (m - 1) a); out [K] is written, the rest read."""
    _outputs(weights, x, setting.gain, out)
    total = np.float32(0)
    for k in range(out.shape[0]):
        out[k] = _logistic(np.float32(2) * (setting.m - np.float32(1)) * out[k])
        total += out[k]
    for k in range(out.shape[0]):
        out[k] /= total


@inlined
def _slope(a: np.float32, q: np.float32, m: np.float32) -> tuple[np.float32, bool]:
    """dC/da of one output with target q, and whether its slope is held; c + 1 and 1 - c are exact.

    m ((1 - q) (1 + c)^(m-1) - q (1 - c)^(m-1)) max((1 + c) (1 - c), 0.01)
    """
    above = np.float32(2) * _logistic(np.float32(2) * a)
    below = np.float32(2) * _logistic(np.float32(-2) * a)
    power, steep = m - np.float32(1), above * below
    pull = (np.float32(1) - q) * above**power - q * below**power
    value = m * pull * max(steep, _LEAST_SLOPE)
    held = bool(steep < _LEAST_SLOPE)
    return value if abs(value) > _SMALLEST_GRADIENT else np.float32(0), held


@inlined
def _gather(state: _State, setting: _Setting, x: F32, y: int, a: F32) -> None:
    """Add the gradient of the row x [D + 1] of class y to gradient [K, D + 1]; writes a [K].

    gradient_kd += dC/da_k x_d
    """
    _outputs(state.weights, x, setting.gain, a)
    own = np.float32(1) - setting.smoothing
    other = setting.smoothing / np.float32(max(a.shape[0] - 1, 1))
    held = 0
    for k in range(a.shape[0]):
        slope, flat = _slope(a[k], own if k == y else other, setting.m)
        held += int(flat)
        g = state.gradient[k]
        if slope != 0:
            for d in range(x.shape[0]):
                g[d] += slope * x[d]
    state.saturated[0] += (held / a.shape[0] - state.saturated[0]) / _WATCHED_ROWS


@inlined
def _step(state: _State, setting: _Setting) -> None:
    """One step of Adam at the rate for this time; moves weights and moments, clears gradient."""
    labelled = state.labelled[0]
    past = min(float(labelled), setting.memory)
    rate = setting.rate * np.sqrt(_STEADY_ROWS / (_STEADY_ROWS + past))
    rows = setting.minibatch
    step = adam_step(rate, setting.epsilon, setting.beta1, setting.beta2, labelled // rows, rows)
    for k in range(state.weights.shape[0]):
        descend(step, state.weights[k], state.mean[k], state.square[k], state.gradient[k])


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
        _scores(average, row, setting, out[b])
        label = y[b]
        if label < 0 or label >= out.shape[1]:
            continue
        _gather(state, setting, row, label, scratch.a)
        labelled[0] += 1
        learn_size(x[b], labelled[0], size)
        if labelled[0] % setting.minibatch == 0:
            _step(state, setting)
        move_average(state.weights, average, labelled[0], setting.recovery)


@kernel
def _infer(x: F32, out: F32, average: F32, size: F64, numbers: Plain, scratch: F32) -> None:
    """Score rows: x [B, D], average [K, D + 1] and size [1] are read, out [B, K] is written."""
    setting = _Setting(*numbers)
    for b in range(x.shape[0]):
        read_row(x[b], scale_of(size), scratch)
        _scores(average, scratch, setting, out[b])


class PowerLoss(Head):
    """Krotov and Hopfield's read-out: tanh outputs, a loss to the power m, Adam.

    Parameters
    ----------
    options
        The loss, Adam's constants, rows a step, how long it remembers.
    place
        Widths and classes; the seed is not used: nothing is random here, S starts at 0.

    Raises
    ------
    ConfigError
        Where beta1 and beta2 let steps grow without bound, or a minibatch outlasts the memory.

    """

    GAUGES = ("weight_norm", "saturated_share")

    class Options(HeadOptions, frozen=True, kw_only=True):
        """`[[head]]` with `kind = "power_loss"`: Krotov and Hopfield's read-out."""

        m: Annotated[
            float,
            Meta(
                ge=2,
                le=20,
                description="Power of the loss |c - t|^m; larger: rows that are quite wrong "
                "count for more.",
            ),
        ] = 5.0
        smoothing: Annotated[
            float,
            Meta(
                ge=0,
                le=0.5,
                description="Share of the target that goes to the other classes; 0: the paper's "
                "loss.",
            ),
        ] = 0.1
        beta: Annotated[
            float,
            Meta(
                gt=0,
                le=1e5,
                description="Steepness of c = tanh(beta S.h), S.h a mean over the inputs h of "
                "usual size 1; beta times rate: about the most that a step moves an output.",
            ),
        ] = 400.0
        rate: Annotated[
            float,
            Meta(gt=0, le=1, description="Adam's rate: about the most that a step moves a weight."),
        ] = 1e-3
        beta1: Annotated[
            float,
            Meta(ge=0, le=0.999, description="Share of Adam's mean gradient kept a step."),
        ] = 0.9
        beta2: Annotated[
            float,
            Meta(ge=0, le=0.999999, description="Share of its mean square kept a step."),
        ] = 0.9999
        epsilon: Annotated[
            float,
            Meta(
                ge=1e-10,
                le=1e3,
                description="Added to the root of the mean square; gradients well below it "
                "take smaller steps.",
            ),
        ] = 0.3
        minibatch: Annotated[
            int,
            Meta(
                ge=1,
                le=100_000,
                description="Labelled rows whose gradients are averaged for one step.",
                extra={"unit": "rows"},
            ),
        ] = 1
        memory_rows: Annotated[
            int,
            Meta(
                ge=0,
                le=1 << 40,
                description="Labelled rows that the rate and averages remember, fading; 0: all.",
                extra={"unit": "rows"},
            ),
        ] = 3000

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        _check(options)
        shape = (place.classes, place.width_in + 1)
        self._state = _State(
            **{name: np.zeros(shape, np.float32) for name in _State._fields[:5]},
            labelled=np.zeros(1, np.int64),
            size=np.zeros(1, np.float64),
            saturated=np.zeros(1, np.float64),
        )
        self._setting = _Setting(
            m=np.float32(options.m),
            gain=np.float32(options.beta / max(shape[1], _NARROW)),
            rate=float(options.rate),
            beta1=float(options.beta1),
            beta2=float(options.beta2),
            epsilon=float(options.epsilon),
            minibatch=options.minibatch,
            smoothing=np.float32(options.smoothing),
            memory=float(options.memory_rows or np.inf),
            recovery=np.float32(1 / options.memory_rows if options.memory_rows else 0),
        )
        self._scratch = _Scratch(
            x=np.zeros(shape[1], np.float32), a=np.zeros(place.classes, np.float32)
        )
        self._plain = tuple(self._state), tuple(self._setting), tuple(self._scratch)

    def learn(self, rows: Rows) -> None:
        """Write each row's probabilities, then learn from it where its label is known."""
        _learn(rows.x, rows.y, rows.out, *self._plain)

    def infer(self, x: F32, out: F32) -> None:
        """Write the probabilities [B, K] of rows x [B, D] under the averaged weights."""
        scratch = np.empty_like(self._scratch.x)
        _infer(x, out, self._state.average, self._state.size, self._plain[1], scratch)

    def arrays(self) -> Arrays:
        """Weights, their average and Adam's moments [K, D + 1], counts; see `_State`."""
        return dict(self._state._asdict())

    def gauges(self) -> dict[str, float]:
        """`weight_norm` of the averaged weights; `saturated_share` of the raw outputs."""
        return {
            "weight_norm": float(np.linalg.norm(self._state.average)),
            "saturated_share": float(self._state.saturated[0]),
        }

    def cost(self) -> int:
        """Weights are read three times and written once, M, V and g read and written once."""
        return 44 * self.place.width_in * self.place.classes


def _check(options: Any) -> None:
    """Refuse options that each make sense but not together; raises `ConfigError`."""
    lines = []
    if options.beta1**2 >= options.beta2:
        lines.append(
            f"head power_loss: beta2: expected more than beta1² = {options.beta1**2:g}, got "
            f"{options.beta2:g}; else the steps after one large gradient grow without bound"
        )
    if 0 < options.memory_rows < options.minibatch:
        lines.append(
            f"head power_loss: minibatch: expected at most memory_rows = {options.memory_rows}, "
            f"got {options.minibatch}; the average would be of one step; raise memory_rows"
        )
    if lines:
        raise ConfigError(lines)
