"""The goodness of each class's block of units, and the error that it sends to them.

H units in K blocks of H // K or one more; scale turns goodness into evidence.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32


@inlined
def block_start(k: int, H: int, K: int) -> int:
    """First unit of block k; that of block K is H. The first H mod K blocks have one unit more."""
    return k * (H // K) + min(k, H % K)


@inlined
def block_goodness(h: F32, scale: np.float32, g: F32) -> None:
    """Write evidence g [K] = scale mean_i h_i² over the units i of block k."""
    H, K = h.shape[0], g.shape[0]
    for k in range(K):
        start, stop = block_start(k, H, K), block_start(k + 1, H, K)
        total = np.float32(0)
        for i in range(start, stop):
            total += h[i] * h[i]
        g[k] = scale * total / np.float32(stop - start)


@inlined
def block_errors(h: F32, e: F32, scale: np.float32, signal: F32) -> None:
    """Write signal a [H]: a_i = e_k scale 2 h_i / units of block k, i in block k."""
    H, K = h.shape[0], e.shape[0]
    for k in range(K):
        start, stop = block_start(k, H, K), block_start(k + 1, H, K)
        factor = np.float32(2) * scale * e[k] / np.float32(stop - start)
        for i in range(start, stop):
            signal[i] = factor * h[i]
