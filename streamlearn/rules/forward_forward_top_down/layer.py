"""The layer around the kernels: one row after the other through the lanes.

Lanes: 0 answers, with the averaged weights and no label; 1 is the window backwards, for evidence,
or one candidate label after the other; 2 and 3 learn, positive and negative, with the raw weights.
Where nothing is averaged and there are no labels, 0 is the positive lane too, and 1 the negative
one where that is the window backwards.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels.random import uniform
from streamlearn.kernels.schedules import AVERAGE_EVERY, share_of
from streamlearn.part import F32, UNLABELLED, Arrays, Place, Rows
from streamlearn.rules.base import Rule
from streamlearn.rules.forward_forward_top_down import learning, window
from streamlearn.rules.forward_forward_top_down.net import NEUTRAL, settle
from streamlearn.rules.forward_forward_top_down.options import (
    ForwardForwardTopDownOptions,
    check,
    levels_of,
)
from streamlearn.rules.forward_forward_top_down.room import Room, new_room
from streamlearn.rules.forward_forward_top_down.state import (
    arrays_of,
    blocks,
    new_frames,
    new_net,
    new_state,
    width_of,
)

_KINDS: Final = {
    "reversed": window.REVERSED,
    "returned": window.RETURNED,
    "stored": window.STORED,
    "mixed": window.MIXED,
}
_USUAL_ROWS: Final = 300
"""Rows that a level's usual goodness remembers: half a minute at ten frames a second."""
_TALLY_ROWS: Final = 100
_SMALL: Final = 1e-6
_WRONG: Final = 16
"""Draw of a row that chooses the wrong label; `window` has those before it."""


class ForwardForwardTopDown(Rule):
    """A Forward-Forward net of several levels, with connections up and down.

    Parameters
    ----------
    options
        Levels, steps, negatives, rates; see `ForwardForwardTopDownOptions`.
    place
        Widths, classes and seed; see `streamlearn.part.Place`.

    Raises
    ------
    ConfigError
        Where the options do not go together, or with the place.

    Notes
    -----
    The output is the normalised activities of all levels, the lowest first, and with `evidence` two
    numbers for each level: log of its goodness over the usual one, and (g - g') / (g + g'), g' that
    of the same frames backwards.

    """

    Options = ForwardForwardTopDownOptions
    GAUGES = (
        "goodness_positive",
        "goodness_negative",
        "margin",
        "margin_lowest",
        "margin_highest",
        "surprise",
        "dead_share",
        "norm_up",
        "norm_down",
    )
    options: ForwardForwardTopDownOptions

    def __init__(self, options: ForwardForwardTopDownOptions, place: Place) -> None:
        super().__init__(options, place)
        check(options, place)
        self._inputs = width_of(place, options)
        self._classes = place.classes if options.labels == "overlay" else 0
        shape = levels_of(options), self._inputs * options.frames, self._classes
        self._blocks = list(blocks(*shape))
        self._net = new_net(*shape)
        self._state = new_state(options, *shape[1:], place.seed)
        self._frames = new_frames(options, self._inputs)
        self._room = self._new_room()
        self._units = sum(levels_of(options))

    @property
    def width_out(self) -> int:
        """N activities, and two numbers a level with `evidence`."""
        return self._units + (2 * len(levels_of(self.options)) if self.options.evidence else 0)

    @property
    def scores_out(self) -> bool:
        """Whether it knows labels."""
        return self._classes > 0

    @property
    def learns_labels(self) -> bool:
        """Whether a late label can still be learned: with `carry` its moment is gone."""
        return self._classes > 0 and not self.options.carry

    def learn(self, rows: Rows) -> None:
        """For each row: write its activities and scores, then learn it against a negative."""
        scores, room = _scores(rows), self._room
        for b in range(len(rows.x)):
            row = rows.first + b
            seen = self._see(rows.x[b], row, room, learns=True)
            z = self._answer(rows.out[b], room)
            if self._classes:
                learning.believe(self._state.readout, z, room.p)
            if scores is not None:
                self._score(scores[b], room, goodness=self.options.candidates == "always")
            if seen and self.options.rate > 0:
                self._learn(int(rows.y[b]), row, z, room)
            self._keep(row, room)

    def respond(self, rows: Rows) -> None:
        """Write what `learn` would write; every row is answered from the state as it stands."""
        scores, room = _scores(rows), self._new_room()
        for b in range(len(rows.x)):
            self._see(rows.x[b], 0, room, learns=False)
            z = self._answer(rows.out[b], room)
            if scores is not None:
                learning.believe(self._state.readout, z, room.p)
                self._score(scores[b], room, goodness=self.options.candidates != "never")

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of rows [B, D], each from the state as it stands."""
        self.respond(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), 0))

    def _new_room(self) -> Room:
        return new_room(self.options, self._net, self._inputs, self._classes)

    @property
    def _rows(self) -> int:
        return int(self._state.clock[0])

    def _see(self, x: F32, row: int, room: Room, *, learns: bool) -> bool:
        """Make the windows of a row; False where there is nothing to see."""
        options = self.options
        made_up = learns and not self._classes and options.rate > 0
        how = (
            self.place.shape_in[-1],
            options.shrink,
            1 / options.background_rows if options.background_rows else 0.0,
            int(options.evidence),
            _KINDS[options.negatives] if made_up else -1,
        )
        key, written = (self.place.seed, row), (room.row, room.windows)
        return bool(window.see(x, tuple(self._frames), written, self._rows, key, how))

    def _settle(self, source: F32, room: Room, how: tuple[int, int, int], last: int = -1) -> None:
        """Run one lane to its last step; how: (lane, label, lane whose step 0 it shares or -1)."""
        state = self._state
        weights = state.average if how[0] < 2 else state.weights
        before = state.h, state.z
        until = self.options.steps if last < 0 else last
        settle(weights, source, before, room.net, room.lanes, room.run, (*how, until))

    def _answer(self, out: F32, room: Room) -> F32:
        """Write activities and evidence; returns the activities [N]."""
        options, units = self.options, self._units
        way_up = self._classes and not (options.settled or options.carry)
        self._settle(room.windows[0], room, (0, NEUTRAL, -1), 0 if way_up else -1)
        z: F32 = room.z[0, options.steps if options.settled else 0]
        out[:units] = z
        if options.evidence:
            self._settle(room.windows[1], room, (1, NEUTRAL, -1))
            out[units:] = self._evidence(room)
        return z

    def _evidence(self, room: Room) -> list[float]:
        """Two numbers a level: log(g / usual g) within ±10, and (g - g') / (g + g')."""
        evidence = []
        right, backwards = room.goodness[0, -1].tolist(), room.goodness[1, -1].tolist()
        for g, other, usual in zip(right, backwards, self._state.usual.tolist(), strict=True):
            ratio = math.log((g + _SMALL) / (usual + _SMALL)) if self._rows else 0.0
            evidence += [min(max(ratio, -10.0), 10.0), (g - other) / (g + other + _SMALL)]
        return evidence

    def _score(self, scores: F32, room: Room, *, goodness: bool) -> None:
        """Write the scores [K] of the row that is being answered."""
        if not goodness:
            scores[...] = np.log(np.maximum(room.p, np.float32(1e-7)))
            return
        first, last = self.options.score_from, min(self.options.score_to, self.options.steps)
        for k in range(self._classes):
            self._settle(room.windows[0], room, (1, k, 0), last)
            steps = room.goodness[1, first : last + 1].tolist()
            scores[k] = self.options.scale * sum(map(sum, steps)) / len(steps)

    def _learn(self, y: int, row: int, z: F32, room: Room) -> None:
        """Learn the row against a wrong label, or against a wrong order."""
        if not self._classes:
            self._learn_order(room)
        elif 0 <= y < self._classes:
            self._learn_label(y, self._wrong(y, row, room.p), z, room)

    def _learn_label(self, y: int, wrong: int, z: F32, room: Room) -> None:
        x, state = room.windows[0], self._state
        how = y, self._step(), room.sums
        learning.teach(state.readout, state.readout_gains, z, room.p, how)
        self._settle(x, room, (2, y, -1))
        self._settle(x, room, (3, wrong, 2))
        self._contrast((x, x), (2, 3), (y, wrong), room)

    def _learn_order(self, room: Room) -> None:
        options, windows = self.options, room.windows
        # Lanes that answered have the raw weights, too, where nothing is averaged.
        positive = 2 if options.average else 0
        backwards = options.evidence and options.negatives == "reversed"
        negative = 1 if backwards and not options.average else 3
        if positive == 2:
            self._settle(windows[0], room, (2, NEUTRAL, -1))
        if negative == 3:
            self._settle(windows[2], room, (3, NEUTRAL, -1))
        inputs = windows[0], windows[1 if negative == 1 else 2]
        self._contrast(inputs, (positive, negative), (-1, -1), room)

    def _contrast(
        self, inputs: tuple[F32, F32], lanes: tuple[int, int], label: tuple[int, int], room: Room
    ) -> None:
        """Move the weights by two lanes that have settled."""
        state, alternating = self._state, int(self.options.update == "alternating")
        how = room.loss, self._step(), (*lanes, alternating)
        weights, known = (state.weights, state.gains), (*label, self.options.label_strength)
        both = room.lanes, room.errors
        learning.contrast(weights, inputs, state.peers, room.net, both, how, known)
        now = np.stack([room.goodness[lane, -1] for lane in lanes])
        state.tally[...] += np.float32(1 / _TALLY_ROWS) * (now - state.tally)
        state.clock[1] += 1
        if self.options.average and state.clock[1] % AVERAGE_EVERY == 0:
            memory = self.options.memory_rows
            least = AVERAGE_EVERY / memory if memory else 0.0
            share = share_of(int(state.clock[1]), AVERAGE_EVERY, least)
            learning.average(state.weights, state.average, share)

    def _step(self) -> tuple[np.float32, np.float32]:
        """Size of a step now, and how gains recover."""
        options, learned = self.options, int(self._state.clock[1])
        fall = math.sqrt(1 + learned / options.decay_rows) if options.decay_rows else 1.0
        growth = 1 + (1 / options.memory_rows if options.memory_rows else 0.0)
        return np.float32(options.rate / fall), np.float32(growth)

    def _wrong(self, y: int, row: int, p: F32) -> int:
        """Draw a wrong label: as the net believes them, or all alike."""
        weights = [0.0 if k == y else p_k for k, p_k in enumerate(p.tolist())]
        if self.options.wrong_label == "random" or sum(weights) < _SMALL:
            weights = [float(k != y) for k in range(len(weights))]
        left = uniform(self.place.seed, row, _WRONG) * sum(weights)
        for k, weight in enumerate(weights):
            left -= weight
            if left < 0 and weight:
                return k
        return max(k for k, weight in enumerate(weights) if weight)

    def _keep(self, row: int, room: Room) -> None:
        """Take a row into all that later rows look back to."""
        options, state, rows = self.options, self._state, self._rows
        if options.carry:
            state.h[...], state.z[...] = room.h[0, -1], room.z[0, -1]
        part = np.float32(max(1 / (rows + 1), 1 / _USUAL_ROWS))
        state.usual[...] += part * (room.goodness[0, -1] - state.usual)
        rate = 1 / options.background_rows if options.background_rows else 0.0
        window.keep(room.row, tuple(self._frames), rows, rate, (self.place.seed, row))
        state.clock[0] += 1

    def arrays(self) -> Arrays:
        """Weights, averages and gains by block and level, counts, past rows; see `state`."""
        averaged = self.options.average
        return arrays_of(self._state, self._frames, self._blocks, averaged=averaged)

    def receptive_fields(self) -> F32:
        """Weights of the lowest level [H, rows, columns], a copy: the newest row of its window."""
        units, side = levels_of(self.options)[0], self.options.shrink
        newest = self._blocks[0].of(self._state.weights)[: self._inputs]
        shape = [size // side for size in self.place.shape_in]
        return np.ascontiguousarray(newest.T).reshape(units, *shape)

    def gauges(self) -> dict[str, float]:
        """Goodness of both lanes, margins, surprise, dead units, mean size of the weights."""
        state = self._state
        real, made = state.tally.astype(np.float64)
        share = (real - made) / (real + made + _SMALL)
        ratio = np.log((self._room.goodness[0, -1] + _SMALL) / (state.usual + _SMALL))
        return {
            "goodness_positive": float(real.mean()),
            "goodness_negative": float(made.mean()),
            "margin": float(share.mean()),
            "margin_lowest": float(share[0]),
            "margin_highest": float(share[-1]),
            "surprise": float(-ratio.mean()),
            "dead_share": float((state.peers <= 1e-3 * max(state.peers.mean(), 1e-9)).mean()),
            "norm_up": self._size("up"),
            "norm_down": self._size("down"),
        }

    def _size(self, name: str) -> float:
        """Root mean square of the weights of all blocks of a name; 0 where there are none."""
        chosen = [b.of(self._state.weights) for b in self._blocks if b.name.startswith(name)]
        squares = sum(float(np.square(block, dtype=np.float64).sum()) for block in chosen)
        return math.sqrt(squares / max(sum(block.size for block in chosen), 1))

    def cost(self) -> int:
        """Each step reads the weights between levels in every lane; learning moves all of them."""
        total = self._blocks[-1].end
        between = total - self._blocks[0].end
        lanes = 3 if self._classes else 2
        return 4 * (4 * total + lanes * self.options.steps * between)


def _scores(rows: Rows) -> F32 | None:
    """Where evidence for each class goes, or None where nobody wants it."""
    beside = rows.beside
    return beside.scores if beside is not None and beside.scores.shape[1] else None
