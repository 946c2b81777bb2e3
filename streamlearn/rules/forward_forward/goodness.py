"""Activities, their goodness, and what a loss asks of each unit.

A unit's input is v (its weights times the row), its activity a, one of

    relu        a = max(v, 0)
    student_t   a = ln(1 + v²), minus the log of Student's density with one degree of freedom, up to
                a constant: large where something improbable is seen (among the open questions at
                the end of Hinton, arXiv 2212.13345, after Osindero, Welling & Hinton, Topographic
                product models applied to natural scene statistics, Neural Computation 18, 2006)

and a layer's goodness is the mean over its H units, against the threshold theta,

    G = 1/H sum_h s_h (m(a_h) - theta),     m(a) = a² or a,

with s = +1 for units that detect (active on real rows), -1 for units that constrain (silent on real
rows): `squares` and `sum` have only the first, `minus_squares` and `minus_sum` only the second,
`split` has the first half of the units detect and the others constrain, so theta drops out where
their number is even. With z = scale G as the log odds that a row is real, the losses are

    threshold   ln(1 + exp(-z+)) + ln(1 + exp(z-))
    pair        ln(1 + exp(margin - (z+ - z-)))       (SymBa, arXiv 2303.08418): no threshold

and what a step follows is the negative gradient of the loss by v, up to a positive constant that
the rate takes in (scale / H, and 2 for squares):

    threshold   p+ s_h d(v_h) with p+ = sigmoid(-z+) for real rows, -p- s_h d(v_h) for others
    pair        p = sigmoid(margin - (z+ - z-)) for both

    d(v) = a(v) a'(v) for squares, a'(v) for sums.

H units.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined
from streamlearn.part import F32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

RELU: Final = 0
STUDENT_T: Final = 1
ACTIVATIONS: Final = {"relu": RELU, "student_t": STUDENT_T}

ACTIVATION, SQUARED, DETECTORS, AS_PAIR, CHOICES = range(5)
"""Places of a goal's choices: which activation; m(a) = a² (1) or a (0); how many units detect, they
come first; the loss is `pair` (1) or `threshold` (0)."""
SCALE, MARGIN, THRESHOLD, CONSTANTS = range(4)
"""Places of a goal's numbers."""

_NEGLIGIBLE: Final = 1e-7
"""Pull below which nothing is learned: products of such numbers are too small to be normal."""
_SMALLEST: Final = 1e-30
"""Mean square of an activity that counts as none."""


def goal_of(options: Any) -> tuple[list[int], list[float]]:
    """What a layer with these options makes large: its choices and its numbers."""
    H = options.units
    minus = options.goodness.startswith("minus")
    detectors = (H + 1) // 2 if options.goodness == "split" else 0 if minus else H
    squared = int(not options.goodness.endswith("sum"))
    choices = [ACTIVATIONS[options.activation], squared, detectors, int(options.loss == "pair")]
    return choices, [float(options.scale), float(options.margin), float(options.threshold)]


@inlined
def activate(current: F32, activation: int, out: F32) -> None:
    """Write the activities a(v): current [H] is read, out [H] is written."""
    if activation == RELU:
        for h in range(out.shape[0]):
            out[h] = max(current[h], np.float32(0))
    else:
        for h in range(out.shape[0]):
            out[h] = np.log(np.float32(1) + current[h] * current[h])


@inlined
def log_odds(activity: F32, choices: I64, numbers: F64) -> float:
    """Log odds z = scale G that the row with activity [H] is real."""
    n, H = choices[DETECTORS], activity.shape[0]
    total, other = np.float32(0), np.float32(0)
    if choices[SQUARED]:
        for h in range(n):
            total += activity[h] * activity[h]
        for h in range(n, H):
            other += activity[h] * activity[h]
    else:
        for h in range(n):
            total += activity[h]
        for h in range(n, H):
            other += activity[h]
    found = np.float64(total) - np.float64(other)
    result: float = numbers[SCALE] * (found - numbers[THRESHOLD] * (2 * n - H)) / H
    return result


@inlined
def normalise(activity: F32, out: F32) -> None:
    """Write out = activity / rms(activity), both [H]; zeros where nothing is active."""
    square = np.float32(0)
    for h in range(activity.shape[0]):
        square += activity[h] * activity[h]
    mean, factor = np.float64(square) / activity.shape[0], np.float32(0)
    if _SMALLEST < mean < np.inf:
        factor = np.float32(1 / math.sqrt(mean))
    for h in range(out.shape[0]):
        out[h] = activity[h] * factor


@inlined
def _sigmoid(z: float) -> float:
    """1 / (1 + e^-z), 0 where it is negligible or z is not a number."""
    p = 1 / (1 + math.exp(-min(max(z, -80.0), 80.0)))
    return p if p > _NEGLIGIBLE else 0.0


@inlined
def pull_of(positive: float, negative: float, side: int, choices: I64, numbers: F64) -> float:
    """How strongly the loss pulls at z+ (side 0) or z- (side 1): its slope without the sign."""
    if choices[AS_PAIR]:
        return _sigmoid(numbers[MARGIN] - (positive - negative))
    return _sigmoid(-positive if side == 0 else negative)


@inlined
def slope(current: F32, activity: F32, pull: float, choices: I64, out: F32) -> None:
    """Write pull s_h d(v_h): current v [H] and activity a [H] are read, out [H] is written."""
    n, H = choices[DETECTORS], out.shape[0]
    up = np.float32(pull)
    if choices[ACTIVATION] == RELU:
        for h in range(H):
            out[h] = up if current[h] > 0 else np.float32(0)
    else:
        for h in range(H):
            v = current[h]
            out[h] = up * (np.float32(2) * v / (np.float32(1) + v * v))
    if choices[SQUARED]:
        for h in range(H):
            out[h] *= activity[h]
    for h in range(n, H):
        out[h] = -out[h]
