"""How kernels are compiled: they raise nothing, whatever the numbers."""

import numpy as np

from streamlearn.kernels import kernel
from streamlearn.part import F32


@kernel
def _quotients(above: F32, below: F32, out: F32) -> None:
    for i in range(out.shape[0]):
        out[i] = above[i] / below[i]


def test_a_division_by_zero_raises_nothing() -> None:
    """It gives what numpy gives, infinity or no number: an exception would stop half-way."""
    above, below = np.array([1, -1, 0, 1], np.float32), np.array([0, 0, 0, 2], np.float32)
    out = np.zeros(4, np.float32)
    _quotients(above, below, out)
    np.testing.assert_array_equal(out, np.array([np.inf, -np.inf, np.nan, 0.5], np.float32))
