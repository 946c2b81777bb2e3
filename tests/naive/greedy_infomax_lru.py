"""Slow twin of the linear recurrent unit of `greedy_infomax`, in complex numbers, in float64."""

import math
from typing import Any, NamedTuple

import numpy as np
from naive.adam import Adam
from numpy.typing import NDArray

from streamlearn.part import Arrays

Vector = NDArray[Any]


class Moment(NamedTuple):
    """What a row leaves behind: h [n], and dh by lambda [n], gamma [n] and B [n, H]."""

    h: Vector
    by_lambda: Vector
    by_gamma: Vector
    by_mix: Vector


class Unit:
    """h = lambda h + gamma B zn; contexts are (Re h, Im h), normalised."""

    def __init__(self, start: Arrays, inputs: int) -> None:
        self.lines = Adam(start["recurrent"].astype(np.float64))
        self.mix = Adam(start["mix"].astype(np.float64))
        self.n = self.lines.w.shape[1]
        self.C = 2 * self.n
        none = np.zeros(self.n, complex)
        self.nothing = Moment(none, none, none, np.zeros((self.n, inputs), complex))

    def advance(self, before: Moment | None, zn: Vector) -> Moment:
        """Go on by a row."""
        before = before or self.nothing
        nu, theta, log_gamma = self.lines.w
        pole, gamma = np.exp(-np.exp(nu) + 1j * np.exp(theta)), np.exp(log_gamma)
        u = (self.mix.w[0] + 1j * self.mix.w[1]).T @ zn
        return Moment(
            pole * before.h + gamma * u,
            pole * before.by_lambda + before.h,
            pole * before.by_gamma + u,
            pole[:, None] * before.by_mix + np.outer(gamma, zn),
        )

    def context(self, moment: Moment) -> tuple[Vector, float]:
        """The context of a state, and what it is divided by."""
        root = math.sqrt(np.mean(np.abs(moment.h) ** 2) + 1e-4)
        return np.concatenate([moment.h.real, moment.h.imag]) / root, root

    def gradients(self, moment: Moment, dc: Vector) -> tuple[Vector, Vector, Vector]:
        """Gradients of lines [3, n] and B [2, H, n] by that of a context, and of its row's code."""
        c, root = self.context(moment)
        dh = (dc - c * (c @ dc) / self.n) / root
        slope = dh[: self.n] - 1j * dh[self.n :]  # its conjugate
        nu, theta, log_gamma = self.lines.w
        pole, gamma = np.exp(-np.exp(nu) + 1j * np.exp(theta)), np.exp(log_gamma)
        by_pole = slope * moment.by_lambda * pole
        lines = np.stack(
            [
                (-np.exp(nu) * by_pole).real,
                (1j * np.exp(theta) * by_pole).real,
                gamma * (slope * moment.by_gamma).real,
            ]
        )
        by_mix = slope[:, None] * moment.by_mix
        mix = np.stack([by_mix.real.T, -by_mix.imag.T])
        code = ((self.mix.w[0] + 1j * self.mix.w[1]) @ (gamma * slope)).real
        return lines, mix, code

    def learn(
        self, found: list[tuple[Moment, Vector, Vector]], rate: float, t: int
    ) -> list[Vector]:
        """Learn from (moment, gradient of its context, code); returns gradients of the codes."""
        every = [self.gradients(moment, dc) for moment, dc, _ in found]
        self.step(sum(one[0] for one in every), sum(one[1] for one in every), rate, t)
        return [code for _, _, code in every]

    def step(self, lines: Vector, mix: Vector, rate: float, t: int) -> None:
        """Move all weights."""
        self.lines.step(lines, rate / 2, t)
        nu, theta, log_gamma = self.lines.w
        self.lines.w = np.stack(
            [np.clip(nu, -9.2, 3.0), np.minimum(theta, 1.1), np.clip(log_gamma, -10, 3)]
        )
        self.mix.step(mix, rate, t)

    def arrays(self) -> Arrays:
        """What it learned."""
        return {"recurrent": self.lines.w, "mix": self.mix.w}
