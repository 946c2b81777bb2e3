"""Slow twin of `streamlearn.rules.forward_forward.contrast`: float64, whole rows, nothing pending.

Every row at work is one vector [D + E], label inputs included, and answered by itself.
"""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
from naive.ff_negatives import Negatives

from streamlearn.kernels.random import generator, uniform
from streamlearn.part import Arrays, Place, Rows
from streamlearn.rules.forward_forward.start import first_weights


class Goal:
    """Activity, goodness and loss."""

    def __init__(self, options: Any) -> None:
        self.options = options
        H = options.units
        half = np.where(np.arange(H) < (H + 1) // 2, 1.0, -1.0)
        signs = {"split": half, "minus_squares": -np.ones(H), "minus_sum": -np.ones(H)}
        self.sign = signs.get(options.goodness, np.ones(H))
        self.squared = options.goodness not in ("sum", "minus_sum")

    def activity(self, v: Any) -> Any:
        """a(v)."""
        relu = self.options.activation == "relu"
        return np.maximum(v, 0) if relu else np.log(1 + v**2)

    def odds(self, v: Any) -> float:
        """Z = scale G."""
        a, o = self.activity(v), self.options
        measure = a**2 if self.squared else a
        return float(o.scale * np.mean(self.sign * (measure - o.threshold)))

    def loss(self, positive: float, negative: float) -> float:
        """What the layer makes small, of the log odds of both sides."""
        if self.options.loss == "pair":
            return float(np.logaddexp(0, self.options.margin - (positive - negative)))
        return float(np.logaddexp(0, -positive) + np.logaddexp(0, negative))

    def pull(self, positive: float, negative: float, side: int) -> float:
        """How steep the loss is in z+ or z-."""
        z = positive - negative - self.options.margin
        if self.options.loss == "threshold":
            z = (positive, -negative)[side]
        p = 1 / (1 + math.exp(min(max(z, -80.0), 80.0)))
        return p if p > 1e-7 else 0.0

    def slope(self, v: Any) -> Any:
        """S d(v)."""
        relu = self.options.activation == "relu"
        rise = (v > 0).astype(float) if relu else 2 * v / (1 + v**2)
        return self.sign * rise * (self.activity(v) if self.squared else 1)


class Pair(NamedTuple):
    """What is learned from: rows [D + E], and the number of the negative's label."""

    positive: Any
    negative: Any


def read(x: Any) -> Any:
    """X / rms(x), or None."""
    x = np.asarray(x, float)
    z = x / (math.sqrt(float(np.mean(x**2))) or 1.0)
    z[np.abs(z) <= 1e-7] = 0
    return z if z.any() else None


def unit(a: Any) -> Any:
    """A / rms(a)."""
    rms = math.sqrt(float(np.mean(a**2)))
    return a / rms if rms > 1e-15 else np.zeros_like(a)


class Contrast:
    """A layer that tells real rows from made-up ones."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place, self.goal = options, place, Goal(options)
        self.labels = options.labels == "overlay"
        self.first = place.lanes_in == 0
        H, D, K = options.units, place.width_in, place.classes
        self.label_inputs = K if self.labels and self.first else 0
        noise = generator(place.seed).standard_normal((D + self.label_inputs, H), dtype=np.float32)
        self.weights = noise * np.float32(1 / np.sqrt(D)).astype(float)
        if options.start == "local":
            self.weights[:D] = first_weights("local", H, place)
        self.average, self.gains = self.weights.copy(), np.full_like(self.weights, 30.0)
        self.means, self.figures = np.full(H, 0.5), np.zeros(4)
        self.learned = self.awake = self.stored_rows = 0
        self.kept: list[tuple[Any, int]] = []
        self.stored: list[Any] = []
        above = {"negatives": "pairing", "reservoir_rows": 1}  # the layer below makes them
        made = options if self.first else msgspec.structs.replace(options, **above)
        self.negatives = Negatives(made, place)
        self.scores, self.lanes = np.zeros(K), np.zeros((0, H))

    # what a row looks like

    def with_label(self, z: Any, y: int) -> Any:
        """A row with its label beside it; an equal part of each where it is not known."""
        if z is None or not self.label_inputs:
            return z
        K, strength = self.label_inputs, self.options.label_strength
        return np.append(z, np.full(K, strength / K) if y < 0 else strength * np.eye(K)[y])

    def answered(self, row: Any) -> Any:
        """Activity of a row under the averaged weights; zeros for none."""
        if row is None:
            return np.zeros(self.options.units)
        return self.goal.activity(row @ (self.average if self.options.average else self.weights))

    def odds_of(self, row: Any) -> float:
        """Log odds under the averaged weights."""
        if row is None:
            return self.goal.odds(np.zeros(self.options.units))
        return self.goal.odds(row @ (self.average if self.options.average else self.weights))

    def candidates(self, z: Any, lanes: list[Any]) -> list[Any]:
        """The row under each label, where the layer can know them."""
        if not self.labels or not (self.first or self.options.candidates):
            return []
        K = self.place.classes
        return [self.with_label(z, k) for k in range(K)] if self.first else lanes[:K]

    def wrong(self, y: int, scores: Any, key: int, draw: int) -> int:
        """A wrong label."""
        others = [k for k in range(self.place.classes) if k != y]
        belief = np.ones(len(others))
        if self.options.wrong_label == "hard" and len(scores):
            z = 2 * np.array([scores[k] for k in others])
            belief = np.exp(z - z.max())
        luck = uniform(self.place.seed, key, draw) * belief.sum()
        return others[min(int(np.searchsorted(np.cumsum(belief), luck, "right")), len(others) - 1)]

    def roles(self, z: Any, lanes: list[Any], y: int, wrong: int, made: Any) -> tuple[Any, Any]:
        """Positive and negative row."""
        if not self.labels:
            return z, made if self.first else lanes[0]
        if self.first:
            other = self.with_label(z, wrong) if y >= 0 else self.with_label(made, -1)
            return self.with_label(z, y), other
        if not self.options.candidates:
            return lanes[0], lanes[1]
        return (lanes[y], lanes[wrong]) if y >= 0 else (z, lanes[-1])

    # learning

    def rate(self, row: Any, share: float) -> float:
        """What slopes are multiplied with."""
        o = self.options
        if o.step == "adagrad":
            return share
        label = row[self.place.width_in :]
        fall = max((1 + self.learned / o.decay_rows) ** -0.5, o.rate_floor)
        return float(share * o.rate * fall / (self.place.width_in + label @ label))

    def descend(self, step: Any) -> None:
        """One step [D + E, H]; adagrad moves what it touches."""
        o = self.options
        if o.step == "sgd":
            self.weights += step
            return
        recovery = 1 / o.memory_rows if o.memory_rows else 0
        u = np.clip(step * self.gains, -1, 1)
        self.weights += o.rate / math.sqrt(self.place.width_in) * u
        touched = self.touched[:, None]
        gains = np.minimum(self.gains * (1 + recovery - u**2 / 2), 30)
        self.gains = np.where(touched, gains, self.gains)

    def learn_pair(self, pair: Pair, share: float, *, fresh: bool) -> None:
        """Both sides at once, or the positive beside the usual negative, which is put by."""
        o, goal = self.options, self.goal
        good, bad = pair.positive @ self.weights, pair.negative @ self.weights
        z, other = goal.odds(good), goal.odds(bad)
        apart, rate = o.phases == "apart", self.rate(pair.negative, share)
        usual = self.figures[1] / max(self.figures[3], 1e-300)
        up = goal.pull(z, usual if apart else other, 0)
        down = 0.0 if apart else goal.pull(z, other, 1)
        c = rate * (up * goal.slope(good) + o.peer * (self.means.mean() - self.means))
        d = -rate * down * goal.slope(bad)
        self.means += 1e-3 * (goal.activity(good) - self.means)
        if fresh:
            now = np.array([z, other, float(other >= z), 1.0])
            self.figures += 1e-3 * (now - self.figures)
        if apart:
            self.stored.append(pair.negative)
            self.awake += 1
            self.stored_rows += 1
        if up > 0 or down > 0 or o.peer > 0:
            self.touched = (pair.positive != 0) | (pair.negative != 0)
            self.descend(np.outer(pair.positive, c) + np.outer(pair.negative, d))

    def learn_stored(self) -> None:
        """The oldest stored negative beside the usual positive."""
        row = self.stored.pop(0)
        v = row @ self.weights
        usual = self.figures[0] / max(self.figures[3], 1e-300)
        down = self.goal.pull(usual, self.goal.odds(v), 1)
        if down > 0:
            self.touched = row != 0
            self.descend(-self.rate(row, 1.0) * down * np.outer(row, self.goal.slope(v)))

    def work(self, z: Any, lanes: list[Any], y: int, key: int, draw: int) -> tuple[Pair, Any]:
        """Answer a row; returns what is to be learned, and its activity."""
        candidates = self.candidates(z, lanes)
        scores = [self.odds_of(row) for row in candidates]
        answer = unit(self.answered(self.with_label(z, -1)))
        made = self.negatives.make(z, answer, key) if z is not None and y < 0 else None
        made = None if made is None else read(made)
        wrong = self.wrong(y, scores, key, draw) if y >= 0 else -1
        positive, negative = self.roles(z, lanes, y, wrong, made)
        if draw == 0:
            self.scores = np.array(scores)
            self.lanes = np.array(self.lanes_of(z, lanes, candidates, y, wrong, made))
        return Pair(positive, negative), answer

    def lanes_of(self, z, lanes, candidates, y, wrong, made):  # type: ignore[no-untyped-def]
        """What goes to the lanes of the layer above."""
        if not self.labels:
            rows = [made if self.first else lanes[0]]
        elif self.options.candidates:
            last = self.with_label(made, -1) if self.first else lanes[-1]
            rows = [*candidates, last if y < 0 else None]
        elif self.first:
            other = self.with_label(z, wrong) if y >= 0 else self.with_label(made, -1)
            rows = [self.with_label(z, y), other]
        else:
            rows = lanes
        return [unit(self.answered(row)) for row in rows]

    def learn_row(self, x: Any, lanes: Any, y: int, key: int) -> Any:
        """Answer a row, then learn it, and whatever comes with it."""
        o = self.options
        y = y if self.labels else -1
        z, lanes = read(x), [read(lane) for lane in lanes]
        pair, answer = self.work(z, lanes, y, key, 0)
        share = o.unlabelled if self.labels and y < 0 else 1.0
        learned = share > 0 and pair.positive is not None and pair.negative is not None
        if learned:
            self.learn_pair(pair, share, fresh=True)
            self.learned += 1
        if self.first and z is not None:
            self.negatives.remember(z, answer, key)
        if learned and y >= 0 and o.revisits:
            self.revisit((z, lanes), y, key)
        if o.phases == "apart" and self.awake >= o.wake_rows:
            while self.stored:
                self.learn_stored()
            self.awake = 0
        if learned and o.average and self.learned % 100 == 0:
            k = self.learned // 100
            least = 100 / o.memory_rows if o.memory_rows else 0
            self.average += min(max(5 / (k + 4), least), 1) * (self.weights - self.average)
        return answer

    def revisit(self, row: Any, y: int, key: int) -> None:
        """Kept rows of ages N/R, 2N/R, … N, under newly drawn labels."""
        o = self.options
        self.kept = [(row, y), *self.kept][: o.kept_rows + 1]
        for turn in range(1, o.revisits + 1):
            age = o.kept_rows * turn // o.revisits
            if age < len(self.kept):
                (z, lanes), kept_y = self.kept[age]
                pair, _ = self.work(z, lanes, kept_y, key, turn)
                self.learn_pair(pair, 1.0, fresh=False)

    def dream(self, count: int) -> None:
        """One stored negative a row."""
        for _ in range(min(count, len(self.stored))):
            self.learn_stored()

    def learn(self, rows: Rows) -> None:
        """Answer, then learn, row by row."""
        for b in range(len(rows.x)):
            lanes = rows.beside.lanes_in[b] if rows.beside else []
            rows.out[b] = self.learn_row(rows.x[b], lanes, int(rows.y[b]), rows.first + b)
            if rows.beside is not None:
                rows.beside.lanes[b] = self.lanes
                rows.beside.scores[b] = self.scores

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        names = ["weights", "means", "figures"]
        names += ["average"] * self.options.average + ["gains"] * (self.options.step == "adagrad")
        state = {name: getattr(self, name) for name in names}
        made = self.negatives.arrays()
        return state | {f"negatives_{name}": array for name, array in made.items()}
