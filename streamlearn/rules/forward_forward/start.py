"""The weights that a layer's units begin with: plain noise, or smooth noise within a window each.

A local unit looks at one place of the image: Gaussian noise, blurred as far as neighbouring inputs
are alike, under a Gaussian window, minus its mean there, so that even light says nothing to it.
Learning moves it from there like any other; nothing holds it to its window.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Place
from streamlearn.rules.forward_forward.masks import Grid, grid_of

_WINDOW: Final = 0.107
"""Standard deviation of the window as a share of an axis: 3 of 28 pixels."""
_BLUR: Final = 0.054
"""Standard deviation of the blur as a share of an axis: 1.5 of 28 pixels."""
_MARGIN: Final = 0.08
"""Share of an axis at either end where no window has its middle: 2 of 28 pixels."""


def first_weights(start: str, units: int, place: Place) -> F32:
    """Make the weights [D, H], each unit's of length 1 or thereabouts.

    Parameters
    ----------
    start
        "random": N(0, 1 / D); "local": smooth noise in a window for each unit.
    units
        H.
    place
        Width, shape and seed.

    """
    random = generator(place.seed)
    weights = np.empty((place.width_in, units), np.float32)
    if start == "local":
        grid = grid_of(place.shape_in)
        for h in range(units):
            weights[:, h] = _local(grid, random).ravel()
        return weights
    random.standard_normal(out=weights, dtype=np.float32)
    weights *= np.float32(1 / np.sqrt(place.width_in))
    return weights


def _local(grid: Grid, random: np.random.Generator) -> NDArray[np.float64]:
    """One unit's weights [P, R, C, Q], of length 1, their sum 0 (a single one is left at that)."""
    window = np.outer(*(_window(length, random) for length in (grid.height, grid.width)))
    window = np.broadcast_to(window[None, :, :, None], grid)
    weights = _blurred(random.standard_normal(grid)) * window
    weights -= window * (weights.sum() / window.sum())
    weights /= max(float(np.sqrt((weights**2).sum())), 1e-30)
    return weights


def _window(length: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A bell [length] somewhere along an axis, 1 in the middle."""
    middle = random.uniform(_MARGIN, 1 - _MARGIN) * (length - 1)
    away = (np.arange(length) - middle) / (_WINDOW * length)
    bell: NDArray[np.float64] = np.exp(-0.5 * away**2)
    return bell


def _blurred(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise [P, R, C, Q] blurred along the middle axes with a bell, the ends into each other."""
    for axis in (1, 2):
        length = noise.shape[axis]
        frequency = np.fft.rfftfreq(length)
        kept = np.exp(-2 * (np.pi * frequency * _BLUR * length) ** 2)
        shape = [1, 1, 1, 1]
        shape[axis] = len(kept)
        spectrum = np.fft.rfft(noise, axis=axis) * kept.reshape(shape)
        noise = np.fft.irfft(spectrum, length, axis)
    return noise
