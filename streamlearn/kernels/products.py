"""Products of one row with a weight matrix that is stored inputs x units, so zeros cost nothing.

A row of MNIST has 19 % active inputs, and the activities of a layer are about as sparse. With a
layer's weights stored inputs x units, only the rows of active inputs are read, each as one
contiguous run, and that reading is all the time there is.
"""

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.compile import inlined

F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]


@inlined
def active_inputs(x: F32, index: U32, value: F32) -> int:
    """List the inputs that are not zero; returns their number n.

    x [D] is read; index [D] and value [D] are written up to n:
    index = {i : x_i != 0} in rising order, value = x_index.
    """
    n = 0
    for i in range(x.shape[0]):
        # Written always and kept by the count: a branch a pixel would cost more than the product.
        index[n] = i
        value[n] = x[i]
        n += int(x[i] != 0)
    return n


@inlined
def active_product(weights: F32, index: U32, value: F32, out: F32) -> None:
    """Multiply the active inputs with their weights, four inputs a sweep.

    weights [D, H], index [n] and value [n] are read, out [H] is written:
    out_h = sum_a value_a weights[index_a, h].
    """
    n = index.shape[0]
    out[:] = 0
    for a in range(0, n - 3, 4):
        # Rows are taken out first: with two indices inside, the loop is not vectorised.
        v, w = weights[index[a]], weights[index[a + 1]]
        x, y = weights[index[a + 2]], weights[index[a + 3]]
        q, r, s, t = value[a], value[a + 1], value[a + 2], value[a + 3]
        for h in range(out.shape[0]):
            out[h] += (q * v[h] + r * w[h]) + (s * x[h] + t * y[h])
    for a in range(n - n % 4, n):
        w, q = weights[index[a]], value[a]
        for h in range(out.shape[0]):
            out[h] += q * w[h]
