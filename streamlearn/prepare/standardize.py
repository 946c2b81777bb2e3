"""`standardize`: each input minus its running mean, over its running standard deviation.

A row is transformed by the statistics of the rows before it, then added to them. With rate a_n and
deviation d = x - m:

    m += a d,   v = (1 - a) (v + a d²),   a_n = max(1/n, 1/memory_rows)

which are the exact mean and variance of all rows (Welford 1962; West 1979) until `memory_rows`, and
fade exponentially from there on. m is `mean`, v `variance`, n `rows`.
"""

import math
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import StepOptions
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.prepare.base import Step

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


_RESOLUTION = 2.0**-24
"""Half a unit in the last place of a float32, relative: less than this is no variation."""


@inlined
def _transform(x: F32, out: F32, mean: F64, variance: F64, clip: float) -> None:
    """One row [D]: out = (x - mean) / sqrt(variance), held inside ±clip; 0 where nothing varies."""
    for d in range(x.shape[0]):
        spread = math.sqrt(variance[d])
        varies = spread > _RESOLUTION * abs(mean[d])
        z = (np.float64(x[d]) - mean[d]) / spread if varies else 0.0
        out[d] = min(max(z, -clip), clip)


@inlined
def _add(x: F32, mean: F64, variance: F64, rate: float) -> None:
    """One row [D] into the statistics: m += a d, v = (1 - a)(v + a d²); writes both."""
    for d in range(x.shape[0]):
        deviation = np.float64(x[d]) - mean[d]
        mean[d] += rate * deviation
        variance[d] = (1.0 - rate) * (variance[d] + rate * deviation * deviation)


@kernel
def _learn(
    x: F32, out: F32, mean: F64, variance: F64, rows: I64, slowest: float, clip: float
) -> None:
    """Transform, then add, each row in order. x, out [B, D]; mean, variance [D], rows [1] move."""
    for b in range(x.shape[0]):
        _transform(x[b], out[b], mean, variance, clip)
        rows[0] += 1
        _add(x[b], mean, variance, max(1.0 / rows[0], slowest))


@kernel
def _infer(x: F32, out: F32, mean: F64, variance: F64, clip: float) -> None:
    """Transform rows x [B, D] into out [B, D]; the statistics [D] stay as they are."""
    for b in range(x.shape[0]):
        _transform(x[b], out[b], mean, variance, clip)


class Standardize(Step):
    """Bring every input to mean 0 and variance 1, as far as the stream has shown them.

    An input that does not vary gives 0: how far a first change stands out is not known yet.

    Parameters
    ----------
    options
        `memory_rows`: how fast old rows fade; `clip`: bound of what goes out.
    place
        Widths; the rest is not used.

    """

    GAUGES = ("constant_inputs",)

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "standardize"`: running mean 0 and variance 1 an input."""

        memory_rows: Annotated[
            int,
            Meta(
                ge=0,
                le=1 << 40,
                description="Rows that the statistics remember, fading; 0: all, equally.",
                extra={"unit": "rows"},
            ),
        ] = 0
        clip: Annotated[
            float,
            Meta(
                ge=0.1,
                le=1e6,
                description="Largest value that goes out, either sign.",
                extra={"unit": "standard deviations"},
            ),
        ] = 8.0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        # float64: with float32 a mean stands still once 1/n is below its precision, 10⁷ rows in
        self._mean = np.zeros(place.width_in, np.float64)
        self._variance = np.zeros(place.width_in, np.float64)
        self._rows = np.zeros(1, np.int64)
        self._slowest = 1.0 / options.memory_rows if options.memory_rows else 0.0
        self._clip = float(options.clip)

    def learn(self, rows: Rows) -> None:
        """Transform each row by the statistics before it, then add it to them."""
        state = (self._mean, self._variance, self._rows)
        _learn(rows.x, rows.out, *state, self._slowest, self._clip)

    def infer(self, x: F32, out: F32) -> None:
        """Transform rows x [B, D] into out [B, D] by the statistics as they are."""
        _infer(x, out, self._mean, self._variance, self._clip)

    def arrays(self) -> Arrays:
        """`mean` [D], `variance` [D], `rows` [1]: how many rows they are made of."""
        return {"mean": self._mean, "variance": self._variance, "rows": self._rows}

    def gauges(self) -> dict[str, float]:
        """`constant_inputs`: share of inputs that do not vary, and so give 0."""
        constant = np.sqrt(self._variance) <= _RESOLUTION * np.abs(self._mean)
        return {"constant_inputs": float(np.mean(constant))}
