"""Slow twin of `greedy_infomax`: one row and one step ahead at a time, in float64."""

import math
from typing import Any

import numpy as np
from naive import greedy_infomax_gru, greedy_infomax_lru
from naive.adam import Adam
from numpy.typing import NDArray

from streamlearn.kernels.random import generator, uniform
from streamlearn.part import F32, Arrays, Place, Rows, alone
from streamlearn.rules.greedy_infomax.start import new_net

Vector = NDArray[np.float64]

_FIGURE_ROWS = 1000


class Code:
    """A row encoded, and how a gradient of its code becomes one of the weights."""

    def __init__(
        self, twin: "GreedyInfomax", x: Vector, weights: Vector | None = None, bias: Any = None
    ) -> None:
        weights = twin.weights.w if weights is None else weights
        bias = twin.bias.w if bias is None else bias
        field, stride = twin.options.field or len(x), twin.options.stride
        if twin.options.field:
            samples = x.reshape(twin.place.shape_in[0], -1)
            last = len(samples) - field
            self.places = [samples[t : t + field].ravel() for t in range(0, last + 1, stride)]
        else:
            self.places = [x]
        self.x = x
        self.a = np.array([place @ weights + bias for place in self.places])
        self.z = np.maximum(self.a, 0).mean(axis=0)
        self.root = math.sqrt(np.mean(self.z**2) + 1e-4)
        self.zn = self.z / self.root
        self.delta = np.zeros_like(self.zn)

    def gradients(self) -> tuple[Vector, Vector]:
        """Gradients of weights and biases from the collected gradient of the code."""
        dz = (self.delta - self.zn * np.mean(self.delta * self.zn)) / self.root
        return self.through_relu(dz)

    def through_relu(self, dz: Vector) -> tuple[Vector, Vector]:
        """Gradients of weights and biases from that of z."""
        da = dz * (self.a > 0) / len(self.places)
        return np.stack(self.places).T @ da, da.sum(axis=0)


def fade(old: float, new: float, rows: float) -> float:
    """One step of a fading mean."""
    return old + max(1 / (rows + 1), 1 / _FIGURE_ROWS) * (new - old)


def scaled(x: F32) -> Vector:
    """A row with a root mean square of at most 10."""
    row: Vector = x.astype(np.float64)
    return row * min(1.0, 10 / max(math.sqrt(np.mean(row**2)), 1e-300))


def varies(x: Vector) -> bool:
    """Whether there is anything in a row that could be predicted."""
    return bool(x[0] != 0) if len(x) == 1 else bool((x != x[0]).any())


class GreedyInfomax:
    """A module as its equations have it."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place
        self.positions = math.prod(place.shape_in[:-1]) if options.positions else 1
        D, M = place.width_in // self.positions, options.reservoir_rows
        H, K = options.units, options.steps
        K = 1 if options.loss == "lpl" else K
        F = options.field * math.prod(place.shape_in[1:]) or D
        start = generator(place.seed).standard_normal((F, H), np.float32) / math.sqrt(F)
        self.weights, self.bias = Adam(start.astype(np.float64)), Adam(np.zeros(H))
        self.unit: Any = self._unit()
        C, n = (self.unit.C, self.unit.n) if self.unit else (H, H)
        self.predict = Adam(np.stack([np.eye(C, H) * (np.arange(C) < n)[:, None]] * K))
        self.mean_weights, self.mean_bias = self.weights.w, self.bias.w
        self.past: dict[int, list[Vector]] = {}
        self.moments: dict[int, list[Any]] = {}
        self.stored_x = np.zeros((M, D))
        self.stored_of = np.zeros((M, 2), np.int64)
        self.rows = self.stored = self.steps = self.scored = 0
        self.loss = self.accuracy = self.fallback = self.mean = self.square = 0.0
        self.by_step = np.zeros((3, K))
        self.usage = np.ones(H)
        self.surprise: float | None = 0.0
        self.at, self.row = 0, [np.zeros(0)]
        self.mu, self.C = np.zeros(H), np.zeros((H, H))

    def _unit(self) -> Any:
        start = new_net(self.options, self.place)._asdict()
        if self.options.context == "gru":
            return greedy_infomax_gru.Unit(start)
        H = self.options.units
        return greedy_infomax_lru.Unit(start, H) if self.options.context == "lru" else None

    def learn(self, rows: Rows) -> None:
        """For each row: write its codes, then learn what tells each from others."""
        origin, count = rows.origin or alone(len(rows.x), begin=False), self.positions
        for b in range(len(rows.x)):
            slot, begins, stream, device = (int(column[b]) for column in origin)
            self.row = [scaled(x) for x in rows.x[b].reshape(count, -1)]
            slots = [slot * count + p for p in range(count)]
            if begins:
                self.past |= {one: [] for one in slots}
                self.moments |= {one: [] for one in slots}
            for x, out, one in zip(self.row, rows.out[b].reshape(count, -1), slots, strict=True):
                self._answer(x, out, one)
            found = []
            for p, one in enumerate(slots):
                self.at, self.surprise = p, None
                self._learn_row(self.row[p], (rows.first + b) * count + p, (one, stream, device))
                found += [] if self.surprise is None else [self.surprise]
            self.surprise = float(np.mean(found)) if found else 0.0

    def _answer(self, x: Vector, out: F32, slot: int) -> None:
        now, moments = Code(self, x), self.moments.setdefault(slot, [])
        if self.unit:
            moments.append(self.unit.advance(moments[-1] if moments else None, now.zn))
        answer = Code(self, x, self.mean_weights, self.mean_bias) if self.options.average else now
        gives, code = self.options.gives, [] if self.options.gives == "context" else [answer.zn]
        out[:] = np.concatenate(
            [*code, *([] if gives == "code" else [self.unit.context(moments[-1])[0]])]
        )

    def _before(self, slot: int, k: int) -> Vector | None:
        """What the position is told from: itself k + 1 rows ago, or what is above it."""
        if self.options.predict == "below":
            above = self.at - (k + 1) * self.place.shape_in[1]
            return self.row[above] if above >= 0 else None
        past = self.past.setdefault(slot, [])
        return past[-1 - k] if len(past) > k else None

    def _learn_row(self, x: Vector, row: int, who: tuple[int, int, int]) -> None:
        slot, stream, device = who
        now = Code(self, x)
        self.usage += ((now.z > 0) - self.usage) / _FIGURE_ROWS
        self.rows += 1
        seen, told = varies(now.x), {}
        for k in range(len(self.by_step[0])):
            before = self._before(slot, k)
            if before is not None and varies(before):
                told[k] = Code(self, before)
        warm = self.stored >= self.options.warm_rows
        if self.options.loss == "lpl":
            if seen:
                self._hold_still(now, told.get(0) if warm else None)
        elif seen and told and warm:
            self._predict(now, told, row, who)
        if seen:
            self._store(now.x, row, (stream, device))
        self.past.setdefault(slot, []).append(now.x)

    def _hold_still(self, now: Code, before: Code | None) -> None:
        """Learn from the row before, if there is one, and from the averages of all."""
        H, share = len(now.z), max(1 / (self.stored + 1), 1 / self.options.memory_rows)
        away, v = now.z - self.mu, np.diag(self.C)
        other = (self.C - np.diag(v)) @ away
        push = self.options.decorrelate / H * other - away / (v + 1e-4)
        self.mu = self.mu + share * away
        self.C = (1 - share) * (self.C + share * np.outer(away, away))
        if before is None:
            return
        loss = 1 - now.zn @ before.zn / H
        self._note_step(0, loss, won=False)
        self._note(loss, 0.0, widened=False)
        if (self.scored - 1) % self.options.update_every:
            return
        self.steps += 1
        dW, db = now.through_relu(now.z - before.z + push)
        self._step_encoder(dW, db)

    def _step_encoder(self, dW: Vector, db: Vector) -> None:
        self.weights.step(dW, self.options.rate, self.steps)
        self.bias.step(db, self.options.rate, self.steps)
        share = max(1 / self.steps, 1 / self.options.memory_rows)
        self.mean_weights = self.mean_weights + share * (self.weights.w - self.mean_weights)
        self.mean_bias = self.mean_bias + share * (self.bias.w - self.mean_bias)

    def _candidates(self, stream: int, device: int) -> tuple[list[int], bool]:
        held = min(self.stored, len(self.stored_x))
        streams, devices = self.stored_of[:held].T
        circles = {
            "any": np.full(held, True),
            "other": streams != stream,
            "same": streams == stream,
            "device": (streams != stream) & (devices == device),
        }
        chain = {"device": ("device", "other", "any"), "any": ("any",)}
        source = self.options.negatives_from
        for circle in chain.get(source, (source, "any")):
            if circles[circle].any():
                return np.flatnonzero(circles[circle]).tolist(), circle != source
        return [], True

    def _negatives(self, row: int, who: tuple[int, int, int]) -> tuple[list[Code], bool]:
        count = 1 if self.options.loss == "hinge" else self.options.negatives
        draws = [uniform(self.place.seed, row, 16 + j) for j in range(count)]
        if self.options.negatives_from == "positions":
            others = [x for p, x in enumerate(self.row) if p != self.at]
            return [Code(self, others[int(len(others) * u)]) for u in draws], False
        fits, widened = self._candidates(*who[1:])
        return [Code(self, self.stored_x[fits[int(len(fits) * u)]]) for u in draws], widened

    def _predict(
        self, now: Code, told: dict[int, Code], row: int, who: tuple[int, int, int]
    ) -> None:
        negatives, widened = self._negatives(row, who)
        own = uniform(self.place.seed, row, 1) < 0.5
        H, dP = len(now.zn), np.zeros_like(self.predict.w)
        losses, wins, slopes_of = [], [], {}
        for k, before in told.items():
            # W_k is stored contexts x codes.
            context = self._context(before, who[0], k)
            query = context @ self.predict.w[k] / H
            codes = [now, *negatives]
            loss, won, slopes = self._slopes(np.array([code.zn @ query for code in codes]), own=own)
            slopes = slopes / len(told)
            error = sum(a * code.zn for a, code in zip(slopes, codes, strict=True))
            for a, code in zip(slopes, codes, strict=True):
                code.delta += a * query
            slopes_of[k] = self.predict.w[k] @ error / H
            dP[k] = np.outer(context, error) / H
            losses.append(loss)
            wins.append(won)
            self._note_step(k, loss, won=won)
        self._note(float(np.mean(losses)), float(np.mean(wins)), widened=widened)
        if (self.scored - 1) % self.options.update_every:
            return
        self._step_contexts(told, slopes_of, who[0])
        self._step([now, *told.values(), *negatives], dP)

    def _context(self, before: Code, slot: int, k: int) -> Vector:
        """What was said k + 1 rows ago; the newest moment is that of the row itself."""
        return self.unit.context(self.moments[slot][-2 - k])[0] if self.unit else before.zn

    def _step_contexts(self, told: dict[int, Code], slopes: dict[int, Vector], slot: int) -> None:
        if not self.unit:
            for k, before in told.items():
                before.delta += slopes[k]
            return
        found = [(self.moments[slot][-2 - k], slopes[k], before.zn) for k, before in told.items()]
        asked = self.unit.learn(found, self.options.rate, self.steps + 1)
        for before, delta in zip(told.values(), asked, strict=True):
            before.delta += delta

    def _note_step(self, k: int, loss: float, *, won: bool) -> None:
        rows = self.by_step[2, k]
        self.by_step[0, k] = fade(self.by_step[0, k], loss, rows)
        self.by_step[1, k] = fade(self.by_step[1, k], won, rows)
        self.by_step[2, k] += 1

    def _slopes(self, scores: Vector, *, own: bool) -> tuple[float, bool, Vector]:
        """Loss, whether the row won, and dL/d scores."""
        if self.options.loss == "hinge":
            f, g = scores
            loss = (max(0, 1 - f) + max(0, 1 + g)) / 2
            slopes = [-1.0, 0] if own and f < 1 else [0, 1.0] if not own and g > -1 else [0, 0]
            return loss, bool(f > g), np.array(slopes)
        p = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        loss = -math.log(p[0])
        slopes = p.copy()
        slopes[0] -= 1
        return loss, bool(scores[0] > scores[1:].max()), slopes

    def _note(self, loss: float, accuracy: float, *, widened: bool) -> None:
        rows = self.scored
        self.loss = fade(self.loss, loss, rows)
        self.accuracy = fade(self.accuracy, accuracy, rows)
        self.fallback = fade(self.fallback, widened, rows)
        away, share = loss - self.mean, max(1 / (rows + 1), 1 / _FIGURE_ROWS)
        self.surprise = 0.0
        if rows >= 16:
            self.surprise = float(np.clip(away / math.sqrt(self.square + 1e-6), -10, 10))
        self.mean += share * away
        self.square = (1 - share) * (self.square + share * away**2)
        self.scored += 1

    def _step(self, codes: list[Code], dP: Vector) -> None:
        self.steps += 1
        gradients = [code.gradients() for code in codes]
        self.predict.step(dP, self.options.rate, self.steps)
        self._step_encoder(sum(dW for dW, _ in gradients), sum(db for _, db in gradients))

    def _store(self, x: Vector, row: int, of: tuple[int, int]) -> None:
        M = len(self.stored_x)
        at = self.stored if self.stored < M else int(M * uniform(self.place.seed, row, 0))
        self.stored_x[at], self.stored_of[at] = x, of
        self.stored += 1

    def arrays(self) -> Arrays:
        """What it learned."""
        return {
            "weights": self.weights.w,
            "bias": self.bias.w,
            **({"mean_weights": self.mean_weights} if self.options.average else {}),
            **(self._averages() if self.options.loss == "lpl" else self._contrast()),
            "clock": np.array([self.rows, self.stored, self.steps, self.scored]),
            "by_step": self.by_step,
            "usage": self.usage,
        }

    def _averages(self) -> Arrays:
        return {"mean": self.mu, "covariance": self.C}

    def _contrast(self) -> Arrays:
        return {
            "predict": self.predict.w,
            **(self.unit.arrays() if self.unit else {}),
            **(self._reservoir() if self.options.negatives_from != "positions" else {}),
        }

    def _reservoir(self) -> Arrays:
        return {
            "stored_x": self.stored_x,
            "stored_stream": self.stored_of[:, 0],
        }
