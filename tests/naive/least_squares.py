"""Slow twin of `streamlearn.heads.least_squares`: the equations in float64, P a whole matrix."""

from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows


class LeastSquares:
    """Recursive least squares with a random walk of the weights, nothing held back or packed."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        self.width = place.width_in + 1
        self.padded = -(-self.width // 4) * 4
        self.weights = np.zeros((place.classes, self.padded))
        self.before = np.eye(self.width) / options.ridge  # without the last row's g g'
        self.held = np.zeros(self.padded)
        self.held_step = np.zeros(1)
        self.labelled, self.size = np.zeros(1, np.int64), np.zeros(1)

    def scaled(self, row: F32) -> Any:
        """One row over the geometric mean size of rows, and a 1."""
        scaled = row.astype(float) * np.exp(-self.size[0] / 2)
        scaled[np.abs(scaled) < 1e-7] = 0
        scaled = np.clip(scaled, -1e6, 1e6)
        scaled *= min(1.0, 4 / np.sqrt(max(np.mean(scaled**2), 1e-30)))
        return np.append(scaled, 1.0)

    @property
    def covariance(self) -> Any:
        """P [D + 1, D + 1] with everything in it."""
        g = self.held[: self.width]
        return self.before - self.held_step[0] * np.outer(g, g)

    def learn(self, rows: Rows) -> None:
        """Score, then learn, row by row."""
        for b in range(len(rows.x)):
            self.infer(rows.x[b : b + 1], rows.out[b : b + 1])
            if rows.y[b] >= 0:
                self.learn_row(rows.x[b], int(rows.y[b]))

    def learn_row(self, row: F32, y: int) -> None:
        """Kalman's update of W and P, then the weights' walk."""
        x, p, ridge = self.scaled(row), self.covariance, self.options.ridge
        g = p @ x
        r = max(float(x @ g), 0.0)
        noise = max(1.0, r / 1000)
        step = 1 / (noise + r)
        error = np.eye(len(self.weights))[y] - self.weights[:, : self.width] @ x
        self.weights[:, : self.width] += np.outer(error, g) * step
        old = np.diag(p).copy()
        left = np.maximum(old - step * g**2, old * noise * step)
        walk = self.options.forgetting**2 / self.width / (x @ x + ridge)
        left = np.where(left < 1 / ridge, np.minimum(left + walk, 1 / ridge), left)
        self.before = p
        np.fill_diagonal(self.before, left + step * g**2)
        self.held[: self.width], self.held_step[0] = g, step
        self.labelled[0] += 1
        square = float(np.mean(row.astype(float) ** 2))
        if square > 0:
            self.size[0] += max(1 / self.labelled[0], 1e-4) * (np.log(square) - self.size[0])

    def infer(self, x: F32, out: F32) -> None:
        """Scores W x."""
        for b in range(len(x)):
            out[b] = self.weights[:, : self.width] @ self.scaled(x[b])

    def packed(self) -> Any:
        """The lower triangle of `before` in panels of four rows, as the fast version keeps it."""
        full = np.zeros((self.padded, self.padded))
        full[: self.width, : self.width] = np.tril(self.before)
        panels = [full[i : i + 4, : i + 4].ravel() for i in range(0, self.padded, 4)]
        return np.concatenate(panels)

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        state = ("weights", "held", "held_step", "labelled", "size")
        return {name: getattr(self, name) for name in state} | {"covariance": self.packed()}
