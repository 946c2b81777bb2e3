"""The layer around the kernel."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32, UNLABELLED, Arrays, Place, Rows, alone
from streamlearn.rules.base import Rule
from streamlearn.rules.geometric_spiking import learning
from streamlearn.rules.geometric_spiking.check import check
from streamlearn.rules.geometric_spiking.coding import hear
from streamlearn.rules.geometric_spiking.geometry import Edges, Nodes, places
from streamlearn.rules.geometric_spiking.options import GeometricSpikingOptions
from streamlearn.rules.geometric_spiking.start import (
    new_net,
    new_past,
    new_scratch,
    new_store,
    setting_of,
    width_of,
    window_of,
)
from streamlearn.rules.geometric_spiking.state import (
    RUNAWAY_SHARE,
    SILENT_SHARE,
    SPIKES,
    Past,
    Scratch,
    one_slot,
)

_MOST_REACH_ROWS: Final = 1000
_DECAYS: Final = 5
"""Time constants after which what was carried on hardly counts."""
_DEAD_SHARE: Final = 1e-3
"""Of rows in which a unit fires, under which it counts as silent."""
_UNCHANGED: Final = 1e-6
"""Weights that moved by no more count as unchanged."""


class Spikes(NamedTuple):
    """Who fired when in a window, in order."""

    step: I32
    """[n]"""
    unit: I32
    """[n]"""


class GeometricSpiking(Rule):
    """A geometric network of spiking units that a row drives for a window of simulated time.

    Parameters
    ----------
    options
        Geometry, dynamics, coding, plasticity, encoding; see `GeometricSpikingOptions`.
    place
        Widths, streams and seed; see `streamlearn.part.Place`.

    Raises
    ------
    ConfigError
        Where options contradict each other, where no signal would ever arrive, or where network,
        window or what is kept of streams take more than 1 GiB.

    Notes
    -----
    A row costs an addition for every signal that arrives, and a sweep over the units for every step
    with an arrival. A window is cut at `max_spikes`, so no row takes longer than that allows.

    """

    Options = GeometricSpikingOptions
    GAUGES = (
        "spikes",
        "silent_share",
        "silent_units_share",
        "runaway_share",
        "refraction_ratio_p10",
        "refraction_ratio_p50",
        "refraction_ratio_p90",
        "latency_raised_share",
        "latency_late_share",
        "weight_p10",
        "weight_p50",
        "weight_p90",
        "weights_raised_share",
        "weights_lowered_share",
        "weights_turned_share",
        "weights_unchanged_share",
        "threshold_mean",
    )
    options: GeometricSpikingOptions

    def __init__(self, options: GeometricSpikingOptions, place: Place) -> None:
        super().__init__(options, place)
        check(options)
        self._net, self._facts = new_net(options, place)
        self._carries = options.between == "carry"
        self._past = self._new_past(place.live + 1 if self._carries else 1)
        self._store = new_store(options)
        self._setting = setting_of(options, place)
        self._scratch = self._new_scratch()

    @property
    def width_out(self) -> int:
        """Numbers of an encoding."""
        return width_of(self.options, len(self._net.into))

    @property
    def follows(self) -> bool:
        """Whether windows go on where the last one of the stream ended."""
        return self._carries

    @property
    def reach(self) -> int:
        """Windows until what was carried on has decayed."""
        if not self._carries:
            return 1
        options = self.options
        tau_ms = max(options.tau_fast_ms, options.tau_slow_ms * (options.balance > 0))
        steps = self._facts.beyond + (_DECAYS * tau_ms + options.refractory_ms) / options.step_ms
        return min(_MOST_REACH_ROWS, 2 + int(steps / window_of(options)))

    def learn(self, rows: Rows) -> None:
        """Write each row's encoding, then keep what its window taught."""
        self._run(rows, self._past, self._scratch, learns=True)

    def learn_late(self, rows: Rows) -> None:
        """A label teaches nothing: answer what is shown aside."""
        if rows.origin is None:
            self.respond(rows)
        else:
            self.follow(rows)

    def follow(self, rows: Rows) -> None:
        """Write encodings and go along with the streams; weights and thresholds stay."""
        self._run(rows, self._past, self._scratch, learns=False)

    def respond(self, rows: Rows) -> None:
        """Write encodings and change nothing; see `streamlearn.part.Part.respond`."""
        room = self._new_scratch()
        if rows.origin is not None or not self._carries:
            slots = 1 if rows.origin is None else int(rows.origin.slot.max(initial=0)) + 1
            self._run(rows, self._new_past(slots if self._carries else 1), room, learns=False)
            return
        for b in range(len(rows.x)):
            past = one_slot(self._past)
            one = Rows(rows.x[b : b + 1], rows.out[b : b + 1], rows.y[b : b + 1], rows.first + b)
            self._run(one, past, room, learns=False)

    def infer(self, x: F32, out: F32) -> None:
        """Write the encodings [B, W] of the rows [B, D]; change nothing."""
        self.respond(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), 0))

    def watch(self, x: F32) -> Spikes:
        """The spikes of units in the window of a row x [D] that would come next in slot 0."""
        room = self._new_scratch()
        out = np.zeros((1, self.width_out), np.float32)
        rows = Rows(np.array(x[None], np.float32), out, np.full(1, UNLABELLED, np.int32), 0)
        self._run(rows, one_slot(self._past), room, learns=False)
        count = int(room.spikes[0])
        return Spikes(room.spike_step[:count].copy(), room.spike_unit[:count].copy())

    def nodes(self) -> Nodes:
        """Where inputs and units are in space, for pictures."""
        return places(self.options, self.place)

    def edges(self) -> Edges:
        """All edges as they are now, for pictures: inputs' first, then clocks', then units'."""
        net, units = self._net, self.options.units
        source = np.repeat(np.arange(len(net.first) - 1), np.diff(net.first))
        latency_ms = (net.cells // units).astype(np.float64) * self.options.step_ms
        target = (net.cells % units).astype(np.int64)
        return Edges(source, target, latency_ms, net.weights.astype(np.float64))

    def hear(self, x: F32) -> I32:
        """The step at which each input node [N] fires for a row x [D], -1 for never."""
        steps = np.zeros(self._setting.inputs, np.int32)
        hear(np.array(x, np.float32), tuple(self._setting), steps)
        return steps

    def _new_past(self, slots: int) -> Past:
        return new_past(self.options, self._net, self._facts.beyond, slots)

    def _new_scratch(self) -> Scratch:
        return new_scratch(self.options, self._net, self._facts.beyond)

    def _run(self, rows: Rows, past: Past, room: Scratch, *, learns: bool) -> None:
        origin = rows.origin or alone(len(rows.x), begin=False)
        state = tuple(self._net), tuple(past), tuple(self._store)
        work = rows.x, rows.out, learns
        learning.run(work, (origin.slot, origin.begins), *state, tuple(self._setting), tuple(room))

    def arrays(self) -> Arrays:
        """Weights [E], thresholds [H], figures, and what is carried on of every stream."""
        arrays: Arrays = {"weights": self._net.weights, "thresholds": self._net.thresholds}
        arrays |= self._store._asdict()
        if self._carries:
            arrays |= {f"past_{name}": array for name, array in self._past._asdict().items()}
        return {name: array for name, array in arrays.items() if array.size}

    def gauges(self) -> dict[str, float]:
        """What fails silently: silence, running away, weights that drift to a bound.

        `spikes` is of a unit and row; figures of rows fade over 1,000 of them. The refraction ratio
        is refractory time over latency, over all edges. `latency_raised_share` of edges had less
        than a step; what `latency_late_share` of them carry comes after the window. Weights are
        those of plastic edges, or of all where none is; shares raised … unchanged are against the
        start, and of edges that turned only the last of these counts.
        """
        facts, figures = self._facts, self._store.figures.tolist()
        low, half, high = facts.ratios
        return {
            "spikes": figures[SPIKES],
            "silent_share": figures[SILENT_SHARE],
            "silent_units_share": float((self._store.usage < _DEAD_SHARE).mean()),
            "runaway_share": figures[RUNAWAY_SHARE],
            "refraction_ratio_p10": low,
            "refraction_ratio_p50": half,
            "refraction_ratio_p90": high,
            "latency_raised_share": facts.raised_share,
            "latency_late_share": facts.late_share,
            "threshold_mean": float(self._net.thresholds.mean(dtype=np.float64)),
            **self._weight_gauges(),
        }

    def _weight_gauges(self) -> dict[str, float]:
        net = self._net
        plastic = net.weights[len(net.weights) - len(net.birth) :]
        shown = plastic if len(plastic) else net.weights
        low, half, high = np.quantile(shown, (0.1, 0.5, 0.9)) if len(shown) else (0.0, 0.0, 0.0)
        quantiles = {"weight_p10": low, "weight_p50": half, "weight_p90": high}
        named = {name: float(value) for name, value in quantiles.items()}
        if self.options.stdp == "kept":
            named |= changes(net.birth, plastic[net.into])
        return named

    def cost(self) -> int:
        """A signal reads its edge and moves a sum; about a fifth of inputs fire."""
        steps = len(self._scratch.calendar)
        return 16 * (len(self._net.weights) // 5 + len(self._net.into)) + 4 * steps


def changes(before: F32, after: F32) -> dict[str, float]:
    """Shares of weights [P] that were raised, lowered, turned from exciting to inhibiting, or left.

    Each weight counts once; one that turned inhibiting is not among the lowered ones.
    """
    moved: NDArray[np.float64] = after.astype(np.float64) - before
    turned = (before > 0) & (after < 0)
    kinds = {
        "raised": moved > _UNCHANGED,
        "lowered": (moved < -_UNCHANGED) & ~turned,
        "turned": turned,
        "unchanged": (np.abs(moved) <= _UNCHANGED) & ~turned,
    }
    many = max(1, len(before))
    return {f"weights_{kind}_share": float(mask.sum() / many) for kind, mask in kinds.items()}
