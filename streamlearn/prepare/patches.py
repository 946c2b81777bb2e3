"""`patches`: a frame as a grid of patches, each of them a position of its own. No state.

A frame of h by w pixels (and channels) becomes [rows, columns, side · side · channels] patches of
`side` pixels, `hop` apart; what is left at the right and lower edge is not looked at.
"""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from streamlearn.config import StepOptions
from streamlearn.errors import ConfigError
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.prepare.base import Step


class Patches(Step):
    """Cut each frame into patches.

    Parameters
    ----------
    options
        `side` and `hop`.
    place
        The frame's shape: (h, w) or (h, w, channels).

    Raises
    ------
    ConfigError
        Where rows are no frames, or smaller than a patch.

    """

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "patches"`: a frame as a grid of patches."""

        side: Annotated[
            int,
            Meta(ge=1, le=4096, description="Side of a patch.", extra={"unit": "pixels"}),
        ] = 16
        hop: Annotated[
            int,
            Meta(
                ge=0,
                le=4096,
                description="From one patch to the next; 0: side, so that none overlap.",
                extra={"unit": "pixels"},
            ),
        ] = 0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        shape = place.shape_in
        if len(shape) not in (2, 3) or min(shape[:2]) < options.side:
            raise ConfigError(
                [
                    (
                        f"side: expected frames of {options.side} x {options.side} pixels or more, "
                        f"got rows of shape {list(shape)}"
                    )
                ]
            )
        self._order, self._grid = _order(shape, options.side, options.hop or options.side)

    @property
    def shape_out(self) -> tuple[int, ...]:
        """Rows and columns of the grid, then the numbers of a patch."""
        return *self._grid, self.width_out // (self._grid[0] * self._grid[1])

    @property
    def width_out(self) -> int:
        """Numbers of all patches."""
        return len(self._order)

    def learn(self, rows: Rows) -> None:
        """Cut the rows; there is nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the patches of frames [B, h w c]."""
        np.take(x, self._order, axis=1, out=out, mode="clip")

    def arrays(self) -> Arrays:
        """Nothing: the options say it all."""
        return {}


def _order(
    shape: tuple[int, ...], side: int, hop: int
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], tuple[int, int]]:
    """Which number of a frame stands where in its patches, and rows and columns of the grid."""
    numbers = np.arange(int(np.prod(shape))).reshape(*shape[:2], -1)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, (side, side), axis=(0, 1))
    grid = windows[::hop, ::hop].transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(grid).ravel(), (grid.shape[0], grid.shape[1])
