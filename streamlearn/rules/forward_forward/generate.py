"""A layer that predicts its own input from above, and what it dreams when its activity is mixed.

With activity a [H] for the row z [D] and generative weights V [H, D]:

    guess = V' a                                  the input as seen from above
    V += rate a (z - guess)' / |a|²               local delta rule, in shares of its own error

(Widrow & Hoff's rule with the normalised step of Nagumo & Noda 1967.) Negatives are predictions
from an activity half of whose units are as for this row and half as for another: what the layer
believes in and the world does not show. While V has learned nothing they are faint noise, and no
harder to tell from rows than that; they grow hard as the generator learns.
"""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.part import F32

_RATE: Final = np.float32(0.1)
"""Share of its error that a prediction loses by one row."""
_FAINT: Final = np.float32(1e-12)
"""Smaller steps are not taken: an input that went silent would have its weights fade into numbers
too small to be normal, which are ten times slower."""
_BITS: Final = 32
"""Units that one random number decides for."""


@inlined
def _add(a: np.float32, line: F32, out: F32) -> None:
    """Add a times line [D] to out [D], nothing where a unit is silent."""
    if a != 0:
        for i in range(out.shape[0]):
            out[i] += a * line[i]


@inlined
def predict(weights: F32, activity: F32, out: F32) -> None:
    """Write out = V' a; weights [H, D] and activity [H] are read, out [D] is written."""
    out[:] = 0
    for h in range(activity.shape[0]):
        _add(activity[h], weights[h], out)


@inlined
def predict_mixture(
    weights: F32, activity: F32, other: F32, choice: tuple[int, int, int], out: F32
) -> None:
    """Write out = V' a, a each unit's of activity [H] or of other [H], by the toss of a coin.

    weights [H, D] are read, out [D] is written; choice is the seed, the row and the first of H / 32
    draws.
    """
    seed, row, draw = choice
    coins = np.int64(0)
    out[:] = 0
    for h in range(activity.shape[0]):
        if h % _BITS == 0:
            coins = np.int64(uniform(seed, row, draw + h // _BITS) * (1 << _BITS))
        mine = (coins >> (h % _BITS)) & 1
        _add(activity[h] if mine else other[h], weights[h], out)


@inlined
def learn_to_generate(weights: F32, activity: F32, x: F32, guess: F32) -> None:
    """Move V [H, D] towards predicting x [D] from the activity [H]; guess [D] is room for it."""
    predict(weights, activity, guess)
    square = np.float32(0)
    for h in range(activity.shape[0]):
        square += activity[h] * activity[h]
    if not square > 0:
        return
    for i in range(x.shape[0]):
        step = (x[i] - guess[i]) * _RATE / square
        guess[i] = step if abs(step) > _FAINT else np.float32(0)
    for h in range(activity.shape[0]):
        _add(activity[h], guess, weights[h])
