"""Slow twin of `streamlearn.rules.hebbian.soft`: SoftHebb as it is printed, in float64."""

import math
from typing import Any

import numpy as np
from naive.hebbian import NEVER, answer

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place


class Soft:
    """dW = eta g (z - u W), g by a softmax over units."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        H, D = options.units, place.width_in
        self.weights = np.zeros((H, D))
        self.load, self.last_win, self.clock = np.ones(H), np.full(H, NEVER), 0
        self.value = 0.0
        if options.start == "random":
            noise = generator(place.seed).standard_normal((D, H), dtype=np.float32)
            self.weights, self.last_win = noise.T * 25 / math.sqrt(D), np.zeros(H, int)

    def respond(self, x: list[float], out: F32) -> tuple[F32, dict[int, float]]:
        """Write a row's activity; returns it at length 1, and the currents."""
        out[:] = 0
        length = math.hypot(*x)
        if length == 0:
            return np.zeros(0, np.float32), {}
        z = np.array(x) / length
        living = [h for h, w in enumerate(self.weights) if np.any(w)]
        currents = {h: float(self.weights[h] @ z) for h in living}
        answer(self.options, currents, out)
        return z, currents

    def _move(self, z: F32, currents: dict[int, float]) -> None:
        options = self.options
        winner = max(currents, key=lambda h: currents[h])
        most = currents[winner]
        shares = {h: math.exp(options.sharpness * (u - most)) for h, u in currents.items()}
        total = sum(shares.values())
        value = most + math.log(total) / options.sharpness
        self.value += max(1 / 1000, 1 / self.clock) * (value - self.value)
        for h, u in currents.items():
            g = shares[h] / total * (-1 if options.anti and h != winner else 1)
            far = abs(np.linalg.norm(self.weights[h]) - 1)
            rate = max(options.rate * math.sqrt(far), options.rate_floor) if options.rate else 0.0
            if abs(rate * g * u) > 0.5:
                rate = 0.5 / abs(g * u)
            self.weights[h] += rate * g * (z - u * self.weights[h])
            self.weights[h] *= min(1, 100 / np.linalg.norm(self.weights[h]))
        self.load *= 1 - 1 / options.units
        self.load[winner] += 1
        self.last_win[winner] = self.clock

    def learn_row(self, x: list[float], out: F32) -> None:
        """Answer a row, then learn it."""
        z, currents = self.respond(x, out)
        if not len(z):
            return
        options = self.options
        turn = self.clock % options.units
        self.clock += 1
        patience = int(options.patience * options.units) if options.rate > 0 else -NEVER // 2
        if self.clock - self.last_win[turn] > patience:
            self.weights[turn] = z
            self.load[turn], self.last_win[turn] = 1, self.clock
        else:
            self._move(z, currents)

    def arrays(self) -> Arrays:
        """The state under the names of the fast version, but weights and their scales."""
        return {
            "square": (self.weights**2).sum(axis=1),
            "load": self.load,
            "last_win": self.last_win,
            "clock": np.array([self.clock]),
            "figures": np.array([self.value, 0.0]),
        }
