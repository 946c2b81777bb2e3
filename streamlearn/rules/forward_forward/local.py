"""The layer around the kernels: options, state, figures of layers that learn from labels alone."""

from typing import Any, Final

import numpy as np

from streamlearn.errors import ConfigError
from streamlearn.kernels.random import generator
from streamlearn.kernels.schedules import fall_of
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.rules.forward_forward import local_kernels
from streamlearn.rules.forward_forward.decorrelate import RANK, new_moments
from streamlearn.rules.forward_forward.local_state import (
    BAD,
    GOOD,
    LABELLED,
    WRONG,
    Setting,
    State,
    new_scratch,
)
from streamlearn.rules.forward_forward.local_steps import DELAY, LARGEST_GAIN

CONFIDENCE: Final = 0.95
"""Share of the belief that labels teach, from which a row without one is what it seems to be."""


def _setting(options: Any, *, blocks: bool) -> Setting:
    return Setting(
        blocks=blocks,
        scale=np.float32(options.scale),
        adagrad=options.step == "adagrad",
        average=options.average,
        decorrelate=options.decorrelate,
        damping=np.float32(options.damping),
        rate=options.rate,
        read_rate=options.read_rate,
        decay_rows=options.decay_rows,
        rate_floor=options.rate_floor,
        recovery=1 / options.memory_rows if options.memory_rows else 0.0,
        smoothing=np.float32(options.smoothing),
        revisits=options.revisits,
        unlabelled=options.unlabelled,
        confidence=np.float32(np.log(CONFIDENCE * (1 - options.smoothing))),
    )


def _new_state(options: Any, place: Place, classes: int) -> State:
    """First weights N(0, 2 / D), read-out N(0, 1 / H); `classes` is 0 without a read-out."""
    D, H = place.width_in, options.units
    random = generator(place.seed)
    weights = np.zeros((D + 1, H), np.float32)
    random.standard_normal(out=weights[:D], dtype=np.float32)
    weights *= np.float32(np.sqrt(2 / D))
    readout = random.standard_normal((classes, H), dtype=np.float32) / np.float32(np.sqrt(H))
    kept = options.kept_rows if options.revisits else 0
    adagrad, delay = options.step == "adagrad", DELAY if options.decorrelate else 0
    return State(
        weights=weights,
        readout=readout,
        mean_weights=weights.copy() if options.average else weights[:0].copy(),
        mean_readout=readout.copy() if options.average else readout[:0].copy(),
        gains=np.full((D + 1 if adagrad else 0, H), LARGEST_GAIN, np.float32),
        readout_gains=np.full((classes if adagrad else 0, H), LARGEST_GAIN, np.float32),
        delayed_signals=np.zeros((delay, H), np.float32),
        delayed_inputs=np.zeros((delay, D + 1), np.float32),
        kept=np.zeros((kept, D + 1), np.float32),
        kept_y=np.zeros(kept, np.int32),
        usage=np.ones(H, np.float32),
        counts=np.zeros(3, np.int64),
        figures=np.zeros(3, np.float64),
    )


class Local:
    """A layer that learns from labels by an objective of its own, without negatives.

    Parameters
    ----------
    options
        Units, steps, averages; see `ForwardForwardOptions`.
    place
        Widths, classes and seed.
    blocks
        Whether evidence is the goodness of class blocks, and not a read-out's.

    """

    lanes_out = 0
    scores_out = True

    def __init__(self, options: Any, place: Place, *, blocks: bool) -> None:
        self.options = options
        self.place = place
        _check(options, place)
        self._setting = _setting(options, blocks=blocks)
        self._state = _new_state(options, place, 0 if blocks else place.classes)
        self._rank = min(RANK, place.width_in) if options.decorrelate else 0
        self._moments = new_moments(place.width_in, self._rank, place.seed)
        self._arrays = tuple(self._state), tuple(self._moments)
        self._numbers = tuple(self._setting)
        self._room = self._new_room()
        self._no_scores = np.zeros((0, place.classes), np.float32)

    def _new_room(self) -> tuple[Any, ...]:
        place = self.place
        return tuple(new_scratch(place.width_in, self.options.units, place.classes, self._rank))

    @property
    def width_out(self) -> int:
        """H: one activity a unit."""
        return int(self.options.units)

    def _scores(self, rows: Rows) -> F32:
        return self._no_scores if rows.beside is None else rows.beside.scores

    def learn(self, rows: Rows) -> None:
        """Write each row's activities and beliefs, then take a step."""
        x, y, out, scores = rows.x, rows.y, rows.out, self._scores(rows)
        plain = self._arrays, self._numbers, self._room
        while len(x):
            done = local_kernels.learn(x, y, out, scores, *plain)
            local_kernels.settle(self._arrays, self._numbers)
            x, y, out, scores = x[done:], y[done:], out[done:], scores[done:]

    def respond(self, rows: Rows) -> None:
        """Write activities [B, H] and beliefs [B, K]; change nothing."""
        scores = self._scores(rows)
        room = self._new_room()
        local_kernels.respond(rows.x, rows.out, scores, self._arrays, self._numbers, room)

    def dream(self, rows: Rows) -> None:
        """Rest: nothing is made up here."""
        rows.out[...] = 0

    def arrays(self) -> Arrays:
        """Every array of `State` and `Moments`."""
        return dict(self._state._asdict()) | dict(self._moments._asdict())

    def restored(self) -> None:
        """Nothing follows from the state that is not in it."""

    def receptive_fields(self) -> F32:
        """Weights [H, *shape_in], averaged if the layer answers so; a copy for pictures."""
        weights = self._state.mean_weights if self.options.average else self._state.weights
        fields = weights[:-1].T
        return np.ascontiguousarray(fields.reshape(-1, *self.place.shape_in))

    def gauges(self) -> dict[str, float]:
        """Log beliefs in the label and the best other class, dead units, norms, size of steps."""
        state, setting = self._state, self._setting
        norms = np.linalg.norm(state.weights, axis=0)
        fall = fall_of(int(state.counts[LABELLED]), setting.decay_rows, setting.rate_floor)
        good, bad = float(state.figures[GOOD]), float(state.figures[BAD])
        return {
            "goodness_positive": good,
            "goodness_negative": bad,
            "margin": good - bad,
            "pair_error": float(state.figures[WRONG]),
            "dead_share": float((state.usage < 1e-3).mean()),
            "norm_mean": float(norms.mean()),
            "norm_max": float(norms.max()),
            "rate": float(setting.rate * fall),
        }

    def cost(self) -> int:
        """Reads weights and averages of the active inputs, say a quarter, and writes the former."""
        return 3 * self.place.width_in * self.width_out


def _check(options: Any, place: Place) -> None:
    """Raise what does not fit together."""
    if place.classes < 2:
        line = f"labels: {options.labels!r} needs classes, stream.classes is {place.classes}; "
        raise ConfigError([line + 'give 2 or more, or labels = "none"'])
    if options.labels == "blocks" and options.units < place.classes:
        line = f"units: expected {place.classes} or more, one a class, got {options.units}; "
        raise ConfigError([line + "give more"])
    if options.decorrelate and options.step == "adagrad":
        raise ConfigError(
            ['decorrelate: it needs step = "sgd", got "adagrad"; take one of the two']
        )
