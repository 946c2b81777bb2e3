"""Slow twin of `streamlearn.rules.forward_forward_top_down`: matrices, by the equations.

One connection is one matrix [from, to]; a run of the net is a list of steps, each a list of levels.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator, uniform
from streamlearn.part import F32, Arrays, Place, Rows

F64 = NDArray[np.float64]


def _normal(x: F64) -> F64:
    """Divide by the root mean square."""
    size = math.sqrt(float((x**2).mean())) if x.size else 0.0
    return x / size if size > 1e-15 else 0 * x


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class ForwardForwardTopDown:
    """A net of levels that see each other, one row at a time."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place
        self.units = [options.units] if isinstance(options.units, int) else list(options.units)
        self.top = len(self.units)
        self.classes = place.classes if options.labels == "overlay" else 0
        D = place.width_in // options.shrink**2
        sizes = [D * options.frames, *self.units, self.classes]
        random = generator(place.seed)
        self.weights: dict[str, F64] = {}
        for level in range(1, self.top + 1):
            for name, other in (("up", level - 1), ("down", level + 1)):
                shape = sizes[other], sizes[level]
                noise = random.standard_normal(shape, np.float32).astype(float)
                self.weights[f"{name}{level}"] = noise / math.sqrt(max(sizes[other], 1))
            self.weights[f"bias{level}"] = np.zeros((1, sizes[level]))
        self.gains = {name: np.full(block.shape, 10.0) for name, block in self.weights.items()}
        self.average = {name: block.copy() for name, block in self.weights.items()}
        N = sum(self.units)
        self.readout, self.readout_gains = (
            np.zeros((self.classes, N)),
            np.full((self.classes, N), 10.0),
        )
        self.h = [np.zeros(H) for H in self.units]
        self.usual, self.tally = np.zeros(self.top), np.zeros((2, self.top))
        self.peers = [np.zeros(H) for H in self.units]
        self.rows = self.learned = 0
        self.past: list[F64] = []
        self.stored: list[F64] = []
        self.background = np.zeros(D)

    # What the lowest level sees.

    def _small(self, x: F64) -> F64:
        side = self.options.shrink
        if side == 1:
            return x
        rows, columns = self.place.shape_in
        squares = x.reshape(rows // side, side, columns // side, side)
        return squares.mean(axis=(1, 3)).ravel()

    def _window(self, row: F64) -> list[F64]:
        if self.options.background_rows and not self.rows:
            return [0 * row] * self.options.frames
        known = [row, *self.past]
        frames = [known[min(f, len(known) - 1)] for f in range(self.options.frames)]
        return [frame - self.background for frame in frames]

    def _negative(self, window: list[F64], row: int) -> list[F64]:
        kind, seed = self.options.negatives, self.place.seed
        if kind == "mixed":
            kind = ("reversed", "returned", "stored")[int(3 * uniform(seed, row, 0))]
        if kind == "reversed":
            return window[::-1]
        if kind == "returned":
            return [window[2], *window[1:]]
        if not self.stored:
            return window
        chosen = self.stored[int(len(self.stored) * uniform(seed, row, 1))]
        return [chosen - self.background, *window[1:]]

    def _keep(self, small: F64, row: int) -> None:
        options = self.options
        self.past = [small, *self.past][: options.frames - 1]
        if options.background_rows:
            rate = max(1 / (self.rows + 1), 1 / options.background_rows)
            self.background = self.background + rate * (small - self.background)
        if options.labels == "none" and options.negatives in ("stored", "mixed"):
            if self.rows < options.stored_rows:
                self.stored.append(small)
            else:
                slot = int(options.stored_rows * uniform(self.place.seed, row, 2))
                self.stored[slot] = small
        self.rows += 1

    # The net.

    def _label(self, label: int) -> F64:
        strength = self.options.label_strength
        if label < 0:
            return np.full(self.classes, strength / max(self.classes, 1))
        return strength * np.eye(self.classes)[label]

    def _current(self, weights: dict[str, F64], z: list[F64], level: int, top: F64 | None) -> F64:
        """What a level gets; z: input and levels; top: the label, None for nothing from above."""
        current = z[level - 1] @ weights[f"up{level}"] + weights[f"bias{level}"][0]
        if top is not None and level < self.top:
            current = current + z[level + 1] @ weights[f"down{level}"]
        elif top is not None and self.classes:
            current = current + top @ weights[f"down{level}"]
        return current

    def _run(self, weights: dict[str, F64], x: F64, label: int) -> list[dict[str, list[F64]]]:
        """Every step, 0 first: h, z (the input in front) and gated h of each level."""
        begin: dict[str, list[F64]] = {"h": [], "z": [x], "gated": []}
        for level in range(1, self.top + 1):
            if self.options.carry:
                h = self.h[level - 1]
            else:
                h = np.maximum(self._current(weights, begin["z"], level, None), 0)
            begin["h"].append(h)
            begin["z"].append(_normal(h))
            begin["gated"].append(h)
        steps = [begin]
        for _ in range(self.options.steps):
            steps.append(self._next(weights, steps[-1], self._label(label)))
        return steps

    def _next(
        self, weights: dict[str, F64], before: dict[str, list[F64]], top: F64
    ) -> dict[str, list[F64]]:
        now = {name: list(values) for name, values in before.items()}
        order = list(range(1, self.top + 1))
        if self.options.update == "alternating":
            order = order[::2] + order[1::2]
        keep = self.options.damping
        for level in order:
            seen = now if self.options.update == "alternating" else before
            current = self._current(weights, seen["z"], level, top)
            h = keep * before["h"][level - 1] + (1 - keep) * np.maximum(current, 0)
            now["h"][level - 1], now["z"][level] = h, _normal(h)
            now["gated"][level - 1] = np.where(current > 0, h, 0)
        return now

    def _goodness(self, step: dict[str, list[F64]]) -> F64:
        return np.array([float((h**2).mean()) for h in step["h"]])

    # What is answered.

    def _answer(self, x: F64, backwards: F64 | None, out: F32) -> Any:
        weights = self.average if self.options.average else self.weights
        steps = self._run(weights, x, -1)
        z = np.concatenate(steps[-1 if self.options.settled else 0]["z"][1:])
        evidence = []
        if self.options.evidence:
            assert backwards is not None
            other = self._goodness(self._run(weights, backwards, -1)[-1])
            for g, b, u in zip(self._goodness(steps[-1]), other, self.usual, strict=True):
                ratio = math.log((g + 1e-6) / (u + 1e-6)) if self.rows else 0.0
                evidence += [min(max(ratio, -10), 10), (g - b) / (g + b + 1e-6)]
        out[:] = np.concatenate([z, evidence])
        return steps, z

    def _scores(self, x: F64, p: F64, candidates: bool) -> F64:  # noqa: FBT001
        if not candidates:
            return np.log(np.maximum(p, 1e-7))
        options = self.options
        weights = self.average if options.average else self.weights
        scores = []
        for k in range(self.classes):
            some = self._run(weights, x, k)[options.score_from : options.score_to + 1]
            scores.append(options.scale * np.mean([self._goodness(s).sum() for s in some]))
        return np.array(scores)

    def learn(self, rows: Rows) -> None:
        """Answer a row, then learn it."""
        for b, x in enumerate(rows.x.astype(float)):
            row = rows.first + b
            small = self._small(x)
            window = self._window(small)
            seen, frames = _normal(np.concatenate(window)), self._negative(window, row)
            backwards = _normal(np.concatenate(window[::-1]))
            answer, z = self._answer(seen, backwards, rows.out[b])
            p = np.exp(self.readout @ z)
            p = p / p.sum() if self.classes else p
            if rows.beside is not None and self.classes:
                always = self.options.candidates == "always"
                rows.beside.scores[b] = self._scores(seen, p, always)
            if seen.any() and self.options.rate > 0:
                self._learn(seen, _normal(np.concatenate(frames)), (int(rows.y[b]), row), (p, z))
            if self.options.carry:
                self.h = answer[-1]["h"]
            rate = max(1 / (self.rows + 1), 1 / 300)
            way_up = not (self.options.settled or self.options.carry) and self.classes
            goodness = np.zeros(self.top) if way_up else self._goodness(answer[-1])
            self.usual = self.usual + rate * (goodness - self.usual)
            self._keep(small, row)

    # What is learned.

    def _wrong(self, y: int, row: int, p: F64) -> int:
        weights = np.where(np.arange(self.classes) == y, 0, p)
        if self.options.wrong_label == "random" or weights.sum() < 1e-6:
            weights = (np.arange(self.classes) != y).astype(float)
        edges = np.cumsum(weights)
        return int(np.searchsorted(edges, uniform(self.place.seed, row, 16) * edges[-1], "right"))

    def _learn(self, x: F64, wrong_x: F64, who: tuple[int, int], beliefs: Any) -> None:
        y, row = who
        p, z = beliefs
        if not self.classes:
            self._contrast((x, wrong_x), (-1, -1))
        elif 0 <= y < self.classes:
            error = np.eye(self.classes)[y] - p
            self._move_one(self.readout, self.readout_gains, np.outer(error, z))
            self._contrast((x, x), (y, self._wrong(y, row, p)))

    def _contrast(self, inputs: tuple[F64, F64], labels: tuple[int, int]) -> None:
        options = self.options
        runs = [self._run(self.weights, x, k) for x, k in zip(inputs, labels, strict=True)]
        moves = {name: np.zeros_like(block) for name, block in self.weights.items()}
        self.used = {name: np.zeros((len(block), 1), bool) for name, block in moves.items()}
        steps = range(options.learn_from, options.steps + 1)
        for level in range(1, self.top + 1):
            mine = self.peers[level - 1]
            mine += 0.1 * (runs[0][-1]["h"][level - 1] - mine)
            for s in steps:
                g, other = (self._goodness(run[s])[level - 1] for run in runs)
                if options.loss == "pair":
                    q = [_sigmoid(options.margin - options.scale * (g - other))] * 2
                else:
                    scale, threshold = options.scale, options.threshold
                    q = [_sigmoid(scale * (threshold - g)), _sigmoid(scale * (other - threshold))]
                for lane, sign in ((0, 1), (1, -1)):
                    e = sign * q[lane] * runs[lane][s]["gated"][level - 1]
                    e = e + (options.peer * (mine.mean() - mine) if lane == 0 else 0)
                    self._add(moves, runs[lane], (level, s), (e / len(steps), labels[lane]))
        for name, block in self.weights.items():
            self._move_one(block, self.gains[name], moves[name], self.used[name])
        ends = np.array([self._goodness(run[-1]) for run in runs])
        self.tally += 0.01 * (ends - self.tally)
        self.learned += 1
        self._refresh()

    def _add(
        self,
        moves: dict[str, F64],
        run: list[dict[str, list[F64]]],
        at: tuple[int, int],
        error: tuple[F64, int],
    ) -> None:
        """Add the outer products of a level's errors with what it saw."""
        level, s = at
        e, label = error
        now = self.options.update == "alternating" and level % 2 == 0
        seen = run[s if now else s - 1]["z"]
        inputs = {f"up{level}": seen[level - 1], f"bias{level}": np.ones(1)}
        if level < self.top or self.classes:
            above = seen[level + 1] if level < self.top else self._label(label)
            inputs[f"down{level}"] = above
        for name, x in inputs.items():
            moves[name] += np.outer(x, e)
            self.used[name] |= x[:, None] != 0

    def _move_one(self, block: F64, gains: F64, move: F64, used: Any = True) -> None:  # noqa: FBT002
        """W += rate u, G <- min(G (1 + 1/memory - u²/2), 10), for inputs that are not zero."""
        options = self.options
        fall = math.sqrt(1 + self.learned / options.decay_rows) if options.decay_rows else 1
        growth = 1 + (1 / options.memory_rows if options.memory_rows else 0)
        u = np.clip(move * gains, -1, 1)
        block += options.rate / fall * u
        gains[...] = np.where(used, np.minimum(gains * (growth - u**2 / 2), 10), gains)

    def _refresh(self) -> None:
        if self.options.average and self.learned % 100 == 0:
            k, memory = self.learned // 100, self.options.memory_rows
            part = min(max(5 / (k + 4), 100 / memory if memory else 0), 1)
            for name, block in self.weights.items():
                self.average[name] += part * (block - self.average[name])

    def infer(self, x: F32, out: F32) -> None:
        """Answer rows [B, D], each from the state as it stands."""
        for b, row in enumerate(x.astype(float)):
            window = self._window(self._small(row))
            backwards = _normal(np.concatenate(window[::-1]))
            self._answer(_normal(np.concatenate(window)), backwards, out[b])

    def arrays(self) -> Arrays:
        """Weights and what is kept of rows, under the names of the fast version."""
        arrays: Arrays = {
            **{name: block for name, block in self.weights.items() if block.size},
            "h": np.concatenate(self.h) if self.options.carry else np.zeros(sum(self.units)),
            "usual": self.usual,
            "peers": np.concatenate(self.peers),
            "tally": self.tally,
            "clock": np.array([self.rows, self.learned]),
            "background": self.background,
        }
        if self.options.average:
            arrays |= {f"{k}_average": v for k, v in self.average.items() if v.size}
        if self.classes:
            arrays["readout"] = self.readout
        return arrays
