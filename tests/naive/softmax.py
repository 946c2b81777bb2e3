"""Slow twin of `streamlearn.heads.softmax`: the equations in float64, matrices whole."""

from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows


class Softmax:
    """Adagrad's gains carried along, a smoothed target, an average of the weights to score with."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        shape = (place.classes, place.width_in + 1)
        kept_rows = options.kept_rows if options.revisits else 0
        self.weights, self.average = np.zeros(shape), np.zeros(shape)
        self.largest_gain = min(10.0, 200 / shape[1])
        self.gains = np.full(shape, self.largest_gain)
        self.labelled, self.size = np.zeros(1, np.int64), np.zeros(1)
        self.kept = np.zeros((kept_rows, shape[1]))
        self.kept_y = np.zeros(kept_rows, np.int32)
        self.recovery = 1 / options.memory_rows if options.memory_rows else 0.0

    def scaled(self, row: F32) -> Any:
        """One row over the geometric mean size of rows, and a 1."""
        scaled = row.astype(float) * np.exp(-self.size[0] / 2)
        scaled[np.abs(scaled) < 1e-7] = 0
        scaled = np.clip(scaled, -1e6, 1e6)
        scaled *= min(1.0, 4 / np.sqrt(max(np.mean(scaled**2), 1e-30)))
        return np.append(scaled, 1.0)

    @staticmethod
    def probabilities(weights: Any, x: Any) -> Any:
        """softmax(W x); [K]."""
        scores = weights @ x
        powers = np.exp(np.maximum(scores - scores.max(), -87.0))
        return powers / powers.sum()

    def descend(self, x: Any, y: int) -> None:
        """One step towards the smoothed target."""
        classes = len(self.weights)
        target = np.full(classes, self.options.smoothing / max(classes - 1, 1))
        target[y] = 1 - self.options.smoothing
        error = target - self.probabilities(self.weights, x)
        u = np.clip(error[:, None] * x * self.gains, -1, 1)
        self.weights += self.options.rate * u
        self.gains = np.minimum(self.gains * (1 + self.recovery - u**2 / 2), self.largest_gain)

    def learn(self, rows: Rows) -> None:
        """Score, then learn, row by row."""
        for b in range(len(rows.x)):
            self.infer(rows.x[b : b + 1], rows.out[b : b + 1])
            if rows.y[b] >= 0:
                self.learn_row(rows.x[b], int(rows.y[b]))

    def learn_row(self, row: F32, y: int) -> None:
        """The fresh row, then the kept ones whose turn it is, then the average."""
        x = self.scaled(row)
        self.descend(x, y)
        revisits, n, seen = self.options.revisits, len(self.kept), int(self.labelled[0])
        for j in range(1, revisits + 1):
            age = n * j // revisits
            if age <= seen:
                self.descend(self.kept[(seen - age) % n], int(self.kept_y[(seen - age) % n]))
        if revisits:
            self.kept[seen % n], self.kept_y[seen % n] = x, y
        self.labelled[0] += 1
        square = float(np.mean(row.astype(float) ** 2))
        if square > 0:
            rate = max(1 / self.labelled[0], 1e-4)
            self.size[0] += rate * (np.log(square) - self.size[0])
        if self.labelled[0] % 100 == 0:
            k = self.labelled[0] // 100
            step = min(max(5 / (k + 4), 100 * self.recovery), 1.0)
            self.average += step * (self.weights - self.average)

    def infer(self, x: F32, out: F32) -> None:
        """Probabilities under the averaged weights."""
        for b in range(len(x)):
            out[b] = self.probabilities(self.average, self.scaled(x[b]))

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        names = ("weights", "average", "gains", "labelled", "size", "kept", "kept_y")
        return {name: getattr(self, name) for name in names}
