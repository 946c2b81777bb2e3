"""The evidence of a layer with a softmax of its own, and the error that it sends to its units.

H units, K classes; M [K, H] is the read-out.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32


@inlined
def read_out(readout: F32, h: F32, g: F32) -> None:
    """Write evidence g [K] = M h."""
    for k in range(g.shape[0]):
        row = readout[k]
        total = np.float32(0)
        for i in range(h.shape[0]):
            total += row[i] * h[i]
        g[k] = total


@inlined
def read_errors(readout: F32, h: F32, e: F32, signal: F32) -> None:
    """Write signal a [H] = [h > 0] M' e."""
    signal[:] = 0
    for k in range(e.shape[0]):
        row, error = readout[k], e[k]
        for i in range(h.shape[0]):
            signal[i] += error * row[i]
    for i in range(h.shape[0]):
        signal[i] = signal[i] if h[i] > 0 else np.float32(0)


@inlined
def learn_readout(readout: F32, h: F32, e: F32, rate: np.float32) -> None:
    """M += rate e h'."""
    for k in range(e.shape[0]):
        row, step = readout[k], rate * e[k]
        for i in range(h.shape[0]):
            row[i] += step * h[i]
