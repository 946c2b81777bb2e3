"""What heads that learn by gradient share: e^x, and the average of their weights that scores.

The average A is that of `streamlearn.kernels.schedules`, moved after every 100th labelled row.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.schedules import AVERAGE_EVERY, approach, share_of
from streamlearn.part import F32


@inlined
def exp_below_zero(x: np.float32) -> np.float32:
    """e^x for x <= 0, relative error 1e-7, without a branch or a call: Cephes' expf.

    e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2; 2^n is made from its bits.
    """
    clipped = max(x, np.float32(-87.0))
    n = np.floor(clipped * np.float32(1.44269504) + np.float32(0.5))
    r = clipped - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    e = np.float32(1.9875691500e-4)
    e = e * r + np.float32(1.3981999507e-3)
    e = e * r + np.float32(8.3334519073e-3)
    e = e * r + np.float32(4.1665795894e-2)
    e = e * r + np.float32(1.6666665459e-1)
    e = e * r + np.float32(5.0000001201e-1)
    e = e * r * r + r + np.float32(1.0)
    power: np.float32 = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    result: np.float32 = e * power
    return result


@inlined
def move_average(weights: F32, average: F32, labelled: int, recovery: np.float32) -> None:
    """Move the average A [K, D + 1] of weights W, where its time has come.

    labelled is the number of labelled rows, recovery is 1 / memory_rows.
    """
    if labelled % AVERAGE_EVERY == 0:
        share = share_of(labelled, AVERAGE_EVERY, np.float64(AVERAGE_EVERY * recovery))
        approach(weights, average, share)
