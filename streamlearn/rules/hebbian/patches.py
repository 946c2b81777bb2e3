"""Units that look at every patch of an image, as a convolution does.

Each patch is a row of its own to the units; all positions share them. Its mean is taken off, as
units would else learn brightness before all; a patch without contrast is a row of zeros. They
answer to all patches of an image before they learn from any. What they answer is averaged over
squares of `pool` by `pool` positions, those at the edge too.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streamlearn.errors import ConfigError
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.hebbian.machine import Machine
from streamlearn.rules.hebbian.options import HebbianOptions

_IMAGE_AXES: Final = (2, 3)
_FAINT: Final = 1e-5
"""Contrast of a patch, over its brightness, that is rounding."""


def _wrong(side: int, shape: tuple[int, ...]) -> str:
    if len(shape) not in _IMAGE_AXES:
        return (
            f"field: expected rows of shape [h, w] or [h, w, channels], got {list(shape)}; "
            "give stream.shape, or set field to 0"
        )
    least = min(shape[:2])
    return (
        f"field: expected at most {least}, the image's side, got {side}; lower it"
        if side > least
        else ""
    )


def _shared(options: HebbianOptions, patches: int) -> HebbianOptions:
    """The options of a unit that sees so many patches for each row.

    At the floor of its rate an image would else move a unit hundreds of times as far as a row does,
    and a unit be replaced before many images have come.
    """
    return msgspec.structs.replace(
        options,
        rate_floor=options.rate_floor / patches,
        patience=options.patience * patches,
        anneal_rows=options.anneal_rows * patches,
    )


class Patches:
    """A machine for rows, made one for images.

    Parameters
    ----------
    options
        `field`, `stride` and `pool`; the rest is the machine's.
    place
        Rows are images [h, w] or [h, w, channels].
    machine
        Class of the units.

    Raises
    ------
    ConfigError
        Where rows are no images, or smaller than a field.

    """

    def __init__(self, options: HebbianOptions, place: Place, machine: type[Machine]) -> None:
        side, shape = options.field, place.shape_in
        if line := _wrong(side, shape):
            raise ConfigError([line])
        self._image = (*shape[:2], *(shape[2:] or (1,)))
        self._options = options
        self.shape_field = (side, side, *shape[2:])
        width = int(np.prod(self.shape_field))
        self._grid = tuple((n - side) // options.stride + 1 for n in shape[:2])
        patches = int(np.prod(self._grid))
        here = Place(width, self.shape_field, place.classes, place.seed)
        self._machine = machine(_shared(options, patches), here)
        self._answers = np.zeros((patches, options.units), np.float32)

    @property
    def shape_out(self) -> tuple[int, ...]:
        """Rows and columns of pooled positions, units."""
        rows, columns = (-(-n // self._options.pool) for n in self._grid)
        return rows, columns, self._options.units

    @property
    def looks(self) -> int:
        """Weights of a unit that a row reads, over all positions."""
        return int(np.prod(self._grid) * np.prod(self.shape_field))

    def _patches(self, row: F32) -> F32:
        """Every patch [P, n] of a row [D], of mean zero."""
        side, stride = self._options.field, self._options.stride
        seen = sliding_window_view(row.reshape(self._image), (side, side), axis=(0, 1))
        seen = seen[::stride, ::stride].transpose(0, 1, 3, 4, 2)
        patches = np.ascontiguousarray(seen).reshape(len(self._answers), -1)
        centred: F32 = patches - patches.mean(axis=1, keepdims=True)
        faint = np.abs(centred).max(axis=1) <= _FAINT * np.abs(patches).max(axis=1)
        centred[faint] = 0
        return centred

    def _pooled(self, answers: F32, out: F32) -> None:
        """Write the means [H'] over squares of positions of the answers [P, H]."""
        pool = self._options.pool
        image = answers.reshape(*self._grid, -1)
        starts = [np.arange(0, n, pool) for n in self._grid]
        sums = np.add.reduceat(np.add.reduceat(image, starts[0], axis=0), starts[1], axis=1)
        counts = [np.diff([*start, n]) for start, n in zip(starts, self._grid, strict=True)]
        means = sums / np.multiply.outer(*counts)[:, :, None]
        out[:] = means.reshape(-1)

    def learn(self, x: F32, out: F32) -> None:
        """Write the pooled activities of each row, and learn from all its patches."""
        for b in range(len(x)):
            patches = self._patches(x[b])
            self._machine.infer(patches, self._answers)
            self._pooled(self._answers, out[b])
            self._machine.learn(patches, self._answers)

    def infer(self, x: F32, out: F32) -> None:
        """Write them, change nothing."""
        answers = np.empty_like(self._answers)
        for b in range(len(x)):
            self._machine.infer(self._patches(x[b]), answers)
            self._pooled(answers, out[b])

    def arrays(self) -> Arrays:
        """The machine's state."""
        return self._machine.arrays()

    def restored(self) -> None:
        """Rebuild what follows from the state."""
        self._machine.restored()

    def fields(self) -> F32:
        """Weights [H, n], a copy."""
        return self._machine.fields()

    def gauges(self) -> dict[str, float]:
        """The machine's figures; its rows are patches."""
        return self._machine.gauges()
