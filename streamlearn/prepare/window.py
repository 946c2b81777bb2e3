"""`window`: several samples of a stream make one row, and the next row begins a hop later.

It works at ingest, before the ring, as it changes the number of rows. A row holds the window's
samples in order and keeps the seq of the last of them, so rows come out the same wherever messages
were cut. Each of the streams that are kept (`stream.live`) has its own last samples; they are part
of the checkpoint.
"""

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import DTypeLike, NDArray

from streamlearn.errors import ConfigError
from streamlearn.options import StepOptions
from streamlearn.part import I32, UNLABELLED, Arrays

_MOST_BYTES = 1 << 30


class Cut(NamedTuple):
    """The windows that end within some samples."""

    x: NDArray[Any]
    """[m, rows * D]"""
    y: I32
    """[m]"""
    last: NDArray[np.int64]
    """[m] index of each window's last sample among those given."""
    begins: bool
    """Whether the first window is the first of its stream, or the first after a gap."""


class Window:
    """The last samples of every stream that is kept, and the windows cut from them.

    Parameters
    ----------
    options
        How long, how far apart, whose label.
    live
        S: how many streams are kept.
    width
        D: numbers a sample.
    dtype
        Type in which samples are kept.

    Raises
    ------
    ConfigError
        Where the samples kept would take more than 1 GiB.

    """

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "window"`: several samples a row."""

        rows: Annotated[
            int,
            Meta(ge=1, le=1 << 16, description="Samples a window.", extra={"unit": "samples"}),
        ]
        hop: Annotated[
            int,
            Meta(
                ge=1,
                le=1 << 16,
                description="Samples from one window's begin to the next.",
                extra={"unit": "samples"},
            ),
        ]
        label: Annotated[
            Literal["last", "majority"],
            Meta(description="A window's label: its last sample's, or the commonest in it."),
        ] = "last"

        def shape_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
            """Shape of a window of samples of a shape; single numbers lie side by side."""
            if self.rows == 1:
                return shape
            return (self.rows,) if shape == (1,) else (self.rows, *shape)

    def __init__(self, options: Options, live: int, width: int, dtype: DTypeLike) -> None:
        room = live * (options.rows - 1) * width * np.dtype(dtype).itemsize
        if room > _MOST_BYTES:
            raise ConfigError(
                [
                    (
                        f"prepare[0].rows: {live} streams of {options.rows - 1} samples kept take "
                        f"{room / 1e9:.1f} GB; make the window or stream.live smaller"
                    )
                ]
            )
        self._options = options
        self._x = np.zeros((live, options.rows - 1, width), dtype)
        self._y = np.full((live, options.rows - 1), UNLABELLED, np.int32)
        self._kept = np.zeros(live, np.int64)
        self._left = np.full(live, options.rows, np.int64)
        self._fresh = np.ones(live, np.uint8)

    @property
    def hop(self) -> int:
        """Samples from one row's last to the next one's."""
        return int(self._options.hop)

    def cut(self, slot: int, x: NDArray[Any], y: I32 | None, *, begins: bool) -> Cut:
        """Take samples in and give the windows that are complete with them.

        Parameters
        ----------
        slot
            The stream's place.
        x
            [n, D] samples, in the order of the stream.
        y
            [n] labels, or None where there are none.
        begins
            Whether they do not follow the samples before.

        """
        rows, hop = self._options.rows, self._options.hop
        if begins:
            self._kept[slot], self._left[slot], self._fresh[slot] = 0, rows, 1
        kept, left = int(self._kept[slot]), int(self._left[slot])
        n = len(x)
        ends = np.arange(left, n + 1, hop)
        labels = np.full(n, UNLABELLED, np.int32) if y is None else y
        whole_x = np.concatenate([self._x[slot, rows - 1 - kept :], x])
        whole_y = np.concatenate([self._y[slot, rows - 1 - kept :], labels])
        fresh = bool(self._fresh[slot]) and len(ends) > 0
        cut = Cut(
            self._windows(whole_x, ends + kept), self._labels(whole_y, ends + kept), ends - 1, fresh
        )
        self._left[slot] = left - n + len(ends) * hop
        self._fresh[slot] = self._fresh[slot] and not fresh
        self._keep(slot, whole_x, whole_y)
        return cut

    def _windows(self, x: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[Any]:
        rows = self._options.rows
        if not len(ends):
            return np.zeros((0, rows * x.shape[1]), x.dtype)
        at = ends[:, None] + np.arange(-rows, 0)
        windows: NDArray[Any] = x[at].reshape(len(ends), -1)
        return windows

    def _labels(self, y: I32, ends: NDArray[np.int64]) -> I32:
        if self._options.label == "last":
            return np.ascontiguousarray(y[ends - 1])
        windows = (y[end - self._options.rows : end] for end in ends)
        return np.array([_commonest(window) for window in windows], np.int32)

    def _keep(self, slot: int, x: NDArray[Any], y: I32) -> None:
        rows = self._options.rows
        kept = min(len(x), rows - 1)
        self._kept[slot] = kept
        if kept:
            self._x[slot, rows - 1 - kept :] = x[-kept:]
            self._y[slot, rows - 1 - kept :] = y[-kept:]

    def arrays(self) -> Arrays:
        """What a checkpoint needs: the last samples and labels of every stream, and how far."""
        return {
            "x": self._x,
            "y": self._y,
            "kept": self._kept,
            "left": self._left,
            "fresh": self._fresh,
        }


def _commonest(y: I32) -> int:
    """The commonest known label, the smallest of equals; -1 where none is known."""
    known = y[y >= 0]
    return int(np.bincount(known).argmax()) if len(known) else UNLABELLED
