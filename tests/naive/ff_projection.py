"""Slow twin of `streamlearn.rules.forward_forward.projection`: float64, whole, nothing waits."""

import math
from typing import Any

import numpy as np

from streamlearn.kernels.random import generator
from streamlearn.part import Arrays, Place, Rows


def log_softmax(g: Any) -> Any:
    """Logarithms of the softmax: g - ln(sum e^g)."""
    return g - g.max() - math.log(np.exp(g - g.max()).sum())


class Moments:
    """The r largest directions of the inputs' second moments, by orthogonal iteration."""

    def __init__(self, width_in: int, seed: int) -> None:
        noise = generator(seed).standard_normal((width_in, min(32, width_in)), dtype=np.float32)
        self.basis = np.linalg.qr(noise)[0].T.astype(np.float64)
        self.sketch = np.zeros_like(self.basis)
        self.spread = np.zeros(len(self.basis))
        self.rows = self.refreshed = 0
        self.weight = 0.0

    def direction(self, z: Any, damping: float) -> Any:
        """P z |z|² / (z' P z)."""
        v = z - self.basis.T @ (self.spread / (self.spread + damping) * (self.basis @ z))
        return v * (z @ z) / max(z @ v, 1e-3 * (z @ z))

    def collect(self, z: Any) -> None:
        """Count a row."""
        self.rows += 1
        if self.rows <= 2000 or self.rows % 4 == 0:
            self.weight += 1
            self.sketch += np.outer(self.basis @ z, z)

    def refresh(self) -> None:
        """Bring the directions up to date when it is time."""
        if self.rows - self.refreshed >= min(max(self.refreshed // 2, 50), 1000):
            self.refreshed = self.rows
            self._refresh()

    def _refresh(self) -> None:
        done: list[Any] = []
        for r, row in enumerate(self.sketch):
            rest = row - sum((q * (q @ row) for q in done), np.zeros_like(row))
            length = np.linalg.norm(rest)
            self.spread[r] = length / self.weight
            if not length > 1e-5 * np.linalg.norm(row):
                self.spread[r] = 0
                rest = self.basis[r] - sum((q * (q @ self.basis[r]) for q in done), 0 * row)
                length = np.linalg.norm(rest)
            done.append(rest / length)
        self.basis = np.array(done)
        self.weight *= 0.8
        self.sketch = self.spread[:, None] * self.weight * self.basis


class Projection:
    """A layer with a softmax of its own; also what class blocks share with it."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.classes = options, place.classes
        D, H, K = place.width_in, options.units, place.classes
        random = generator(place.seed)
        first = random.standard_normal((D, H), dtype=np.float32) * np.sqrt(2 / D)
        self.W = np.vstack([first, np.zeros(H)])
        self.M = random.standard_normal((K, H), dtype=np.float32) / np.sqrt(H)
        self.mean_W, self.mean_M = self.W.copy(), self.M.copy()
        self.gains, self.read_gains = np.full_like(self.W, 30), np.full_like(self.M, 30)
        self.moments = Moments(D, place.seed)
        self.kept: list[tuple[Any, int]] = []
        self.labelled = self.averaged = 0
        self.usage, self.figures = np.ones(H), np.zeros(3)

    def evidence(self, h: Any, M: Any) -> Any:
        """What the activities say about each class, up to a constant."""
        return M @ h

    def signal(self, h: Any, e: Any) -> Any:
        """What the errors ask of each activity."""
        return (h > 0) * (self.M.T @ e)

    def learn(self, rows: Rows) -> None:
        """Respond to each row, then learn from it."""
        for b in range(len(rows.x)):
            g = self._answer(rows, b)
            square = (rows.x[b].astype(np.float64) ** 2).sum()
            if square > 0:
                self._learn_row(self._read(rows.x[b]), int(rows.y[b]), g)

    def _read(self, x: Any) -> Any:
        x = x.astype(np.float64)
        square = (x**2).sum()
        z = x * math.sqrt(len(x) / square) if square > 0 else 0 * x
        return np.append(z, 1.0)

    def _answer(self, rows: Rows, b: int) -> Any:
        z = self._read(rows.x[b])
        averaged = self.options.average
        h = np.maximum(z @ (self.mean_W if averaged else self.W), 0)
        g = log_softmax(self.evidence(h, self.mean_M if averaged else self.M))
        square = (h**2).mean()
        rows.out[b] = h / math.sqrt(square) if square > 0 and rows.x[b].any() else 0
        if rows.beside is not None:
            rows.beside.scores[b] = g
        self.usage += ((h > 0) - self.usage) / 1000
        return g

    def _learn_row(self, z: Any, y: int, g: Any) -> None:
        before = self._direction(z)
        if self.options.decorrelate:
            self.moments.collect(z[:-1])
        self._learn_what_is_known(z, before, y, g)
        if self.options.decorrelate:
            self.moments.refresh()

    def _learn_what_is_known(self, z: Any, before: Any, y: int, g: Any) -> None:
        options = self.options
        if not 0 <= y < self.classes:
            if options.unlabelled and g.max() >= math.log(0.95 * (1 - options.smoothing)):
                self._descend(z, before, int(g.argmax()), options.unlabelled)
            return
        self._note(g, y)
        self._descend(z, before, y, 1.0)
        self.kept.append((z, y))
        self.labelled += 1
        for j in range(options.revisits):
            age = options.kept_rows * (j + 1) // options.revisits
            if age <= self.labelled:
                old, label = self.kept[-age]
                self._descend(old, self._direction(old), label, 1.0)
        if options.average:
            self._average()

    def _direction(self, z: Any) -> Any:
        if not self.options.decorrelate:
            return z
        return np.append(self.moments.direction(z[:-1], self.options.damping), 1.0)

    def _note(self, g: Any, y: int) -> None:
        best = np.delete(g, y).max()
        now = np.array([g[y], best, float(best >= g[y])])
        self.figures += max(1 / (self.labelled + 1), 1 / 1000) * (now - self.figures)

    def _descend(self, z: Any, v: Any, y: int, size: float) -> None:
        options = self.options
        h = np.maximum(z @ self.W, 0)
        target = np.full(self.classes, options.smoothing / (self.classes - 1))
        target[y] = 1 - options.smoothing
        e = target - np.exp(log_softmax(self.evidence(h, self.M)))
        a = self.signal(h, e)
        if options.step == "adagrad":
            # Weights of inputs that are zero neither move nor regain their steps.
            reached = self.gains[z != 0]
            step = self._by_gain(reached, np.outer(z[z != 0], a))
            self.gains[z != 0] = reached
            self.W[z != 0] += options.rate * size * step
            step = self._by_gain(self.read_gains, np.outer(e, h))
            self.M += options.read_rate * size * step
            return
        size *= max((1 + self.labelled / options.decay_rows) ** -0.5, options.rate_floor)
        bound = 64 * (e @ e) / max(len(z) * (a @ a), 1e-300)
        self.W += min(options.rate * size, bound) * np.outer(v, a)
        self.M += min(options.read_rate * size, 64 / max(h @ h, 1e-300)) * np.outer(e, h)

    def _by_gain(self, gains: Any, gradient: Any) -> Any:
        memory = self.options.memory_rows
        u = np.clip(gradient * gains, -1, 1)
        gains *= 1 + (1 / memory if memory else 0) - u**2 / 2
        np.minimum(gains, 30, out=gains)
        return u

    def _average(self) -> None:
        gap = self.labelled - self.averaged
        if gap < min(max(self.labelled // 20, 1), 100):
            return
        self.averaged = self.labelled
        share = 5 * gap / (self.labelled + 4 * gap)
        if self.options.memory_rows:
            share = max(share, gap / self.options.memory_rows)
        self.mean_W += min(share, 1) * (self.W - self.mean_W)
        self.mean_M += min(share, 1) * (self.M - self.mean_M)

    def arrays(self) -> Arrays:
        """The state under the names of the fast version; its weights wait where it decorrelates."""
        arrays = {"readout": self.M, "usage": self.usage, "figures": self.figures}
        if self.options.average:
            arrays |= {"mean_weights": self.mean_W, "mean_readout": self.mean_M}
        if self.options.decorrelate:
            arrays |= {"spread": self.moments.spread, "basis": self.moments.basis}
        else:
            arrays["weights"] = self.W
        if self.options.step == "adagrad":
            arrays |= {"gains": self.gains, "readout_gains": self.read_gains}
        return arrays
