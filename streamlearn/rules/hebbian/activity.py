"""From currents to activities: how far above the mean, to a power, of root mean square 1."""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.sums import sum_of_squares
from streamlearn.part import F32

_NOISE = np.float32(4e-6)
"""Root mean square above the mean current, over that mean, which is rounding and no activity."""
_MOST = np.float32(1e30)
"""Where activities that are not scaled end, and squares of currents leave float32."""
_FAINT = np.float32(1e-15)
"""The same where currents are compared with zero: squares of smaller ones leave float32."""


@inlined
def _raise_to(base: F32, halves: int, out: F32) -> np.float32:
    """Write base^(halves/2) to out, both [H]; returns the sum of its squares."""
    if halves == 6:
        for h in range(base.shape[0]):
            out[h] = base[h] * base[h] * base[h]
    else:
        _raise_slowly(base, halves, out)
    return sum_of_squares(out)


@inlined
def _raise_slowly(base: F32, halves: int, out: F32) -> None:
    if halves % 2:
        for h in range(base.shape[0]):
            out[h] = np.sqrt(base[h])
    else:
        out[:] = 1
    for _ in range(halves // 2):
        for h in range(base.shape[0]):
            out[h] *= base[h]


@inlined
def _sum_and_living(current: F32, gain: F32) -> tuple[np.float32, int]:
    """Sum of the currents [H], and how many units have weights."""
    total, living = np.float32(0), 0
    for h in range(current.shape[0]):
        total += current[h]
        living += int(gain[h] > 0)
    return total, living


@inlined
def _above(current: F32, gain: F32, theta: np.float32, base: F32) -> np.float32:
    """Write relu(I - theta) [H] to base, 0 without weights; returns the sum of its squares."""
    for h in range(base.shape[0]):
        above = max(current[h] - theta, np.float32(0))
        base[h] = above if gain[h] > 0 else np.float32(0)
    return sum_of_squares(base)


@inlined
def _brought_near(base: F32) -> np.float32:
    """Divide the base [H] by its largest, for squares to stay within float32; their sum."""
    largest = np.float32(0)
    for h in range(base.shape[0]):
        largest = max(largest, base[h])
    for h in range(base.shape[0]):
        base[h] /= largest
    return sum_of_squares(base)


@inlined
def activate(
    current: F32,
    gain: F32,
    halves: int,
    from_mean: bool,  # noqa: FBT001
    scaled: bool,  # noqa: FBT001
    base: F32,
    out: F32,
) -> None:
    """Turn currents I [H] into activities out [H], written; base [H] is room for the work.

    a = relu(I - theta)^(halves/2), out = a / sqrt(mean a^2), theta = 0 or mean I, both means over
    the units that have weights: so an activity is as large while units are still being recruited.
    Not scaled, out = a.
    """
    total, living = _sum_and_living(current, gain)
    theta = total / np.float32(max(living, 1)) if from_mean else np.float32(0)
    square = _above(current, gain, theta, base)
    least = max(_NOISE * abs(theta), _FAINT)
    if not square < _MOST:
        square, least = _brought_near(base), _FAINT
    if not square > least * least * np.float32(living):
        out[:] = 0
        return
    if not scaled:
        _raise_to(base, halves, out)
        for h in range(out.shape[0]):
            out[h] = min(out[h], _MOST)
        return
    # So the largest is between H^-1/4 and H^1/4, and no power of it leaves float32.
    scale = np.sqrt(np.sqrt(np.float32(living)) / square)
    for h in range(base.shape[0]):
        base[h] *= scale
    factor = np.sqrt(np.float32(living) / _raise_to(base, halves, out))
    for h in range(out.shape[0]):
        out[h] *= factor
