"""`unit_norm`: out = length · x / ‖x‖₂, every row on one sphere; a row of zeros stays. No state."""

import math
from typing import Annotated

import numpy as np
from msgspec import Meta

from streamlearn.config import StepOptions
from streamlearn.kernels import kernel
from streamlearn.part import F32, Arrays, Rows
from streamlearn.prepare.base import Step


@kernel
def _unit_norm(x: F32, out: F32, length: float) -> None:
    """Bring each row to one length: out = length x / sqrt(sum x²). x, out [B, D].

    Squares are summed in float64, where those of the largest and the smallest float32 still fit.
    """
    for b in range(x.shape[0]):
        square = 0.0
        for d in range(x.shape[1]):
            square += np.float64(x[b, d]) * np.float64(x[b, d])
        factor = length / math.sqrt(square) if square > 0.0 else 0.0
        for d in range(x.shape[1]):
            out[b, d] = np.float64(x[b, d]) * factor


class UnitNorm(Step):
    """Divide each row by its Euclidean norm, so that brightness or loudness says nothing.

    Parameters
    ----------
    options
        `length`: the norm of every row after the step.
    place
        Widths; the rest is not used.

    """

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "unit_norm"`: every row gets the same Euclidean length."""

        length: Annotated[
            float,
            Meta(
                ge=1e-3,
                le=1e6,
                description="Length of a row afterwards; sqrt(inputs) makes the mean square 1.",
            ),
        ] = 1.0

    def learn(self, rows: Rows) -> None:
        """Bring the rows to one length; there is nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Bring rows x [B, D] to one length in out [B, D]."""
        _unit_norm(x, out, float(self.options.length))

    def arrays(self) -> Arrays:
        """Nothing: a row is all that it takes."""
        return {}
