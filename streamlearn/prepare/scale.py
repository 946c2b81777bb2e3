"""`scale`: out = (x - subtract) / divide_by, for example bytes to 0…1. No state."""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from streamlearn.config import StepOptions
from streamlearn.kernels import kernel
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.prepare.base import Step

_LARGEST = np.float32(np.finfo(np.float32).max)


@kernel
def _scale(x: F32, out: F32, subtract: np.float32, factor: np.float32) -> None:
    """Scale each number: out = (x - subtract) factor, held inside float32. x, out [B, D]."""
    for b in range(x.shape[0]):
        for d in range(x.shape[1]):
            value = (x[b, d] - subtract) * factor
            out[b, d] = min(max(value, -_LARGEST), _LARGEST)


class Scale(Step):
    """Subtract one number from every input and divide by another.

    Parameters
    ----------
    options
        `subtract` and `divide_by`; `divide_by = 255` makes bytes 0…1.
    place
        Widths; the rest is not used.

    """

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "scale"`: out = (x - subtract) / divide_by."""

        subtract: Annotated[
            float, Meta(ge=-1e9, le=1e9, description="Taken from every number first.")
        ] = 0.0
        divide_by: Annotated[
            float,
            Meta(ge=1e-9, le=1e9, description="Then divides every number; 255 makes bytes 0…1."),
        ] = 1.0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        self._subtract = np.float32(options.subtract)
        self._factor = np.float32(1.0 / options.divide_by)

    def learn(self, rows: Rows) -> None:
        """Scale the rows; there is nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Scale rows x [B, D] into out [B, D]."""
        _scale(x, out, self._subtract, self._factor)

    def arrays(self) -> Arrays:
        """Nothing: the options say it all."""
        return {}
