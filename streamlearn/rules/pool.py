"""`pool`: mean and standard deviation of a stream's last rows, so that a head sees more than one.

With the last n <= `rows` rows x_1 … x_n of the row's own stream, the newest among them:

    mean = sum x_i / n,   deviation = sqrt(sum (x_i - mean)² / n)

A fixed layer: nothing is learned, but it goes along with every stream. What a step of a few
milliseconds cannot tell (an exercise, a voice) the statistics of a second or two often can.
"""

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32, U8, Arrays, Place, Rows, alone
from streamlearn.rules.base import Rule

I64 = NDArray[np.int64]
_MOST_BYTES = 1 << 30


@inlined
def _statistics(last: F32, n: int, out: F32, deviates: bool) -> None:  # noqa: FBT001  a kernel's
    """Mean, and deviation where wanted, of the first n of last [N, D]; writes out [D] or [2 D]."""
    D = last.shape[1]
    for d in range(D):
        total = 0.0
        for i in range(n):
            total += np.float64(last[i, d])
        mean = total / n
        out[d] = mean
        if deviates:
            squares = 0.0
            for i in range(n):
                squares += (np.float64(last[i, d]) - mean) ** 2
            out[D + d] = np.sqrt(squares / n)


@kernel
def _pool(x: F32, out: F32, slot: I32, begins: U8, last: F32, count: I64, deviates: bool) -> None:  # noqa: FBT001
    """Take each row into its stream's last rows, then write their statistics.

    x [B, D], slot [B] and begins [B] are read, out [B, D] or [B, 2 D] is written; last [S, N, D],
    a ring of rows for each slot, and count [S], rows since the stream began, move.
    """
    N = last.shape[1]
    for b in range(x.shape[0]):
        s = slot[b]
        if begins[b]:
            count[s] = 0
        row = last[s, count[s] % N]
        for d in range(x.shape[1]):
            row[d] = x[b, d]
        count[s] += 1
        _statistics(last[s], min(count[s], N), out[b], deviates)


class Pool(Rule):
    """Mean and deviation of each input over a stream's last rows.

    Parameters
    ----------
    options
        How many rows; whether deviations go out besides.
    place
        Widths, and how many streams are kept.

    Raises
    ------
    ConfigError
        Where the rows kept would take more than 1 GiB.

    """

    class Options(LayerOptions, frozen=True, kw_only=True):
        """`[[layer]]` with `rule = "pool"`: statistics of the last rows of each stream."""

        rows: Annotated[
            int, Meta(ge=1, le=1 << 16, description="Rows of a stream.", extra={"unit": "rows"})
        ] = 10
        gives: Annotated[
            Literal["mean", "mean_deviation"],
            Meta(description="The mean alone, or the standard deviation beside it."),
        ] = "mean_deviation"

    GAUGES = ()

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        room = 4 * (place.live + 1) * options.rows * place.width_in
        if room > _MOST_BYTES:
            line = (
                f"rows: {options.rows} rows of {place.live} streams take {room / 1e9:.1f} GB; "
                "make it or stream.live smaller"
            )
            raise ConfigError([line])
        self._deviates = options.gives == "mean_deviation"
        self._last, self._count = self._room()

    def _room(self) -> tuple[F32, I64]:
        slots = self.place.live + 1
        last = np.zeros((slots, self.options.rows, self.place.width_in), np.float32)
        return last, np.zeros(slots, np.int64)

    @property
    def width_out(self) -> int:
        """D means, and D deviations where they go out."""
        return self.place.width_in * (2 if self._deviates else 1)

    @property
    def follows(self) -> bool:
        """It looks back along a stream."""
        return True

    @property
    def reach(self) -> int:
        """The rows it pools."""
        return int(self.options.rows)

    def learn(self, rows: Rows) -> None:
        """Go along with the streams; there is nothing to learn."""
        self._pool(rows, self._last, self._count)

    def follow(self, rows: Rows) -> None:
        """The same as `learn`."""
        self.learn(rows)

    def respond(self, rows: Rows) -> None:
        """Pool rows of streams of their own, or each as what would come next in slot 0."""
        if rows.origin is not None:
            self._pool(rows, *self._room())
            return
        for b in range(len(rows.x)):
            one = Rows(rows.x[b : b + 1], rows.out[b : b + 1], rows.y[b : b + 1], rows.first)
            self._pool(one, self._last[:1].copy(), self._count[:1].copy())

    def infer(self, x: F32, out: F32) -> None:
        """Pool each row [B, D] as what would come next in slot 0."""
        self.respond(Rows(x, out, np.full(len(x), -1, np.int32), 0))

    def _pool(self, rows: Rows, last: F32, count: I64) -> None:
        origin = rows.origin or alone(len(rows.x), begin=False)
        _pool(rows.x, rows.out, origin.slot, origin.begins, last, count, self._deviates)

    def arrays(self) -> Arrays:
        """`last` [S + 1, N, D]: rows of each slot; `count` [S + 1]: rows since it began."""
        return {"last": self._last, "count": self._count}

    def cost(self) -> int:
        """Every row kept is read once, and twice for deviations."""
        return 8 * self.reach * self.place.width_in
