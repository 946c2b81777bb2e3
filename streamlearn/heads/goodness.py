"""`goodness`: the layers' own evidence for each class, added up; nothing is learned here.

A layer that learns with labels can tell classes apart by itself: by its goodness under each
candidate label (Hinton 2022, section 3.3), by the goodness of each class's block of units, or by
its own softmax. Each writes that as logarithms up to a constant, so their sum over layers, put
through a softmax, is the committee's belief:

    p = softmax(temperature sum_l s_l)
"""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from streamlearn.config import HeadOptions
from streamlearn.heads.base import Head
from streamlearn.kernels import kernel
from streamlearn.part import F32, Arrays, Place, Rows


@kernel
def _infer(x: F32, out: F32, temperature: np.float32) -> None:
    """Write out [B, K] = softmax over k of temperature times the sum over l of x [B, L K]."""
    K = out.shape[1]
    for b in range(x.shape[0]):
        largest = np.float32(-np.inf)
        for k in range(K):
            total = np.float32(0)
            for i in range(k, x.shape[1], K):
                total += x[b, i]
            out[b, k] = temperature * total
            largest = max(largest, out[b, k])
        total = np.float32(0)
        for k in range(K):
            out[b, k] = np.exp(out[b, k] - largest)
            total += out[b, k]
        for k in range(K):
            out[b, k] /= total


class Goodness(Head):
    """Adds up what the layers themselves think of each class.

    Parameters
    ----------
    options
        Temperature.
    place
        K classes, and L K numbers a row: the scores of L layers side by side.

    """

    READS_SCORES = True

    class Options(HeadOptions, frozen=True, kw_only=True):
        """`[[head]]` with `kind = "goodness"`: the evidence of layers that know labels, summed."""

        temperature: Annotated[
            float,
            Meta(gt=0.0, le=1e3, description="Factor on the summed evidence; above 1: surer."),
        ] = 1.0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        self._temperature = np.float32(options.temperature)

    def learn(self, rows: Rows) -> None:
        """Write each row's probabilities [B, K]; nothing is learned."""
        _infer(rows.x, rows.out, self._temperature)

    def infer(self, x: F32, out: F32) -> None:
        """Write the probabilities [B, K] of summed scores [B, L K]."""
        _infer(x, out, self._temperature)

    def arrays(self) -> Arrays:
        """Nothing: the layers learn."""
        return {}

    def cost(self) -> int:
        """Reads a few numbers."""
        return 8 * self.place.width_in
