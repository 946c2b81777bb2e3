"""Negatives without labels: rows that are made of real ones and are not real.

A layer that learns by contrast asks for one with every row. Four ways, by `negatives =`:

- `hybrid`: m z + (1 - m) z', two real rows under a smooth random mask m (Hinton, The
  forward-forward algorithm, arXiv 2212.13345, section 3.2): right in every small region, wrong as
  a whole;
- `pairing`: (z + z') / 2, where the positive is (z + z) / 2 = z (Chen et al., Self-contrastive
  forward-forward algorithm, arXiv 2409.11593): same weights on both halves;
- `shuffled`: the steps of a window [T, …] in another order, each moved from its place;
- `generated`: what the layer predicts its input to be, from half of its own activity for the row
  and half of that for another row; see `generate`.

z is the row as the layer reads it, z' one of the rows kept in a reservoir: the first N rows, then
each new row in the place of a random one. So rows are of any age, N rows on average, and a stream
that drifts takes its reservoir along. Choices follow from (seed, row, draw) alone.

D inputs, H units, N kept rows, M masks on R x C places of Q channels, T time steps.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.errors import ConfigError
from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.forward_forward.generate import learn_to_generate, predict_mixture
from streamlearn.rules.forward_forward.masks import U8, grid_of, mask_bank

I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

HYBRID: Final = 0
PAIRING: Final = 1
SHUFFLED: Final = 2
GENERATED: Final = 3
KINDS: Final = {
    "hybrid": HYBRID,
    "pairing": PAIRING,
    "shuffled": SHUFFLED,
    "generated": GENERATED,
}

_DRAWS: Final = 1 << 20
"""Number of the first draw that is made here; whoever makes negatives keeps below it."""
_SLOT, _PARTNER, _MASK, _DOWN, _ACROSS, _HALF = range(_DRAWS, _DRAWS + 6)
_FIRST: Final = 2 * _DRAWS
"""The first of the T draws that shuffle, or of the H / 32 that mix activities."""
_NO_MASKS: Final = np.zeros((0, 0, 0), np.uint8)


class Source(NamedTuple):
    """What negatives are made from; only `generated` has weights, only it keeps activities."""

    kind: int
    seed: int
    grid: tuple[int, ...]
    """A `masks.Grid`, as a plain tuple."""
    steps: int
    """T, or 1."""
    masks: U8
    """[M, R, 2 C Q] see `masks.mask_bank`; of `hybrid` alone."""
    kept: F32
    """[N, D] rows as the layer read them, or [N, H] what it answered."""
    kept_rows: I64
    """[1] rows that were ever put there."""
    weights: F32
    """[H, D] from activities down to inputs, or [0, D]."""
    guess: F32
    """[D] room for learning to predict, or [0]; what only makes negatives needs no room."""


@inlined
def _below(source: Source, row: int, draw: int, count: int) -> int:
    """Choose one of 0 … count - 1 for a row."""
    return int(uniform(source.seed, row, draw) * count)


@inlined
def _blend(source: Source, x: F32, other: F32, row: int, out: F32) -> None:
    """Write out [D]: x [D] where a random mask is one thing, other [D] where it is the other."""
    planes, R, C, Q = source.grid
    masks = source.masks
    mask = masks[_below(source, row, _MASK, masks.shape[0])]
    down, across = _below(source, row, _DOWN, R), _below(source, row, _ACROSS, C) * Q
    mine = np.uint8(_below(source, row, _HALF, 2))
    for line in range(planes * R):
        chosen = mask[(line + down) % R, across : across + C * Q]
        begin = line * C * Q
        for i in range(C * Q):
            at = begin + i
            out[at] = x[at] if chosen[i] == mine else other[at]


@inlined
def _average(x: F32, other: F32, out: F32) -> None:
    """Write out = (x + other) / 2, all [D]."""
    for i in range(out.shape[0]):
        out[i] = np.float32(0.5) * (x[i] + other[i])


@inlined
def _shuffle(source: Source, x: F32, row: int, out: F32) -> None:
    """Write the T steps of x [D] to out [D], in an order that is one cycle (Sattolo 1986).

    So no step stays in its place, and each of the (T - 1)! cycles is as likely.
    """
    for i in range(out.shape[0]):
        out[i] = x[i]
    width = x.shape[0] // source.steps
    for t in range(source.steps - 1, 0, -1):
        here, there = t * width, _below(source, row, _FIRST + t, t) * width
        for i in range(width):
            out[here + i], out[there + i] = out[there + i], out[here + i]


@inlined
def make_negative(negatives: Plain, x: F32, activity: F32, row: int, out: F32) -> bool:
    """Write a negative of a row to out [D]; False, and nothing is written, while there is none.

    x [D] is the row as the layer reads it, activity [H] what the layer answers (looked at by
    `generated` alone), row its number. None can be made while nothing is kept; `shuffled` needs
    nothing but the row. A negative may be all zeros, as a generator's first one is.
    """
    source = Source(*negatives)
    kind, held = source.kind, min(source.kept_rows[0], source.kept.shape[0])
    if kind == SHUFFLED:
        _shuffle(source, x, row, out)
        return True
    if held == 0:
        return False
    other = source.kept[_below(source, row, _PARTNER, held)]
    if kind == HYBRID:
        _blend(source, x, other, row, out)
    elif kind == PAIRING:
        _average(x, other, out)
    else:
        predict_mixture(source.weights, activity, other, (source.seed, row, _FIRST), out)
    return True


@inlined
def remember(negatives: Plain, x: F32, activity: F32, row: int) -> None:
    """Keep a row for later negatives, and learn to generate; to be called once a row, at its end.

    x [D], activity [H] and row are as in `make_negative`. The reservoir moves, and with
    `generated` the weights.
    """
    source = Source(*negatives)
    generated = source.kind == GENERATED
    if generated:
        learn_to_generate(source.weights, activity, x, source.guess)
    held, N = source.kept_rows[0], source.kept.shape[0]
    slot = held if held < N else _below(source, row, _SLOT, N)
    kept, given = source.kept[slot], activity if generated else x
    for i in range(kept.shape[0]):
        kept[i] = given[i]
    source.kept_rows[0] += 1


class Negatives:
    """Where a layer's negatives come from.

    Parameters
    ----------
    options
        Of the rule: `units`, `negatives`, `reservoir_rows`.
    place
        Width, shape and seed of the layer's input.

    Attributes
    ----------
    plain
        What `make_negative` and `remember` take, as a plain tuple for kernels.

    Raises
    ------
    ConfigError
        Where `shuffled` finds fewer than two time steps.

    """

    def __init__(self, options: Any, place: Place) -> None:
        self._kind = KINDS[options.negatives]
        self._width = place.width_in
        grid = grid_of(place.shape_in)
        generated = self._kind == GENERATED
        D, H = place.width_in, options.units if generated else 0
        self._source = Source(
            kind=self._kind,
            seed=place.seed,
            grid=tuple(grid),
            steps=_steps(place) if self._kind == SHUFFLED else 1,
            masks=mask_bank(grid, place.seed) if self._kind == HYBRID else _NO_MASKS,
            kept=np.zeros((options.reservoir_rows, H or D), np.float32),
            kept_rows=np.zeros(1, np.int64),
            weights=np.zeros((H, D), np.float32),
            guess=np.zeros(D if generated else 0, np.float32),
        )
        self.plain: Plain = tuple(self._source)

    def arrays(self) -> Arrays:
        """Kept rows or activities, their count, and the weights of a generator."""
        source = self._source
        state: Arrays = {"kept": source.kept, "kept_rows": source.kept_rows}
        return state | ({"generative": source.weights} if self._kind == GENERATED else {})

    def cost(self) -> int:
        """About how many bytes a row's negative moves: half the generator is read thrice."""
        return 12 * self._width + 8 * self._source.weights.size


def _steps(place: Place) -> int:
    """T, the first number of the shape."""
    steps = place.shape_in[0] if len(place.shape_in) > 1 else 1
    if steps < 2:
        line = (
            'negatives: "shuffled" expected rows of shape [T, …] with at least 2 time steps, '
            f"got {list(place.shape_in)}; set stream.shape to the window's, or choose another of "
            f"{', '.join(kind for kind in KINDS if kind != 'shuffled')}"
        )
        raise ConfigError([line])
    return steps
