"""Slow twin of `forward_forward_fields`: one position, region and patch at a time, in float64."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator, uniform
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.rules.forward_forward.masks import grid_of, mask_bank

Vector = NDArray[np.float64]
Seen = dict[tuple[int, int], tuple[Vector, Vector]]
"""Patch [n] and activities [U] of every position that is not blank."""


def _rms(values: Vector) -> float:
    return math.sqrt(np.mean(values**2))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _log_softmax(g: Vector) -> Vector:
    beliefs: Vector = g - g.max() - math.log(np.exp(g - g.max()).sum())
    return beliefs


class MadeUp:
    """Rows made of a row and one that was kept."""

    def __init__(self, options: Any, place: Place, shape: tuple[int, int]) -> None:
        self.options, self.seed = options, place.seed
        self.kept = np.zeros((options.reservoir_rows, place.width_in))
        self.kept_rows = 0
        self.masks = mask_bank(grid_of(shape), place.seed)

    def _choose(self, row: int, draw: int, count: int) -> int:
        return int(uniform(self.seed, row, (1 << 20) + draw) * count)

    def of(self, x: Vector, row: int) -> Vector | None:
        """Make one; None while nothing is kept."""
        held = min(self.kept_rows, len(self.kept))
        if held == 0:
            return None
        other = self.kept[self._choose(row, 1, held)]
        if self.options.negatives == "pairing":
            mixed: Vector = (x + other) / 2
            return mixed
        mask = self.masks[self._choose(row, 2, len(self.masks))]
        height, width = mask.shape[0], mask.shape[1] // 2
        mask = np.roll(mask[:, :width], -self._choose(row, 3, height), axis=0)
        mask = np.roll(mask, -self._choose(row, 4, width), axis=1)
        return np.where(mask.ravel() == self._choose(row, 5, 2), x, other)

    def keep(self, x: Vector, row: int) -> None:
        """Keep the first rows, then each in the place of any."""
        slot, N = self.kept_rows, len(self.kept)
        self.kept[slot if slot < N else self._choose(row, 0, N)] = x
        self.kept_rows += 1


class ForwardForwardFields:
    """Local receptive fields, as the equations have them."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.seed, self.classes = options, place.seed, place.classes
        self.image = (*place.shape_in, 1)[:3]
        self.compete = options.labels == options.negatives == "none"
        self._lay_out()
        self._begin(place)

    def _lay_out(self) -> None:
        options = self.options
        across = [(side - options.field) // options.stride + 1 for side in self.image[:2]]
        lines, columns = ((n - options.pool) // options.pool_stride + 1 for n in across)
        near = [(i, j) for i in range(options.pool) for j in range(options.pool)]
        corners = [(a, b) for a in range(lines) for b in range(columns)]
        step = options.pool_stride
        self.regions = [[(a * step + i, b * step + j) for i, j in near] for a, b in corners]
        self.positions = sorted({position for region in self.regions for position in region})

    def _begin(self, place: Place) -> None:
        options, U = self.options, self.options.units
        S = 1 if options.shared else len(self.positions)
        n, width = options.field**2 * self.image[2], len(self.regions) * U
        random = generator(place.seed)
        self.weights = random.standard_normal((S, n, U), dtype=np.float32).astype(np.float64)
        if self.compete:
            self.weights -= self.weights.mean(axis=1, keepdims=True)
            self.weights /= np.linalg.norm(self.weights, axis=1, keepdims=True)
        else:
            self.weights *= math.sqrt(2)
        self.bias = np.full((S, U), -options.silence if self.compete else 0.0)
        K = place.classes if options.labels == "projection" else 0
        self.readout = random.standard_normal((K, width), dtype=np.float32) / math.sqrt(width)
        self.readout = self.readout.astype(np.float64)
        self.wins = np.zeros((S if self.compete else 0, U), np.int64)
        self.load = np.ones((S if self.compete else 0, U))
        self.usage, self.clock, self.figures = np.ones(width), 0, np.zeros(2)
        contrast = options.labels == "none" and not self.compete
        flat = (self.image[0], self.image[1] * self.image[2])
        self.made_up = MadeUp(options, place, flat) if contrast else None

    def _set(self, position: tuple[int, int]) -> int:
        return 0 if self.options.shared else self.positions.index(position)

    def _see(self, z: Vector) -> Seen:
        image, field, seen = z.reshape(self.image), self.options.field, {}
        for line, column in self.positions:
            i, j = line * self.options.stride, column * self.options.stride
            patch = image[i : i + field, j : j + field].ravel()
            patch = patch - patch.mean()
            length = np.linalg.norm(patch)
            if length > 1e-3:
                patch = patch / (length + self.options.soften)
                s = self._set((line, column))
                current = self.weights[s].T @ patch + self.bias[s]
                seen[line, column] = patch, np.maximum(current, 0)
        return seen

    def _answer(self, x: Vector, out: F32) -> tuple[Vector, Seen, Vector]:
        """Write a row's answer; returns the row of rms 1, what is seen, and the regions' sums."""
        z = x / _rms(x) if x.any() else x
        seen, U = self._see(z), self.options.units
        h = np.zeros((len(self.regions), U))
        for r, region in enumerate(self.regions):
            for position in region:
                h[r] += seen[position][1] if position in seen else 0
        if self.options.pooling == "root":
            h = np.sqrt(h)
        out[:] = (h / _rms(h)).ravel() if _rms(h) > 1e-6 else 0
        return z, seen, h

    def beliefs(self, seen: Seen, out: Vector) -> Vector:
        """Log beliefs in the classes [K]."""
        if self.options.labels == "projection":
            return _log_softmax(self.readout @ out)
        squares = sum((a**2 for _, a in seen.values()), np.zeros(self.options.units))
        blocks = squares.reshape(self.classes, -1).mean(axis=1) / len(self.positions)
        return _log_softmax(self.options.scale * blocks)

    def _note(self, good: float, bad: float) -> None:
        share = max(1e-3, 1 / (1 + self.clock))
        self.figures += share * (np.array([good, bad]) - self.figures)

    def _fall(self) -> float:
        options = self.options
        fallen: float = (1 + self.clock / options.decay_rows) ** -0.5
        return max(fallen, float(options.rate_floor))

    def _descend(self, seen: Seen, delta: dict[tuple[int, int], Vector]) -> None:
        rate = self.options.rate * self._fall()
        rate /= math.sqrt(max(len(seen), 1)) if self.options.shared else 1
        for position, (patch, _) in seen.items():
            s = self._set(position)
            self.weights[s] += rate * np.outer(patch, delta[position])
            self.bias[s] += rate * delta[position]

    def _compete(self, seen: Seen, row: int) -> None:
        for draw in range(self.options.patches):
            at = int(uniform(self.seed, row, draw) * len(self.positions))
            if self.positions[at] in seen:
                patch = seen[self.positions[at]][0]
                self._win(self._set(self.positions[at]), patch / np.linalg.norm(patch))

    def _win(self, s: int, patch: Vector) -> None:
        options, likeness = self.options, self.weights[s].T @ patch
        fresh = np.flatnonzero(self.wins[s] == 0)
        scores = likeness - options.conscience * (self.load[s] - 1)
        u = int(fresh[0]) if len(fresh) else int(np.argmax(scores))
        self._note(likeness[u], likeness.mean())
        self.load[s] *= 1 - 1 / (16 * options.units)
        self.load[s, u] += 1 / 16
        self.wins[s, u] += 1
        rate = max(self.wins[s, u] ** -0.7, options.rate_floor)
        moved = self.weights[s, :, u] + rate * (patch - self.weights[s, :, u])
        self.weights[s, :, u] = moved / np.linalg.norm(moved)

    def _goodness(self, seen: Seen) -> Vector:
        silent = np.zeros(self.options.units)
        squares = [
            [(seen[p][1] if p in seen else silent) ** 2 for p in region] for region in self.regions
        ]
        goodness: Vector = np.mean(squares, axis=(1, 2))
        return goodness

    def _pulled(self, seen: Seen, pulls: list[float]) -> dict[tuple[int, int], Vector]:
        covering = list(zip(self.regions, pulls, strict=True))
        return {
            position: sum(pull for region, pull in covering if position in region) * a
            for position, (_, a) in seen.items()
        }

    def _contrast(self, made_up: MadeUp, z: Vector, seen: Seen, row: int) -> bool:
        options, negative = self.options, made_up.of(z, row)
        if negative is None:
            return False
        other = self._see(negative / _rms(negative) if negative.any() else negative)
        real, made = self._goodness(seen), self._goodness(other)
        self._note(real.mean(), made.mean())
        scale, theta = options.scale, options.scale * options.threshold
        if options.loss == "pair":
            gap = [
                _sigmoid(options.margin - scale * (g - b)) for g, b in zip(real, made, strict=True)
            ]
            up, down = gap, [-p for p in gap]
        else:
            up = [_sigmoid(theta - scale * g) for g in real]
            down = [-_sigmoid(scale * b - theta) for b in made]
        pulled, pushed = self._pulled(seen, up), self._pulled(other, down)
        self._descend(seen, pulled)
        self._descend(other, pushed)
        return True

    def _follow(self, seen: Seen, h: Vector, out: Vector, y: int) -> None:
        options, g = self.options, self.beliefs(seen, out)
        q = np.full(len(g), options.smoothing / max(len(g) - 1, 1))
        q[y] = 1 - options.smoothing
        e = q - np.exp(g)
        self._note(g[y], np.delete(g, y).max())
        if options.labels == "blocks":
            asked = e.repeat(options.units // self.classes)
            delta = {position: asked * a for position, (_, a) in seen.items()}
        else:
            slope = (self.readout.T @ e).reshape(h.shape)
            slope = slope / (2 * np.maximum(h, 0.1)) if options.pooling == "root" else slope
            delta = {
                position: self._asked(position, slope) * (a > 0)
                for position, (_, a) in seen.items()
            }
            self.readout += options.read_rate * self._fall() * np.outer(e, out) / h.size
        self._descend(seen, delta)

    def _asked(self, position: tuple[int, int], slope: Vector) -> Vector:
        covering = [r for r, region in enumerate(self.regions) if position in region]
        total: Vector = slope[covering].sum(axis=0)
        return total

    def _learn_row(self, x: Vector, y: int, row: int, out: F32) -> None:
        z, seen, h = self._answer(x, out)
        if not seen:
            return
        self.usage += 1e-3 * ((h.ravel() > 0) - self.usage)
        learned = True
        if self.compete:
            self._compete(seen, row)
        elif self.made_up is not None:
            learned = self._contrast(self.made_up, z, seen, row)
            self.made_up.keep(z, row)
        elif 0 <= y < self.classes:
            self._follow(seen, h, out.astype(np.float64), y)
        else:
            learned = False
        self.clock += learned

    def learn(self, rows: Rows) -> None:
        """Answer a row, then learn it."""
        for b, row in enumerate(rows.x.astype(np.float64)):
            self._learn_row(row, int(rows.y[b]), rows.first + b, rows.out[b])

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        names = ("weights", "bias", "readout", "wins", "load", "usage", "figures")
        arrays: Arrays = {name: getattr(self, name) for name in names}
        arrays["clock"] = np.array([self.clock])
        if self.made_up is not None:
            arrays["kept"] = self.made_up.kept
            arrays["kept_rows"] = np.array([self.made_up.kept_rows])
        return arrays
