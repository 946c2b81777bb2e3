"""Smooth random masks: each keeps one half of a row's inputs, in blobs rather than single inputs.

A mask is Gaussian noise, blurred again and again with (1/4, 1/2, 1/4) along every axis that has
neighbours, and cut at its median (Hinton, The forward-forward algorithm: some preliminary
investigations, arXiv 2212.13345, section 3.2). The ends of an axis are blurred into each other, so
that a mask may be shifted by any distance and stays as smooth: a few masks serve as thousands.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator

U8 = NDArray[np.uint8]

MASKS: Final = 32
"""Masks of a bank; each serves in all its shifts, and with its halves swapped."""
_BLOB: Final = 0.1
"""Standard deviation of the blur as a share of an axis: blobs are about three times as wide."""
_SALT: Final = 0x6D61736B
"""So that masks are not made of the numbers that weights begin with."""


class Grid(NamedTuple):
    """A row's D inputs as planes P x height R x width C x channels Q; masks lie on R x C.

    Pixels are (1, R, C, 1), with colours (1, R, C, Q) or (P, R, C, 1); a flat row is (1, 1, D, 1).
    """

    planes: int
    height: int
    width: int
    channels: int


def grid_of(shape: Sequence[int]) -> Grid:
    """See a row of this shape as a grid; of three axes the shorter outer one holds the colours."""
    if len(shape) == 2:
        return Grid(1, shape[0], shape[1], 1)
    if len(shape) == 3:
        first, height, last = shape
        colours_first = first < last
        return Grid(first, height, last, 1) if colours_first else Grid(1, first, height, last)
    return Grid(1, 1, int(np.prod(shape)), 1)


def mask_bank(grid: Grid, seed: int) -> U8:
    """Make the masks [M, R, 2 C Q] of a seed: 0 and 1 in equal numbers, every row twice in a line.

    Written twice, a row shifted by c columns is the run of C Q that begins at c Q.
    """
    noise = generator(seed ^ _SALT).standard_normal((MASKS, grid.height, grid.width))
    for axis in (1, 2):
        noise = _blurred(noise, axis)
    middle = np.median(noise, axis=(1, 2), keepdims=True)
    masks = (noise > middle).astype(np.uint8).repeat(grid.channels, axis=2)
    return np.ascontiguousarray(np.concatenate([masks, masks], axis=2))


def _blurred(noise: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Blur along an axis that ends where it begins: n times (1/4, 1/2, 1/4), in one product.

    Each time multiplies the axis's k-th frequency with cos²(pi k / length).
    """
    length = noise.shape[axis]
    frequency = np.arange(length // 2 + 1)
    kept = np.cos(np.pi * frequency / length) ** (2 * blurs(length))
    shape = [1, 1, 1]
    shape[axis] = len(kept)
    spectrum = np.fft.rfft(noise, axis=axis) * kept.reshape(shape)
    return np.fft.irfft(spectrum, length, axis)


def blurs(length: int) -> int:
    """How often an axis is blurred: each time adds 1/2 to the variance of the blur."""
    return round(2 * (_BLOB * length) ** 2)
