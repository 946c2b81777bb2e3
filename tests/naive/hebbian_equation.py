"""Slow twin of `streamlearn.rules.hebbian.equation`: eq. 2 as it is printed, in float64."""

from typing import Any

import numpy as np
from naive.hebbian import NEVER, answer, lebesgue, norm_of, steady

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place


class Equation:
    """dW = g (R^p z - <W, z> W), summed over a minibatch."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        H, D = options.units, place.width_in
        self.weights = np.zeros((H, D))
        self.gathered = np.zeros((H, D))
        self.decay, self.drawn = np.zeros(H), np.zeros(H)
        self.moves, self.load = np.zeros(H, int), np.ones(H)
        self.last_win, self.clock, self.pending = np.full(H, NEVER), 0, 0
        self.lyapunov = 0.0
        if options.start == "random":
            noise = generator(place.seed).standard_normal((D, H), dtype=np.float32)
            self.weights, self.last_win = noise.T.astype(float), np.zeros(H, int)

    def respond(self, x: list[float], out: F32) -> tuple[list[float], dict[int, float]]:
        """Write a row's activity; returns it on the p-sphere, and the currents."""
        out[:] = 0
        p = self.options.p
        norm = norm_of(x, p)
        if norm == 0:
            return [], {}
        z = [v / norm for v in x]
        living = [h for h, w in enumerate(self.weights) if np.any(w)]
        currents = {h: lebesgue(self.weights[h].tolist(), z, p) for h in living}
        said = currents
        if self.options.product == "dot":
            unit = [v / norm_of(x, 2) for v in x]
            said = {h: lebesgue(self.weights[h].tolist(), unit, 2) for h in living}
        answer(self.options, said, out)
        return z, currents

    def _drawn(self, score: dict[int, float], overlap: dict[int, float]) -> dict[int, float]:
        """The g of the units that learn, the winner first; empty: there is none."""
        options = self.options
        ranked = sorted(score, key=lambda h: -score[h])
        if options.competition == "none":
            return {h: overlap[h] for h in sorted(overlap, key=lambda h: -overlap[h])}
        if options.competition == "ranking":
            g = {ranked[0]: 1.0}
            if options.delta > 0 and len(ranked) >= options.k:
                g[ranked[options.k - 1]] = -options.delta
            return g
        active = steady(score, options.inhibition)
        order = sorted(active, key=lambda h: -active[h])
        return {h: 1.0 if active[h] > options.h_star else -options.delta for h in order}

    def _compete(self, z: list[float], currents: dict[int, float]) -> None:
        options, p = self.options, self.options.p
        alone = options.competition == "none"
        conscience = 0.0 if alone else options.conscience
        score = {h: c - conscience * (self.load[h] - 1) for h, c in currents.items()}
        overlap = {h: currents[h] / norm_of(self.weights[h], p) ** (p - 1) for h in currents}
        g = self._drawn(score, overlap)
        self.load *= 1 - 1 / options.units
        if g:
            winner = next(iter(g))
            self.load[winner] += 1
            self.last_win[winner] = self.clock
        value = sum(g[h] * overlap[h] * (0.5 if alone else 1) for h in g)
        self.lyapunov += max(1 / 1000, 1 / self.clock) * (value - self.lyapunov)
        if options.rate == 0:
            return
        for h in g:
            if g[h] != 0:
                self.drawn[h] += abs(g[h])
                self.gathered[h] += g[h] * np.array(z)
                self.decay[h] += g[h] * currents[h]
        self.pending += 1
        if self.pending >= options.minibatch:
            self._step()

    def _step(self) -> None:
        options, p = self.options, self.options.p
        reach = options.radius**p
        change = reach * self.gathered - self.decay[:, None] * self.weights
        share = 1 / self.pending
        if options.largest:
            share = 1 / max(np.abs(change[self.drawn > 0]).max(), 1e-30)
        for h in np.flatnonzero(self.drawn):
            rate = max(options.rate_floor, options.rate / (1 + self.moves[h]))
            if options.anneal_rows:
                rate = options.rate * max(0, 1 - self.clock / options.anneal_rows)
            norm = norm_of(self.weights[h], p)
            pull = reach * self.drawn[h] + abs(self.decay[h]) * norm
            bound = 0.5 * max(norm, options.radius) / max(pull, 1e-30)
            self.weights[h] += min(rate * share, bound) * change[h]
            norm = norm_of(self.weights[h], p)
            self.weights[h] *= min(1.0, 1e3 * options.radius / norm)
            self.moves[h] += 1
        self.gathered[:], self.decay[:], self.drawn[:], self.pending = 0, 0, 0, 0

    def _due(self) -> int:
        options = self.options
        moving = options.rate > 0 and options.competition != "none"
        moving = moving and not 0 < options.anneal_rows <= self.clock
        patience = int(options.patience * options.units) if moving else -NEVER // 2
        waited = self.clock + 1 - self.last_win
        late = np.flatnonzero(waited > patience)
        return int(late[0]) if len(late) and self.pending == 0 else -1

    def learn_row(self, x: list[float], out: F32) -> None:
        """Answer a row, then learn it."""
        z, currents = self.respond(x, out)
        if not z:
            return
        late = self._due()
        self.clock += 1
        if late >= 0:
            self.weights[late] = self.options.radius * np.array(z)
            self.moves[late], self.load[late], self.last_win[late] = 1, 1, self.clock
        else:
            self._compete(z, currents)

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        return {
            "weights": self.weights.T,
            "size": (np.abs(self.weights) ** self.options.p).sum(axis=1),
            "gathered": self.gathered,
            "decay": self.decay,
            "drawn": self.drawn,
            "pending": np.array([self.pending]),
            "moves": self.moves,
            "load": self.load,
            "last_win": self.last_win,
            "clock": np.array([self.clock]),
            "figures": np.array([self.lyapunov, 0.0]),
        }
