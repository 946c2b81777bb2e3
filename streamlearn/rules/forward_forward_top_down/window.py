"""What the lowest level sees: the last rows, smaller and without their background, and wrong ones.

A row [h, w] becomes the means of its squares of `shrink` pixels a side; F of these, the newest
first, are a window. Their background, a fading mean of such rows, is taken from all of them alike,
so that only what moves is left of a fixed camera's picture. A window is divided by its root mean
square: a row counts by its direction. Before F rows have come the oldest stands for those missing.

Negatives, by `negatives`, are windows that are wrong in one thing:

- reversed: the same rows backwards;
- returned: in the place of the newest row the one two before it, as if time had turned;
- stored: in its place a past row from a store of R, whose places are taken at random.

F rows of a window, D inputs after shrinking, R stored rows.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.random import uniform
from streamlearn.part import F32

Plain = tuple[Any, ...]

REVERSED: Final = 0
RETURNED: Final = 1
STORED: Final = 2
MIXED: Final = 3

_LARGEST = np.float32(1e30)
"""Inputs beyond are cut to it, so that no difference of two leaves float32."""
_KIND, _CHOSEN, _SLOT = range(3)
"""Draws of a row that are made here."""


class Frames(NamedTuple):
    """What is kept of past rows."""

    past: F32
    """[F - 1, D] the last rows, the newest first."""
    background: F32
    """[D] their fading mean."""
    stored: F32
    """[R, D] rows for negatives; empty where none are needed."""


@inlined
def _shrink(x: F32, width: int, side: int, out: F32) -> None:
    """Write the means of squares of `side` pixels of the image x [h * width] to out [D]."""
    if side == 1:
        for i in range(out.shape[0]):
            out[i] = min(max(x[i], -_LARGEST), _LARGEST)
        return
    columns = width // side
    share = np.float32(1.0 / (side * side))
    out[:] = 0
    for p in range(x.shape[0]):
        i = (p // width // side) * columns + (p % width) // side
        out[i] += share * min(max(x[p], -_LARGEST), _LARGEST)


@inlined
def _write_window(row: F32, frames: Frames, rows: int, rate: float, out: F32) -> None:
    """Write the window [F * D] that the row [D] and the rows before it make, without background."""
    past, background = frames.past, frames.background
    D, held = row.shape[0], min(rows, past.shape[0])
    if rate > 0 and rows == 0:
        out[:] = 0  # the first row is its own background
        return
    for i in range(D):
        out[i] = row[i] - background[i]
    for f in range(1, past.shape[0] + 1):
        # Of a stream that has just begun the oldest row stands for the missing ones.
        source = past[min(f, held) - 1] if held > 0 else row
        for i in range(D):
            out[f * D + i] = source[i] - background[i]


@inlined
def _reverse(window: F32, D: int, out: F32) -> None:
    """Write the rows of a window [F * D] in the opposite order."""
    F = window.shape[0] // D
    for f in range(F):
        for i in range(D):
            out[f * D + i] = window[(F - 1 - f) * D + i]


@inlined
def _write_negative(
    window: F32, frames: Frames, kind: int, rows: int, key: tuple[int, int], out: F32
) -> None:
    """Write a wrong window [F * D] made of a right one; key is (seed, row)."""
    D = frames.background.shape[0]
    seed, row = key
    chosen = int(3.0 * uniform(seed, row, _KIND)) if kind == MIXED else kind
    if chosen == REVERSED:
        _reverse(window, D, out)
        return
    for i in range(window.shape[0]):
        out[i] = window[i]
    if chosen == RETURNED:
        for i in range(D):
            out[i] = window[2 * D + i]
    else:
        held = min(rows, frames.stored.shape[0])
        if held > 0:
            stored = frames.stored[int(held * uniform(seed, row, _CHOSEN))]
            for i in range(D):
                out[i] = stored[i] - frames.background[i]


@inlined
def _keep_row(row: F32, frames: Frames, rows: int, rate: float, key: tuple[int, int]) -> None:
    """Put the row [D] in front of the last ones, into the background and the store."""
    past, background, stored = frames.past, frames.background, frames.stored
    for back in range(past.shape[0]):
        f = past.shape[0] - 1 - back
        newer = past[f - 1] if f > 0 else row
        for i in range(row.shape[0]):
            past[f, i] = newer[i]
    if rate > 0:
        part = np.float32(max(1.0 / (rows + 1), rate))
        for i in range(row.shape[0]):
            background[i] += part * (row[i] - background[i])
    if stored.shape[0]:
        seed, number = key
        slot = (
            rows if rows < stored.shape[0] else int(stored.shape[0] * uniform(seed, number, _SLOT))
        )
        for i in range(row.shape[0]):
            stored[slot, i] = row[i]


@inlined
def _normalise(window: F32) -> bool:
    """Divide a window [F * D], written, by its root mean square; False where it is all zeros."""
    largest = np.float32(0)
    for i in range(window.shape[0]):
        largest = max(largest, abs(window[i]))
    # Smaller ones are rounding of the background, and their squares would leave float32.
    if not largest > np.float32(1e-15):
        window[:] = 0
        return False
    factor = np.float32(1) / largest
    square = np.float32(0)
    for i in range(window.shape[0]):
        square += (window[i] * factor) * (window[i] * factor)
    factor *= np.sqrt(np.float32(window.shape[0]) / square)
    for i in range(window.shape[0]):
        window[i] *= factor
    return True


@kernel
def see(x: F32, frames: Plain, room: Plain, rows: int, key: Plain, how: Plain) -> int:
    """Make the windows of a row x, normalised; returns 1, or 0 where there is nothing to see.

    room: (row [D], windows [3, F * D]), written: the window, the same backwards, a negative;
    frames are `Frames`, rows how many came before, key is (seed, row's number), how: (pixels a
    line, shrink, 1 / background_rows, whether it is wanted backwards, kind of negative or -1).
    """
    row, windows = room
    width, side, rate, backwards, kind = how
    kept = Frames(*frames)
    _shrink(x, width, side, row)
    _write_window(row, kept, rows, rate, windows[0])
    if kind >= 0:
        _write_negative(windows[0], kept, kind, rows, key, windows[2])
        _normalise(windows[2])
    seen = _normalise(windows[0])
    if backwards:
        _reverse(windows[0], row.shape[0], windows[1])
    return int(seen)


@kernel
def keep(row: F32, frames: Plain, rows: int, rate: float, key: Plain) -> None:
    """Put the row [D] in front of the last ones, into the background and the store; see `see`."""
    _keep_row(row, Frames(*frames), rows, rate, key)
