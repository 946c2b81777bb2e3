"""Forward-Forward in space: local receptive fields, and a goodness for each region of an image.

An image of `Place.shape_in` (h, w) or (h, w, channels) is looked at through fields of `field` x
`field` pixels, `stride` pixels apart. At every position stand U channels, with the same weights
everywhere (`shared`) or with their own; regions of `pool` x `pool` positions gather what each
channel says:

    x <- x / rms(x)                                   the whole row
    z  = (p - mean p) / (|p - mean p| + soften)       a patch p of it
    a  = relu(W z + b)                                [U] at a position; 0 where p is blank
    h  = (sum of a over a region)^(1/2)               [R, U]; without the root: pooling = "sum"
    out = h / rms(h)                                  so that only the direction goes on

The answer has shape (lines of regions, columns of regions, U), so that such layers stack.

What a layer learns, by `labels` and `negatives`, always from one row at a time:

`labels = "none"`, `negatives = "none"`: **competing channels**, without labels and made-up rows.
b = -silence, W_u of length 1. For a few patches drawn from each row, with u their unit
vector z / |z|:

    winner = argmax W u - conscience (load - 1)       a channel that never won goes first
    W_winner <- W_winner + max(wins^-0.7, rate_floor) (u - W_winner), back to length 1

where load is a fading share of the wins, 1 the fair one (DeSieno, Adding a conscience to
competitive learning, 1988). The filters are those of spherical k-means (Coates & Ng, Learning
feature representations with k-means, 2012), but learning has no end: its rate falls to a floor.

`labels = "none"`, `negatives = "hybrid"` or `"pairing"`: **contrast**. Each region r has a goodness
and a logistic loss of its own (Hinton, The forward-forward algorithm, arXiv 2212.13345, section
3.2, for hybrid rows and local fields), z_r = scale G_r for real rows +, made-up rows -:

    G_r  = mean of a² over the region's positions and channels
    pair       ln(1 + exp(margin - (z_r+ - z_r-)))           pull_r± = ± sigmoid(margin - ...)
    threshold  ln(1 + exp(theta - z_r+)) + ln(1 + exp(z_r- - theta)), theta = scale threshold
    delta      = (sum over the regions that cover a position of pull_r) a

`labels = "blocks"`: **class blocks** of channels (CwC: Papachristodoulou et al., AAAI 2024, arXiv
2312.12668), g_k = scale times the mean of a² over all positions and the k-th block,
delta = e_k a with e = q - softmax(g).

`labels = "projection"`: a **local read-out** (Mono-Forward, arXiv 2501.09238) of the whole map,
g = M out, delta = [a > 0] sum over regions of (M^T e) dh, dh the slope of the root, or 1, and
M += read_rate f(t) e out^T / (R U).

The last three end in

    W += rate f(t) sum z delta^T / root m,   b += rate f(t) sum delta / root m
    f(t) = max((1 + t / decay_rows)^-1/2, rate_floor)

over the m positions that the weights see; constants of the gradient are in the rate, and rms(h).
"""

from typing import Final

import msgspec
import numpy as np

from streamlearn.errors import ConfigError
from streamlearn.kernels.schedules import fall_of
from streamlearn.part import F32, UNLABELLED, Arrays, Place, Rows
from streamlearn.rules.base import Rule
from streamlearn.rules.forward_forward.negatives import Negatives
from streamlearn.rules.forward_forward_fields import learning
from streamlearn.rules.forward_forward_fields.compete import WINS_POWER
from streamlearn.rules.forward_forward_fields.options import ForwardForwardFieldsOptions, check
from streamlearn.rules.forward_forward_fields.state import (
    BLOCKS,
    COMPETE,
    CONTRAST,
    PROJECTION,
    Plain,
    Setting,
    State,
    geometry_of,
    new_room,
    new_state,
    new_view,
    nowhere,
)

_DEAD: Final = 1e-3
"""Share of rows below which a channel that is active counts as dead."""


def _goal(options: ForwardForwardFieldsOptions, place: Place) -> int:
    """What the layer learns for; raises what does not fit together."""
    if options.labels == "none":
        return COMPETE if options.negatives == "none" else CONTRAST
    if place.classes < 2:
        line = (
            f"labels: {options.labels!r} needs classes, stream.classes is {place.classes}; "
            'set it to 2 or more, or take labels = "none"'
        )
        raise ConfigError([line])
    if options.labels == "blocks" and options.units % place.classes:
        line = (
            f"units: expected a multiple of stream.classes = {place.classes}, got "
            f'{options.units}; labels = "blocks" shares the channels out among the classes'
        )
        raise ConfigError([line])
    return BLOCKS if options.labels == "blocks" else PROJECTION


def _setting(options: ForwardForwardFieldsOptions, seed: int, goal: int) -> Setting:
    return Setting(
        seed=seed,
        goal=goal,
        root=options.pooling == "root",
        soften=options.soften,
        patches=options.patches,
        conscience=np.float32(options.conscience),
        pair=options.loss == "pair",
        threshold=options.threshold,
        margin=options.margin,
        scale=options.scale,
        smoothing=np.float32(options.smoothing),
        rate=options.rate,
        read_rate=options.read_rate,
        decay_rows=options.decay_rows,
        floor=options.rate_floor,
    )


class ForwardForwardFields(Rule):
    """A layer of local receptive fields with a goodness for each region of the image.

    Parameters
    ----------
    options
        Fields, regions, objective, steps; see `ForwardForwardFieldsOptions`.
    place
        Widths, shape of the image, classes and seed; see `streamlearn.part.Place`.

    Raises
    ------
    ConfigError
        Where the input is no image, fields or regions are larger than it, labels do not fit, or
        options would be ignored.

    Notes
    -----
    A row costs 2 P n U operations for P positions of n numbers, as many again for what it learns
    with labels or made-up rows, and next to nothing where channels compete.

    """

    GAUGES = (
        "goodness_positive",
        "goodness_negative",
        "margin",
        "dead_share",
        "norm_mean",
        "norm_max",
        "rate",
    )
    Options = ForwardForwardFieldsOptions

    def __init__(self, options: ForwardForwardFieldsOptions, place: Place) -> None:
        super().__init__(options, place)
        check(options)
        self._geometry = geometry_of(options, place)
        self._setting = _setting(options, place.seed, _goal(options, place))
        self._state = new_state(options, place, self._setting.goal, self._geometry)
        contrast = self._setting.goal == CONTRAST
        # The kernels take a source of made-up rows always; where none are made it holds one row.
        source = options if contrast else msgspec.structs.replace(options, negatives="pairing")
        source = source if contrast else msgspec.structs.replace(source, reservoir_rows=1)
        # A line of pixels with their channels is one axis to it: channels are always last here.
        flat = (place.shape_in[0], place.width_in // place.shape_in[0])
        self._negatives = Negatives(source, place._replace(shape_in=flat))
        self._plain = self._parts()
        self._no_scores = np.zeros((0, place.classes), np.float32)

    def _parts(self) -> Plain:
        """What the kernels work with, in rooms of its own."""
        geometry, units, contrast = (
            self._geometry,
            self.options.units,
            self._setting.goal == CONTRAST,
        )
        view = new_view(geometry, units, self.place.width_in)
        made = new_view(geometry, units, self.place.width_in) if contrast else nowhere(units)
        room = new_room(geometry, units, self.place.classes)
        parts = self._state, self._setting, geometry, view, made, self._negatives.plain, room
        return tuple(tuple(part) for part in parts)

    @property
    def width_out(self) -> int:
        """R U: one number a region and channel."""
        return int(self._geometry.regions * self.options.units)

    @property
    def shape_out(self) -> tuple[int, ...]:
        """(lines of regions, columns of regions, U)."""
        return self._geometry.regions_down, self._geometry.regions_across, int(self.options.units)

    @property
    def scores_out(self) -> bool:
        """Whether the layer can tell classes apart by itself."""
        return self._setting.goal in (BLOCKS, PROJECTION)

    @property
    def learns_labels(self) -> bool:
        """Class blocks and the local read-out do, from late labels too."""
        return self.scores_out

    def _scores(self, rows: Rows) -> F32:
        if rows.beside is None or not self.scores_out:
            return self._no_scores
        return rows.beside.scores

    def learn(self, rows: Rows) -> None:
        """Write each row's answer and scores, then learn from it."""
        scores = self._scores(rows)
        learning.learn(rows.x, rows.y, rows.out, scores, rows.first, self._plain)

    def respond(self, rows: Rows) -> None:
        """Write answers [B, R U] and scores [B, K]; change nothing."""
        learning.respond(rows.x, rows.out, self._scores(rows), self._parts())

    def infer(self, x: F32, out: F32) -> None:
        """Write the answers [B, R U] of the rows [B, D]; change nothing."""
        self.respond(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), 0))

    def arrays(self) -> Arrays:
        """Every array of `State`; with made-up rows also those that they are made of."""
        arrays: Arrays = dict(self._state._asdict())
        return arrays | (self._negatives.arrays() if self._setting.goal == CONTRAST else {})

    def receptive_fields(self) -> F32:
        """Weights, a copy for pictures.

        Shared: [U, field, field], or [U, field, field, channels]. Unshared: each unit in its place
        in the image, [P U, *shape_in].
        """
        weights, geometry = self._state.weights, self._geometry
        single = len(self.place.shape_in) == 2
        shape = (geometry.field, geometry.field) + (() if single else (geometry.channels,))
        fields = np.moveaxis(weights, 2, 1).reshape(*weights.shape[::2], *shape)
        if self.options.shared:
            return np.ascontiguousarray(fields[0])
        whole = np.zeros((*fields.shape[:2], *self.place.shape_in), np.float32)
        for position, mine in enumerate(fields):
            line, column = (geometry.stride * at for at in divmod(position, geometry.across))
            whole[position, :, line : line + shape[0], column : column + shape[1]] = mine
        return whole.reshape(-1, *self.place.shape_in)

    def gauges(self) -> dict[str, float]:
        """Goodness of real and made-up rows (or log beliefs), dead channels, norms, rate."""
        state, setting = self._state, self._setting
        norms = np.linalg.norm(state.weights, axis=1)
        good, bad = (float(figure) for figure in state.figures)
        return {
            "goodness_positive": good,
            "goodness_negative": bad,
            "margin": good - bad,
            "dead_share": self._dead_share(),
            "norm_mean": float(norms.mean()),
            "norm_max": float(norms.max()),
            "rate": _rate(setting, state),
        }

    def _dead_share(self) -> float:
        """Share of channels, or of each region's where they are its own, that are hardly active."""
        usage = self._state.usage.reshape(-1, self.options.units)
        usage = usage.max(axis=0) if self.options.shared else usage
        return float((usage < _DEAD).mean())

    def cost(self) -> int:
        """As many bytes as it takes the time to move while P n U products are made."""
        products = self._geometry.positions * self._geometry.patch * int(self.options.units)
        return products if self._setting.goal == COMPETE else 4 * products


def _rate(setting: Setting, state: State) -> float:
    """Mean rate of the competing channels, or the step as it is now."""
    if setting.goal == COMPETE:
        falling = np.maximum(state.wins, 1) ** WINS_POWER
        return float(np.maximum(falling, setting.floor).mean())
    return float(setting.rate * fall_of(int(state.clock[0]), setting.decay_rows, setting.floor))
