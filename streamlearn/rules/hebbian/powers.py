"""Powers and p-norms; p is counted in halves, as whole halves need no logarithm."""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32


@inlined
def power(base: float, halves: float) -> float:
    """base^(halves/2) for base >= 0."""
    whole = int(halves)
    if whole != halves:
        logarithmic: float = base ** (halves / 2)
        return logarithmic
    result = np.sqrt(base) if whole % 2 else 1.0
    for _ in range(whole // 2):
        result *= base
    return result


@inlined
def root(size: float, halves: float) -> float:
    """size^(1/p); p = 2 needs no logarithm."""
    found: float = np.sqrt(size) if halves == 4 else size ** (2.0 / halves)
    return found


@inlined
def signed_power(weight: np.float32, halves: float) -> np.float32:
    """sign(V) |V|^(p-1)."""
    size = power(abs(np.float64(weight)), halves - 2)
    # Numbers too small to be normal would slow the product a hundredfold.
    size = size if size > 1e-30 else 0.0
    return np.float32(size if weight > 0 else -size)


@inlined
def on_sphere(value: F32, halves: float) -> bool:
    """Bring a row's active inputs [n], written, to p-norm 1; False where the row is all zeros."""
    total = 0.0
    if halves == 4:
        for a in range(value.shape[0]):
            total += np.float64(value[a]) * value[a]
    else:
        for a in range(value.shape[0]):
            total += power(abs(np.float64(value[a])), halves)
    if not 0.0 < total < np.inf:
        return False
    factor = 1.0 / root(total, halves)
    for a in range(value.shape[0]):
        value[a] = np.float32(value[a] * factor)
    return True


@inlined
def length(value: F32) -> float:
    """Length of the active inputs [n]."""
    total = 0.0
    for a in range(value.shape[0]):
        total += np.float64(value[a]) * value[a]
    found: float = np.sqrt(total)
    return found
