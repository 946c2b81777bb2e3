"""Slow twin of `streamlearn.rules.hebbian`: one weight at a time, in float64, by the equations."""

import math
from typing import Any

import numpy as np

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place, Rows

NEVER = -(1 << 62)


def _norm(values: list[float], p: float) -> float:
    return math.fsum(abs(v) ** p for v in values) ** (1 / p)


def _root_mean_square(values: dict[int, float]) -> float:
    return math.sqrt(sum(v * v for v in values.values()) / len(values))


class Hebbian:
    """Competing units with weights W kept on the p-sphere, as the rule is written."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        H, D = options.units, place.width_in
        self.weights = [[0.0] * D for _ in range(H)]
        # The fast version keeps V = length W and touches only active inputs; W is all that counts.
        self.length = [0.0] * H
        self.moves, self.load = [0] * H, [1.0] * H
        self.last_win, self.clock = [NEVER] * H, 0
        if options.start == "random":
            noise = generator(place.seed).standard_normal((D, H), dtype=np.float32)
            for h in range(H):
                self._place(h, noise[:, h].tolist())
                self.last_win[h] = 0

    def _place(self, h: int, values: list[float]) -> None:
        self.length[h] = _norm(values, self.options.p)
        self.weights[h] = [v / self.length[h] for v in values]

    def _living(self) -> list[int]:
        return [h for h, length in enumerate(self.length) if length > 0]

    def _current(self, h: int, z: list[float]) -> float:
        p = self.options.p
        pairs = zip(self.weights[h], z, strict=True)
        return math.fsum(math.copysign(abs(w) ** (p - 1), w) * v for w, v in pairs)

    def _respond(self, x: list[float], out: F32) -> tuple[list[float], dict[int, float]]:
        """Write a row's activity; returns it on the p-sphere, and the currents."""
        out[:] = 0
        norm = _norm(x, self.options.p)
        if norm == 0:
            return [], {}
        z = [v / norm for v in x]
        currents = {h: self._current(h, z) for h in self._living()}
        from_mean = self.options.threshold == "mean" and currents
        theta = sum(currents.values()) / len(currents) if from_mean else 0.0
        above = {h: max(c - theta, 0.0) for h, c in currents.items()}
        if above and _root_mean_square(above) > max(4e-6 * abs(theta), 1e-15):
            raised = {h: a**self.options.power for h, a in above.items()}
            for h, a in raised.items():
                out[h] = a / _root_mean_square(raised)
        return z, currents

    def _rate(self, h: int) -> float:
        options = self.options
        return max(options.rate_floor, options.rate / (1 + self.moves[h]))

    def _pull(self, h: int, step: float, z: list[float]) -> None:
        """W <- (W + step z) / |W + step z|_p."""
        moved = [w + step * v for w, v in zip(self.weights[h], z, strict=True)]
        norm = _norm(moved, self.options.p)
        self.weights[h] = [w / norm for w in moved]
        self.length[h] *= norm
        if not 1e-4 < self.length[h] < 1e4:
            self.length[h] = 1.0

    def _recruit(self, h: int, z: list[float]) -> None:
        self._place(h, z)
        self.moves[h], self.load[h], self.last_win[h] = 1, 1.0, self.clock

    def _compete(self, z: list[float], currents: dict[int, float]) -> None:
        options, H = self.options, self.options.units
        score = {h: c - options.conscience * (self.load[h] - 1) for h, c in currents.items()}
        ranked = sorted(score, key=lambda h: -score[h])
        self.load = [load * (1 - 1 / H) for load in self.load]
        winner = ranked[0]
        if options.rate > 0:
            eta = self._rate(winner)
            self._pull(winner, eta / (1 - eta), z)
            self.moves[winner] += 1
        if options.rate > 0 and options.delta > 0 and len(ranked) >= options.k:
            loser = ranked[options.k - 1]
            eta = options.delta * self._rate(loser)
            self._pull(loser, -eta / (1 + eta * currents[loser]), z)
            self.moves[loser] += 1
        self.load[winner] += 1
        self.last_win[winner] = self.clock

    def _learn_row(self, x: list[float], out: F32) -> None:
        z, currents = self._respond(x, out)
        if not z:
            return
        turn = self.clock % self.options.units
        self.clock += 1
        patience = int(self.options.patience * self.options.units)
        waited = self.clock - self.last_win[turn]
        if waited > (patience if self.options.rate > 0 else -NEVER // 2):
            self._recruit(turn, z)
        else:
            self._compete(z, currents)

    def learn(self, rows: Rows) -> None:
        """Answer a row, then learn it."""
        for b, row in enumerate(rows.x.tolist()):
            self._learn_row(row, rows.out[b])

    def infer(self, x: F32, out: F32) -> None:
        """Answer rows x [B, D] in out [B, H]."""
        for b, row in enumerate(x.tolist()):
            self._respond(row, out[b])

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        length = np.array(self.length)
        return {
            "weights": (np.array(self.weights) * length[:, None]).T,
            "size": length**self.options.p,
            "moves": np.array(self.moves),
            "load": np.array(self.load),
            "last_win": np.array(self.last_win),
            "clock": np.array([self.clock]),
        }
