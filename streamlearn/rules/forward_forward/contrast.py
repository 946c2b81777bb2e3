"""The layer that learns by telling real rows from made-up ones.

G. Hinton, The forward-forward algorithm: some preliminary investigations, arXiv 2212.13345: a layer
makes its goodness (see `goodness`) large for positive rows and small for negative ones, and needs
nothing else to learn. Everything is read at its own length, z = x / rms(x), so that only the
direction of a row tells, and what a layer answers is its activity divided by its rms.

`labels = "overlay"`: K inputs beside the row say its label, as `label_strength` at one of them; a
row whose label is not known has an equal part at each. Positive is the row under its label,
negative the row under a wrong one: any, or drawn from softmax(2 z) of the layer's own log odds z_k
over the wrong labels (a `hard` one, as the model's own beliefs have it in section 3.3 of the
paper). A row differs from its negative in two inputs alone, so both are answered by one pass over
the weights, and so are all K candidates. Without a label the row stands against a made-up one.

`labels = "none"`: positive is the row, negative one made of real ones (see `negatives`).

Layers above read their positives and negatives from the lanes of the layer below, in Beside:

    none                    1 lane    the negative; the row itself is the positive
    overlay                 2 lanes   positive and negative; the row itself goes without a label
    overlay, candidates     K + 1     the row under each label, last a negative without one

Steps follow the gradient of the layer's own loss. `sgd`: W += r f(t) / |z|² c z, so that a step
changes what the unit itself sees of z by r f(t) c, c the slope that `goodness` gives and
f(t) = max((1 + t / decay_rows)^-1/2, rate_floor). `adagrad`: weight by weight, each at most
r / sqrt(D), in shares of what a fresh weight is (see `sweep` and `heads.softmax`).

Peer normalisation (section 3.2 there): a unit whose running mean is below the layer's is pulled up
on every positive row, active or not, by peer (mean of the means - own mean), which brings back the
dead and calms the hysterical.

Answers and log odds come from averaged weights A (`average`; see `heads.softmax` for the average).
With `revisits` the last `kept_rows` labelled rows are learned from again, under newly drawn labels.
Phases `apart`: positives alone while awake, their negatives put by; after `wake_rows` rows, or when
the stream is quiet, the stored negatives alone, each once. A pair's loss then stands the row
against the running mean of the other side.
"""

from typing import Any, Final

import msgspec
import numpy as np

from streamlearn.errors import ConfigError
from streamlearn.kernels.schedules import fall_of
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.rules.forward_forward import contrast_kernels as kernels
from streamlearn.rules.forward_forward.contrast_state import (
    CANDIDATES,
    DREAM,
    LARGEST_GAIN,
    LEARN,
    LEARNED,
    LOOK,
    NONE,
    PAIR,
    SEEN,
    STATE,
    Layer,
    choices_of,
    lanes_of,
    new_room,
    new_state,
    numbers_of,
    way_of,
)
from streamlearn.rules.forward_forward.negatives import Negatives

_DEAD: Final = 1e-3
"""A unit with less than this share of the layer's mean activity is dead."""


class Contrast:
    """A layer that tells real rows from made-up ones.

    Parameters
    ----------
    options
        `ForwardForwardOptions` with `labels` "overlay" or "none".
    place
        Widths, classes, lanes below and seed; without lanes below the layer makes its own.

    Raises
    ------
    ConfigError
        Where there are too few classes, or other lanes below than this layer reads.

    """

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place
        self._way = way_of(options)
        _check(self._way, options, place)
        choices, numbers = choices_of(options, place), numbers_of(options, place)
        state = new_state(options, place, choices)
        self._labels = len(state[0]) - place.width_in
        if place.lanes_in:  # the layer below makes them
            options = msgspec.structs.replace(options, negatives="pairing", reservoir_rows=1)
        self._negatives = Negatives(options, place)
        room = new_room(options, place, self._labels)
        self._layer = Layer(*(*state, choices, numbers, *room, self._negatives.plain))
        self._plain = tuple(self._layer)

    @property
    def lanes_out(self) -> int:
        """1 without labels, 2 with, K + 1 with candidates."""
        return lanes_of(self._way, self.place.classes)

    @property
    def scores_out(self) -> bool:
        """Where every label is weighed: in the first layer, and wherever candidates come in."""
        return self._way == CANDIDATES or (self._way == PAIR and self.place.lanes_in == 0)

    def _run(self, rows: Rows, purpose: int, layer: tuple[Any, ...]) -> None:
        x, out, y, first, beside, _ = rows
        if beside is None:
            B, H = out.shape
            lanes_in, lanes = (
                np.zeros((B, 0, x.shape[1]), np.float32),
                np.zeros((B, 0, H), np.float32),
            )
            scores = np.zeros((B, 0), np.float32)
        else:
            lanes_in, lanes, scores = beside[:3]
        kernels.live((x, y, out, lanes_in, lanes, scores), first, layer, purpose)

    def learn(self, rows: Rows) -> None:
        """For each row: write activity, lanes and scores, then learn from it."""
        self._run(rows, LEARN, self._plain)

    def respond(self, rows: Rows) -> None:
        """Write what `learn` would write; change nothing."""
        room = new_room(self.options, self.place, self._labels)
        self._run(rows, LOOK, (*self._plain[:11], *room, self._plain[-1]))

    def dream(self, rows: Rows) -> None:
        """Learn one stored negative a row where phases are apart; the rows themselves are blank."""
        if self.options.phases == "apart":
            self._run(rows, DREAM, self._plain)
        rows.out[...] = 0
        if rows.beside is not None:
            rows.beside.lanes[...] = 0
            rows.beside.scores[...] = 0

    def arrays(self) -> Arrays:
        """Every array of the state, and of the negatives under `negatives_` names."""
        state = {name: getattr(self._layer, name) for name in STATE}
        if not self.options.average:
            del state["average"]
        made = self._negatives.arrays()
        return state | {f"negatives_{name}": array for name, array in made.items()}

    def restored(self) -> None:
        """Nothing is derived."""

    def receptive_fields(self) -> F32:
        """Weights that answers come from [H, *shape_in], a copy for pictures, without labels."""
        fields = self._layer.average[: self.place.width_in].T
        return np.ascontiguousarray(fields.reshape(-1, *self.place.shape_in))

    def gauges(self) -> dict[str, float]:
        """Log odds of both sides, how often they stand wrong, dead units, norms, size of steps."""
        layer = self._layer
        good, bad, wrong, _ = (layer.figures / max(layer.figures[SEEN], 1e-300)).tolist()
        norms = np.sqrt(np.einsum("ih,ih->h", layer.weights, layer.weights))
        return {
            "goodness_positive": good,
            "goodness_negative": bad,
            "margin": good - bad,
            "pair_error": wrong,
            "dead_share": float((layer.means < _DEAD * layer.means.mean()).mean()),
            "norm_mean": float(norms.mean()),
            "norm_max": float(norms.max()),
            "rate": self._rate(),
        }

    def _rate(self) -> float:
        """Share of the first step, times that."""
        options, layer = self.options, self._layer
        if options.step == "adagrad":
            return float(options.rate * layer.gains.mean() / LARGEST_GAIN)
        learned = int(layer.counts[LEARNED])
        return float(options.rate * fall_of(learned, options.decay_rows, options.rate_floor))

    def cost(self) -> int:
        """Weights read and written once, their average read, the gains of adagrad moved too."""
        options, weights = self.options, self._layer.weights
        passes = 2 + int(options.average) + 2 * int(options.step == "adagrad")
        visits = 1 + int(options.revisits) * int(self._way != NONE)
        return int(4 * weights.size * passes * visits + self._negatives.cost())


def _check(way: int, options: Any, place: Place) -> None:
    classes, lanes, expected = place.classes, place.lanes_in, lanes_of(way, place.classes)
    if way != NONE and classes < 2:
        line = (
            f'labels: "overlay" expected stream.classes of at least 2, got {classes}; '
            'name the classes, or take labels = "none"'
        )
        raise ConfigError([line])
    if lanes not in (0, expected):
        line = (
            f'labels: "{options.labels}" expected {expected} lanes from the layer below, got '
            f"{lanes}; give both layers the same labels and candidates"
        )
        raise ConfigError([line])
