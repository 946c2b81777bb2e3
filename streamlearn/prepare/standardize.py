"""`standardize`: each input minus its running mean, over its running standard deviation.

A row is transformed by the statistics of the rows before it, then added to them. With rate a_n and
deviation d = x - m:

    m += a d,   v = (1 - a) (v + a d²),   a_n = max(1/n, 1/memory_rows)

which are the exact mean and variance of all rows (Welford 1962; West 1979) until `memory_rows`, and
fade exponentially from there on. m is `mean`, v `variance`, n `rows`, counted for each input.

What a sensor gone wrong sends must not stay. After every W = `patience_rows` rows there is a look:
the mean m' and variance v' of these rows alone take the place of m and v, with n = W, where

    more than half of them were not added,   or   0 < v' < v / 10⁶

that is, where a new level has come to stay, or v was made by values that are gone. Up to the next
look, inputs with |d| > r = `limit` sqrt(v) are not added; of rows that are distributed alike, at
most one in `limit`² can be so far away (Chebyshev). r is `reach`, 0 where no input is too far.

P places: one, or one a stream and one for all. D inputs, S streams kept.
"""

import math
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import StepOptions
from streamlearn.errors import ConfigError
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32, Arrays, Place, Rows, alone
from streamlearn.prepare.base import Step

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

_RESOLUTION: Final = 2.0**-24
"""Half a unit in the last place of a float32, relative: less than this is no variation."""
_ALIKE: Final = 1e-3
"""Of the usual deviation: rows that differ by less look alike once they are standardised."""
_MOST_BYTES: Final = 1 << 30
_NOBODY: Final = -1


class Statistics(NamedTuple):
    """What is kept of the inputs of each place."""

    mean: F64
    """[P, D] m"""
    variance: F64
    """[P, D] v"""
    rows: I64
    """[P, D] n"""
    reach: F64
    """[P, D] r; 0: as far as it may be."""
    new_mean: F64
    """[P, D] m', of the rows since the last look at them."""
    new_variance: F64
    """[P, D] v'"""
    new_far: I64
    """[P, D] how many of these were not added."""
    new_rows: I64
    """[P] how many there are."""
    stream: I32
    """[P] the stream's number; -1: none yet."""


class Setting(NamedTuple):
    """Options as the kernel wants them."""

    slowest: float
    """Least rate."""
    clip: float
    limit: float
    """0: no input is too far away."""
    patience: int
    """W; 0: nothing is looked at."""


@inlined
def _varies(mean: float, spread: float) -> bool:
    return spread > _RESOLUTION * abs(mean)


@inlined
def _transform(x: F32, out: F32, mean: F64, variance: F64, clip: float) -> None:
    """One row [D]: out = (x - mean) / sqrt(variance), held inside ±clip; 0 where nothing varies."""
    for d in range(x.shape[0]):
        spread = math.sqrt(variance[d])
        z = (np.float64(x[d]) - mean[d]) / spread if _varies(mean[d], spread) else 0.0
        out[d] = min(max(z, -clip), clip)


@inlined
def _add(x: F32, one: Statistics, p: int, how: Setting) -> None:
    """One row [D] into m, v and n of place p, but for inputs that are too far away: m += a d."""
    mean, variance, rows, reach = one.mean[p], one.variance[p], one.rows[p], one.reach[p]
    for d in range(x.shape[0]):
        deviation = np.float64(x[d]) - mean[d]
        if reach[d] > 0 and abs(deviation) > reach[d]:
            one.new_far[p, d] += 1
        else:
            rows[d] += 1
            rate = max(1.0 / rows[d], how.slowest)
            mean[d] += rate * deviation
            variance[d] = (1.0 - rate) * (variance[d] + rate * deviation * deviation)


@inlined
def _add_new(x: F32, mean: F64, variance: F64, rate: float) -> None:
    """One row [D] into the statistics m' and v' of the newest rows; writes both."""
    for d in range(x.shape[0]):
        deviation = np.float64(x[d]) - mean[d]
        mean[d] += rate * deviation
        variance[d] = (1.0 - rate) * (variance[d] + rate * deviation * deviation)


@inlined
def _look(one: Statistics, p: int, how: Setting) -> None:
    """Let the newest rows take the place of what was known where that is over; then begin anew."""
    for d in range(one.mean.shape[1]):
        mean, variance = one.new_mean[p, d], one.new_variance[p, d]
        tiny = variance < _ALIKE * _ALIKE * one.variance[p, d]
        if 2 * one.new_far[p, d] > how.patience or (tiny and _varies(mean, math.sqrt(variance))):
            one.mean[p, d], one.variance[p, d], one.rows[p, d] = mean, variance, how.patience
        spread = math.sqrt(one.variance[p, d])
        one.reach[p, d] = how.limit * spread if _varies(one.mean[p, d], spread) else 0.0
        one.new_mean[p, d] = one.new_variance[p, d] = 0.0
        one.new_far[p, d] = 0
    one.new_rows[p] = 0


@inlined
def _take(x: F32, one: Statistics, p: int, how: Setting) -> None:
    """One row [D] into all that is kept of place p."""
    _add(x, one, p, how)
    if how.patience > 0:
        one.new_rows[p] += 1
        _add_new(x, one.new_mean[p], one.new_variance[p], 1.0 / one.new_rows[p])
        if one.new_rows[p] == how.patience:
            _look(one, p, how)


@inlined
def _begin(one: Statistics, p: int, stream: int) -> None:
    """Let place p be that of a stream of which nothing is known."""
    one.stream[p] = stream
    one.new_rows[p] = 0
    for d in range(one.mean.shape[1]):
        one.mean[p, d] = one.variance[p, d] = 0.0
        one.rows[p, d] = one.new_far[p, d] = 0
        one.reach[p, d] = one.new_mean[p, d] = one.new_variance[p, d] = 0.0


@inlined
def _place_of(one: Statistics, slot: int, stream: int) -> int:
    """Where a stream's statistics are: in its slot, or in another's; else the last, for all."""
    last = int(one.stream.shape[0]) - 1
    if slot < last and one.stream[slot] == stream:
        return slot
    for p in range(last):
        if one.stream[p] == stream:
            return p
    return last


@kernel
def _run(x: F32, out: F32, who: Plain, state: Plain, setting: Plain, learns: bool) -> None:  # noqa: FBT001
    """Transform each row, then add it where it is to be learned; in order.

    x [B, D] and who, slot and stream [B], are read; out [B, D] is written; state, a `Statistics`
    as a plain tuple, moves where `learns`; setting is a `Setting`. One place needs no who.
    """
    one, how = Statistics(*state), Setting(*setting)
    last = one.mean.shape[0] - 1
    for b in range(x.shape[0]):
        p = 0
        if last > 0:
            slot, stream = int(who[0][b]), int(who[1][b])
            if learns and slot < last and one.stream[slot] != stream:
                _begin(one, slot, stream)
            p = _place_of(one, slot, stream)
        _transform(x[b], out[b], one.mean[p], one.variance[p], how.clip)
        if learns:
            _take(x[b], one, p, how)
            if p < last:
                _take(x[b], one, last, how)


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
        `memory_rows`: how fast old rows fade; `clip`: bound of what goes out; `limit`,
        `patience_rows`: what is not believed at once; `per`: whose statistics.
    place
        Widths, and how many streams are kept.

    Raises
    ------
    ConfigError
        Where statistics of every stream would take more than 1 GiB.

    """

    GAUGES = ("constant_inputs", "far_inputs")

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
        per: Annotated[
            Literal["all", "stream"],
            Meta(description="One mean and deviation for all streams, or each stream its own."),
        ] = "all"
        limit: Annotated[
            float,
            Meta(
                ge=0.0,
                le=1e9,
                description=(
                    "An input further from its mean is not believed until it stays; 0: all are. "
                    "All are before patience_rows are known, and where fewer are remembered."
                ),
                extra={"unit": "standard deviations"},
            ),
        ] = 100.0
        patience_rows: Annotated[
            int,
            Meta(
                ge=10,
                le=1 << 30,
                description="Rows after which a new level, or one that came back, is believed.",
                extra={"unit": "rows"},
            ),
        ] = 1000

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        places = 1 if options.per == "all" else place.live + 1
        _check_room(56 * places * place.width_in)
        self._state = _statistics(places, place.width_in)
        memory, patience = options.memory_rows, options.patience_rows
        doubts = options.limit > 0 and (memory == 0 or memory >= patience)
        self._setting = Setting(
            slowest=1.0 / memory if memory else 0.0,
            clip=float(options.clip),
            limit=float(options.limit) if doubts else 0.0,
            patience=patience if options.limit > 0 else 0,
        )

    @property
    def follows(self) -> bool:
        """Where each stream has its own statistics."""
        return bool(self.options.per == "stream")

    def learn(self, rows: Rows) -> None:
        """Transform each row by the statistics before it, then add it to them."""
        self._run(rows, self._state, learns=True)

    def follow(self, rows: Rows) -> None:
        """Transform each row by its stream's statistics as they are, or by those of all."""
        self._run(rows, self._state, learns=False)

    def respond(self, rows: Rows) -> None:
        """Answer streams of their own, or each row as what would come next in slot 0."""
        if rows.origin is not None and self.follows:
            self._run(rows, _statistics(*self._state.mean.shape), learns=True)
        else:
            self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Transform rows x [B, D] into out [B, D] by the statistics as they are, of slot 0."""
        _infer(x, out, self._state.mean[0], self._state.variance[0], self._setting.clip)

    def _run(self, rows: Rows, state: Statistics, *, learns: bool) -> None:
        origin = rows.origin or alone(len(rows.x) if self.follows else 0)
        who = origin.slot, origin.stream
        _run(rows.x, rows.out, who, tuple(state), tuple(self._setting), learns)

    def arrays(self) -> Arrays:
        """The `Statistics`, by name."""
        return self._state._asdict()

    def gauges(self) -> dict[str, float]:
        """`constant_inputs`: share of inputs that do not vary, and so give 0.

        `far_inputs`: share of the newest inputs that are too far away to be believed yet.
        """
        one = self._state
        used = one.rows.any(axis=1) if one.rows.any() else np.ones(len(one.rows), np.bool_)
        constant = np.sqrt(one.variance) <= _RESOLUTION * np.abs(one.mean)
        looked = max(1, int(one.new_rows[-1]) * one.mean.shape[1])
        return {
            "constant_inputs": float(np.mean(constant[used])),
            "far_inputs": float(one.new_far[-1].sum() / looked),
        }


def _statistics(places: int, inputs: int) -> Statistics:
    """Of nothing yet."""
    shape = places, inputs
    return Statistics(
        mean=np.zeros(shape, np.float64),
        # float64: with float32 a mean stands still once 1/n is below its precision, 10⁷ rows in
        variance=np.zeros(shape, np.float64),
        rows=np.zeros(shape, np.int64),
        reach=np.zeros(shape, np.float64),
        new_mean=np.zeros(shape, np.float64),
        new_variance=np.zeros(shape, np.float64),
        new_far=np.zeros(shape, np.int64),
        new_rows=np.zeros(places, np.int64),
        stream=np.full(places, _NOBODY, np.int32),
    )


def _check_room(wanted_bytes: int) -> None:
    if wanted_bytes > _MOST_BYTES:
        line = (
            f"per: statistics of every stream take {wanted_bytes / 1e9:.1f} GB, more than 1.1; use "
            '"all", or make stream.live smaller'
        )
        raise ConfigError([line])
