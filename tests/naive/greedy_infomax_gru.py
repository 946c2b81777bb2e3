"""Slow twin of the gated recurrent unit of `greedy_infomax`, in float64."""

import math
from typing import Any, NamedTuple

import numpy as np
from naive.adam import Adam
from numpy.typing import NDArray

from streamlearn.part import Arrays

Vector = NDArray[Any]


class Moment(NamedTuple):
    """A new state h [n] and what it was made of."""

    h: Vector
    old: Vector
    r: Vector
    z: Vector
    m: Vector
    zn: Vector


def sigmoid(a: Vector) -> Vector:
    """1 / (1 + e^-a)."""
    return 1 / (1 + np.exp(-a))


class Unit:
    """The gated unit; contexts are its state, normalised."""

    def __init__(self, start: Arrays) -> None:
        self.mix = Adam(start["mix"].astype(np.float64))
        self.n = self.C = self.mix.w.shape[2]

    def advance(self, before: Moment | None, zn: Vector) -> Moment:
        """Go on by a row."""
        old = before.h if before else np.zeros(self.n)
        R, Z, M = self.mix.w
        seen = np.concatenate([zn, old, [1]])
        r, z = sigmoid(seen @ R), sigmoid(seen @ Z)
        m = np.tanh(np.concatenate([zn, r * old, [1]]) @ M)
        return Moment((1 - z) * m + z * old, old, r, z, m, zn)

    def context(self, moment: Moment) -> tuple[Vector, float]:
        """The context of a state, and what it is divided by."""
        root = math.sqrt(np.mean(moment.h**2) + 1e-4)
        return moment.h / root, root

    def gradients(self, moment: Moment, dc: Vector, zn: Vector) -> tuple[Vector, Vector]:
        """Gradients of the weights [3, H + n + 1, n] by that of a context, and of its row's code.

        `zn` is the code of that row by the weights of today.
        """
        c, root = self.context(moment)
        dh = (dc - c * (c @ dc) / self.n) / root
        _, old, r, z, m, _ = moment
        dm, dz = dh * (1 - z) * (1 - m**2), dh * (old - m) * z * (1 - z)
        H = len(zn)
        dr = (self.mix.w[2, H:-1] @ dm) * old * r * (1 - r)
        seen, reset = np.concatenate([zn, old, [1]]), np.concatenate([zn, r * old, [1]])
        weights = np.stack([np.outer(seen, dr), np.outer(seen, dz), np.outer(reset, dm)])
        code = sum(self.mix.w[g, :H] @ d for g, d in enumerate((dr, dz, dm)))
        return weights, code

    def learn(
        self, found: list[tuple[Moment, Vector, Vector]], rate: float, t: int
    ) -> list[Vector]:
        """Learn from (moment, gradient of its context, code); returns gradients of the codes."""
        every = [self.gradients(*one) for one in found]
        self.mix.step(sum(weights for weights, _ in every), rate, t)
        return [code for _, code in every]

    def arrays(self) -> Arrays:
        """What it learned."""
        return {"mix": self.mix.w}
