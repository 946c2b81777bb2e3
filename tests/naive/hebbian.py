"""Slow twin of `streamlearn.rules.hebbian`: one weight at a time, in float64, by the equations."""

import math
from typing import Any

import msgspec
import numpy as np

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place, Rows

NEVER = -(1 << 62)


def norm_of(values: list[float], p: float) -> float:
    """|values|_p."""
    return math.fsum(abs(v) ** p for v in values) ** (1 / p)


def root_mean_square(values: dict[int, float]) -> float:
    """Of what units have."""
    return math.sqrt(sum(v * v for v in values.values()) / len(values))


def lebesgue(weights: list[float], values: list[float], p: float) -> float:
    """<W, v> = sum_i |W_i|^(p-2) W_i v_i."""
    pairs = zip(weights, values, strict=True)
    return math.fsum(math.copysign(abs(w) ** (p - 1), w) * v for w, v in pairs)


def steady(drive: dict[int, float], inhibition: float) -> dict[int, float]:
    """Activities in the steady state of eq. 4 for inhibition < 1, in closed form.

    Units in the order of their drive belong to the active ones as long as each would be above 0:
    h_m = (I_m - w S) / (1 - w) with S = sum_A I / (1 + (|A| - 1) w).
    """
    assert inhibition < 1
    order = sorted(drive, key=lambda h: -drive[h])
    total, pressure = 0.0, 0.0
    for count, h in enumerate(order, 1):
        with_it = inhibition * (total + drive[h]) / (1 + (count - 1) * inhibition)
        if drive[h] <= max(with_it, 0.0):
            break
        total, pressure = total + drive[h], with_it
    return {h: (drive[h] - pressure) / (1 - inhibition) for h in order if drive[h] > pressure}


def answer(options: Any, currents: dict[int, float], out: F32) -> None:
    """Write relu(I - theta)^power to out [H], divided by its root mean square where scaled."""
    out[:] = 0
    from_mean = options.threshold == "mean" and currents
    theta = sum(currents.values()) / len(currents) if from_mean else 0.0
    above = {h: max(c - theta, 0.0) for h, c in currents.items()}
    if above and root_mean_square(above) > max(4e-6 * abs(theta), 1e-15):
        raised = {h: a**options.power for h, a in above.items()}
        for h, a in raised.items():
            out[h] = a / (root_mean_square(raised) if options.scaled else 1.0)


class Hebbian:
    """The layer, by whichever equations its options name."""

    def __init__(self, options: Any, place: Place) -> None:
        from naive import hebbian_equation, hebbian_soft  # noqa: PLC0415  they build on this file

        made: dict[str, Any] = {"sphere": Sphere, "equation": hebbian_equation.Equation}
        soft = options.competition == "soft"
        self.options, self.place = options, place
        kind = hebbian_soft.Soft if soft else made[options.plasticity]
        if options.field:
            side = options.field
            self.shape_field = (side, side, *place.shape_in[2:])
            patches = len(self._patches(np.zeros(place.width_in, np.float32)))
            options = msgspec.structs.replace(
                options,
                rate_floor=options.rate_floor / patches,
                patience=options.patience * patches,
                anneal_rows=options.anneal_rows * patches,
            )
            place = place._replace(width_in=math.prod(self.shape_field))
        self.units = kind(options, place)

    def _patches(self, row: F32) -> dict[tuple[int, int], list[float]]:
        """Every patch by its place."""
        options = self.options
        image = row.reshape(*self.place.shape_in[:2], -1)
        rows, columns = ((n - options.field) // options.stride + 1 for n in image.shape[:2])
        patches = {}
        for i in range(rows):
            for j in range(columns):
                up, left = i * options.stride, j * options.stride
                patch = image[up : up + options.field, left : left + options.field]
                values = patch.reshape(-1).astype(float)
                centred = values - values.mean()
                if np.abs(centred).max() <= 1e-5 * np.abs(values).max():
                    centred[:] = 0
                patches[i, j] = centred.tolist()
        return patches

    def _pooled(self, row: F32) -> F32:
        """Mean answers over squares of patches."""
        regions: dict[tuple[int, int], list[F32]] = {}
        for (i, j), patch in self._patches(row).items():
            said = np.zeros(self.options.units, np.float32)
            self.units.respond(patch, said)
            pool = self.options.pool
            regions.setdefault((i // pool, j // pool), []).append(said)
        return np.concatenate([np.mean(regions[key], axis=0) for key in sorted(regions)])

    def learn(self, rows: Rows) -> None:
        """Answer a row, then learn it; with a field, answer to all patches, then learn each."""
        for b, row in enumerate(rows.x):
            if self.options.field:
                rows.out[b] = self._pooled(row)
                nowhere = np.zeros(self.options.units, np.float32)
                for patch in self._patches(row).values():
                    self.units.learn_row(patch, nowhere)
            else:
                self.units.learn_row(row.tolist(), rows.out[b])

    def infer(self, x: F32, out: F32) -> None:
        """Answer rows x [B, D] in out [B, H]."""
        for b, row in enumerate(x):
            if self.options.field:
                out[b] = self._pooled(row)
            else:
                self.units.respond(row.tolist(), out[b])

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        state: Arrays = self.units.arrays()
        return state


class Sphere:
    """Units with weights W kept on the p-sphere, as the rule is written."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        H, D = options.units, place.width_in
        self.weights = [[0.0] * D for _ in range(H)]
        # The fast version keeps V = length W and touches only active inputs; W is all that counts.
        self.length = [0.0] * H
        self.moves, self.load = [0] * H, [1.0] * H
        self.last_win, self.clock = [NEVER] * H, 0
        self.lyapunov = 0.0
        if options.start == "random":
            noise = generator(place.seed).standard_normal((D, H), dtype=np.float32)
            for h in range(H):
                self._place(h, noise[:, h].tolist())
                self.last_win[h] = 0

    def _place(self, h: int, values: list[float]) -> None:
        self.length[h] = norm_of(values, self.options.p)
        self.weights[h] = [v / self.length[h] for v in values]

    def respond(self, x: list[float], out: F32) -> tuple[list[float], dict[int, float]]:
        """Write a row's activity; returns it on the p-sphere, and the currents."""
        out[:] = 0
        p = self.options.p
        norm = norm_of(x, p)
        if norm == 0:
            return [], {}
        z = [v / norm for v in x]
        living = [h for h, length in enumerate(self.length) if length > 0]
        currents = {h: lebesgue(self.weights[h], z, p) for h in living}
        said = currents
        if self.options.product == "dot":
            unit = [v / norm_of(x, 2) for v in x]
            said = {h: lebesgue(self.weights[h], unit, 2) for h in living}
        answer(self.options, said, out)
        return z, currents

    def _rate(self, h: int) -> float:
        options = self.options
        return max(options.rate_floor, options.rate / (1 + self.moves[h]))

    def _pull(self, h: int, step: float, z: list[float]) -> None:
        """W <- (W + step z) / |W + step z|_p."""
        moved = [w + step * v for w, v in zip(self.weights[h], z, strict=True)]
        norm = norm_of(moved, self.options.p)
        if not norm**self.options.p > 1e-9:
            self._recruit(h, z)
            self.moves[h] += 1
            return
        self.weights[h] = [w / norm for w in moved]
        self.length[h] *= norm
        extent = 10 ** min(4, 16 / (self.options.p - 1))
        if not 1 / extent < self.length[h] < extent:
            self.length[h] = 1.0
        self.moves[h] += 1

    def _attract(self, h: int, z: list[float]) -> None:
        eta = self._rate(h)
        self._pull(h, eta / (1 - eta), z)

    def _repel(self, h: int, z: list[float], current: float) -> None:
        eta = self.options.delta * self._rate(h)
        self._pull(h, -eta / (1 + eta * current), z)

    def _recruit(self, h: int, z: list[float]) -> None:
        self._place(h, z)
        self.moves[h], self.load[h], self.last_win[h] = 1, 1.0, self.clock

    def _drawn(self, score: dict[int, float]) -> tuple[int, dict[int, float]]:
        """The winner, -1 for none, and g of the units that learn."""
        options = self.options
        ranked = sorted(score, key=lambda h: -score[h])
        if options.competition == "ranking":
            g = {ranked[0]: 1.0}
            if options.delta > 0 and len(ranked) >= options.k:
                g[ranked[options.k - 1]] = -options.delta
            return ranked[0], g
        active = steady(score, options.inhibition)
        g = {h: 1.0 if a > options.h_star else -options.delta for h, a in active.items()}
        return (max(active, key=lambda h: active[h]) if active else -1), g

    def _compete(self, z: list[float], currents: dict[int, float]) -> None:
        options, H = self.options, self.options.units
        score = {h: c - options.conscience * (self.load[h] - 1) for h, c in currents.items()}
        winner, g = self._drawn(score)
        self.load = [load * (1 - 1 / H) for load in self.load]
        if options.rate > 0:
            for h in sorted(g, key=lambda h: -g[h]):
                if g[h] > 0:
                    self._attract(h, z)
                elif g[h] < 0:
                    self._repel(h, z, currents[h])
        if winner >= 0:
            self.load[winner] += 1
            self.last_win[winner] = self.clock
        value = sum(g[h] * currents[h] for h in g)
        self.lyapunov += max(1 / 1000, 1 / self.clock) * (value - self.lyapunov)

    def learn_row(self, x: list[float], out: F32) -> None:
        """Answer a row, then learn it."""
        z, currents = self.respond(x, out)
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
            "figures": np.array([self.lyapunov, 0.0]),
        }
