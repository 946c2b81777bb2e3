"""Slow twin of `streamlearn.heads.power_loss`: eq. 1 and Adam in float64, one number at a time."""

import math
from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows

Matrix = list[list[float]]


class PowerLoss:
    """Outputs, loss, gradient and step as they are written in the two papers."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        self.classes, self.width = place.classes, place.width_in + 1
        names = ("weights", "average", "mean", "square", "gradient")
        self.state: dict[str, Matrix] = {name: self.zeros() for name in names}
        self.labelled, self.size, self.saturated = 0, 0.0, 0.0

    def zeros(self) -> Matrix:
        """[K, D + 1]."""
        return [[0.0] * self.width for _ in range(self.classes)]

    def scaled(self, row: F32) -> list[float]:
        """One row over the geometric mean size of rows, and a 1."""
        scaled = [float(value) * math.exp(-self.size / 2) for value in row]
        scaled = [0.0 if abs(value) < 1e-7 else min(max(value, -1e6), 1e6) for value in scaled]
        square = sum(value * value for value in scaled) / len(scaled)
        shrink = min(1.0, 4 / math.sqrt(max(square, 1e-30)))
        return [value * shrink for value in scaled] + [1.0]

    def outputs(self, weights: Matrix, x: list[float]) -> list[float]:
        """a_k = beta S_k . h / max(D + 1, 50), before the tanh."""
        gain = self.options.beta / max(self.width, 50)
        return [gain * sum(w * value for w, value in zip(row, x, strict=True)) for row in weights]

    def loss(self, weights: Matrix, x: list[float], y: int) -> float:
        """Eq. 1 of one row, on average over the targets that smoothing gives it."""
        m, total = self.options.m, 0.0
        for k, a in enumerate(self.outputs(weights, x)):
            q, c = self.target(k, y), math.tanh(a)
            total += q * abs(c - 1) ** m + (1 - q) * abs(c + 1) ** m
        return total

    def target(self, k: int, y: int) -> float:
        """q_k: how often output k is to be 1 where the label is y."""
        smoothing = self.options.smoothing
        return 1 - smoothing if k == y else smoothing / max(self.classes - 1, 1)

    def gradient_of(self, weights: Matrix, x: list[float], y: int) -> Matrix:
        """Its gradient [K, D + 1], with the slope of the tanh held at 0.01."""
        m, gradient = self.options.m, []
        for k, a in enumerate(self.outputs(weights, x)):
            q = self.target(k, y)
            above, below = 2 / (1 + math.exp(-2 * a)), 2 / (1 + math.exp(2 * a))  # 1 + c, 1 - c
            pull = (1 - q) * above ** (m - 1) - q * below ** (m - 1)
            change = m * pull * max(1 / math.cosh(a) ** 2, 0.01)
            change = change if abs(change) > 1e-7 else 0.0
            gradient.append([change * value for value in x])
        return gradient

    def probabilities(self, weights: Matrix, x: list[float]) -> list[float]:
        """What the loss says the outputs mean, divided by their sum; [K]."""
        odds = [2 * (self.options.m - 1) * a for a in self.outputs(weights, x)]
        q = [1 / (1 + math.exp(min(-z, 87.0))) for z in odds]
        return [value / sum(q) for value in q]

    def learn(self, rows: Rows) -> None:
        """Score, then learn, row by row."""
        for b in range(len(rows.x)):
            self.infer(rows.x[b : b + 1], rows.out[b : b + 1])
            if rows.y[b] >= 0:
                self.learn_row(rows.x[b], int(rows.y[b]))

    def learn_row(self, row: F32, y: int) -> None:
        """Add the row's gradient; at the end of a minibatch, step; every 100 rows, average."""
        x = self.scaled(row)
        outputs = self.outputs(self.state["weights"], x)
        held = sum(1 / math.cosh(a) ** 2 < 0.01 for a in outputs) / self.classes
        self.saturated += (held - self.saturated) / 1000
        for own, new in zip(
            self.state["gradient"], self.gradient_of(self.state["weights"], x, y), strict=True
        ):
            own[:] = [a + b for a, b in zip(own, new, strict=True)]
        self.labelled += 1
        self.learn_size(row)
        if self.labelled % self.options.minibatch == 0:
            self.step(self.labelled // self.options.minibatch)
        if self.labelled % 100 == 0:
            self.move_average(self.labelled // 100)

    def learn_size(self, row: F32) -> None:
        """The running geometric mean of rows' mean squares, as a logarithm."""
        square = sum(float(value) ** 2 for value in row) / len(row)
        if square > 0:
            self.size += max(1 / self.labelled, 1e-4) * (math.log(square) - self.size)

    def step(self, t: int) -> None:
        """Kingma & Ba, algorithm 1, with the mean gradient of the minibatch."""
        o, s = self.options, self.state
        fallen = math.sqrt(3000 / (3000 + min(self.labelled, o.memory_rows or math.inf)))
        for k in range(self.classes):
            for d in range(self.width):
                g = s["gradient"][k][d] / o.minibatch
                s["mean"][k][d] = o.beta1 * s["mean"][k][d] + (1 - o.beta1) * g
                s["square"][k][d] = o.beta2 * s["square"][k][d] + (1 - o.beta2) * g * g
                mean = s["mean"][k][d] / (1 - o.beta1**t)
                square = s["square"][k][d] / (1 - o.beta2**t)
                s["weights"][k][d] -= o.rate * fallen * mean / (math.sqrt(square) + o.epsilon)
        s["gradient"] = self.zeros()

    def move_average(self, k: int) -> None:
        """A += max(5 / (k + 4), 100 / memory_rows) (S - A)."""
        recovery = 100 / self.options.memory_rows if self.options.memory_rows else 0.0
        step = min(max(5 / (k + 4), recovery), 1.0)
        for weights, average in zip(self.state["weights"], self.state["average"], strict=True):
            average[:] = [a + step * (w - a) for w, a in zip(weights, average, strict=True)]

    def infer(self, x: F32, out: F32) -> None:
        """Probabilities under the averaged weights."""
        for b in range(len(x)):
            out[b] = self.probabilities(self.state["average"], self.scaled(x[b]))

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        scalars = {
            "labelled": np.array([self.labelled]),
            "size": np.array([self.size]),
            "saturated": np.array([self.saturated]),
        }
        return {name: np.array(rows) for name, rows in self.state.items()} | scalars
