"""The layer around the kernels."""

import math

import numpy as np

from streamlearn.errors import ConfigError
from streamlearn.part import F32, UNLABELLED, Arrays, Place, Rows, alone
from streamlearn.rules.base import Rule
from streamlearn.rules.greedy_infomax import learning
from streamlearn.rules.greedy_infomax.options import GreedyInfomaxOptions, check
from streamlearn.rules.greedy_infomax.start import (
    arrays_of,
    context_of,
    new_net,
    new_past,
    new_scratch,
    new_store,
    past_bytes,
    positions_of,
    setting_of,
)
from streamlearn.rules.greedy_infomax.state import (
    ACCURACY,
    BLANK,
    FALLBACK,
    LOSS,
    ROWS,
    SURPRISE,
    Past,
    Scratch,
)

_SHOWN_STEPS = (1, 2, 4, 8, 16)
"""Steps ahead that have figures of their own."""
_REACH_ROWS = 1000
_FADE_ROWS = 1000
_MOST_BYTES = 1 << 30
_DEAD_SHARE = 1e-3
"""Of rows in which a unit is active, under which it counts as dead."""


class GreedyInfomax(Rule):
    """One gradient-isolated module of Greedy InfoMax.

    Parameters
    ----------
    options
        Units, steps ahead, negatives; see `GreedyInfomaxOptions`.
    place
        Widths, streams and seed; see `streamlearn.part.Place`.

    Raises
    ------
    ConfigError
        Where options contradict each other, or what is kept of streams takes more than 1 GiB.

    Notes
    -----
    A row costs 1 + K + N encodings there and back, and a step of Adam on every weight, of which the
    K matrices W_k have most. See the package for the equations.

    """

    Options = GreedyInfomaxOptions
    GAUGES = (
        "loss",
        "accuracy",
        *(f"loss_k{k}" for k in _SHOWN_STEPS),
        *(f"accuracy_k{k}" for k in _SHOWN_STEPS),
        "rank",
        "variance",
        "dead_share",
        "norm_mean",
        "fallback_share",
        "blank_share",
        "surprise",
    )
    options: GreedyInfomaxOptions

    def __init__(self, options: GreedyInfomaxOptions, place: Place) -> None:
        super().__init__(options, place)
        check(options, place)
        _check_room(past_bytes(options, place))
        self._net = new_net(options, place)
        self._past = new_past(options, place, place.live + 1)
        self._store = new_store(options, place)
        self._setting = tuple(setting_of(options, place))
        self._scratch = self._new_scratch()
        self._lately = Lately()

    @property
    def width_out(self) -> int:
        """H: a code, a context, or both; as many codes as there are positions."""
        return math.prod(self.shape_out)

    @property
    def shape_out(self) -> tuple[int, ...]:
        """[H], or [positions, H] as the rows have them."""
        options = self.options
        code = 0 if options.gives == "context" else options.units
        width = code + (0 if options.gives == "code" else context_of(options))
        return (*self.place.shape_in[:-1], width) if options.positions else (width,)

    @property
    def follows(self) -> bool:
        """Whether the stream of a row matters."""
        return True

    @property
    def surprise_out(self) -> bool:
        """Whether it tells how surprising a row is."""
        return True

    def learn(self, rows: Rows) -> None:
        """Write each row's code, then learn what tells it from rows of elsewhere."""
        self._run(rows, self._past, self._scratch, learns=True)
        self._lately.forget()

    def learn_late(self, rows: Rows) -> None:
        """A label teaches nothing: answer what is shown aside."""
        if rows.origin is None:
            self.respond(rows)
        else:
            self.follow(rows)

    def follow(self, rows: Rows) -> None:
        """Write codes and go along with the streams; weights and reservoir stay as they are."""
        self._run(rows, self._past, self._scratch, learns=False)
        if rows.origin is None or rows.origin.slot[0] < self.place.live:
            self._lately.add(_surprise_of(rows))

    @property
    def reach(self) -> int:
        """A context looks back on all rows; what is older than this hardly counts."""
        return 1 if self.options.gives == "code" else _REACH_ROWS

    def respond(self, rows: Rows) -> None:
        """Write codes and change nothing; see `streamlearn.part.Part.respond`."""
        room = self._new_scratch()
        if rows.origin is not None:
            slots = int(rows.origin.slot.max(initial=0)) + 1
            past = new_past(self.options, self.place, slots, traces=False)
            self._run(rows, past, room, learns=False)
            return
        for b in range(len(rows.x)):
            past = _slot_0(self._past, positions_of(self.options, self.place))
            one = Rows(rows.x[b : b + 1], rows.out[b : b + 1], rows.y[b : b + 1], rows.first + b)
            if rows.beside is not None:
                one = one._replace(beside=type(rows.beside)(*(a[b : b + 1] for a in rows.beside)))
            self._run(one, past, room, learns=False)

    def infer(self, x: F32, out: F32) -> None:
        """Write the codes [B, H] of the rows [B, D]; change nothing."""
        self.respond(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), 0))

    def _new_scratch(self) -> Scratch:
        return new_scratch(self.options, self.place)

    def _run(self, rows: Rows, past: Past, room: Scratch, *, learns: bool) -> None:
        surprise = _surprise_of(rows)
        origin = rows.origin or alone(len(rows.x), begin=False)
        work = rows.x, rows.out, surprise, rows.first, learns
        state = tuple(self._net), tuple(past), tuple(self._store)
        learning.run(work, tuple(origin), *state, self._setting, tuple(room))

    def rest(self) -> None:
        """Let go of moments; memory that is zero and not looked at takes no room.

        The reservoir stays: surprise is measured against it.
        """
        net = self._net._asdict()
        gone = {name: np.zeros_like(a) for name, a in net.items() if name.endswith("_moments")}
        self._net = self._net._replace(**gone)
        self._scratch = self._new_scratch()

    def arrays(self) -> Arrays:
        """Weights, Adam's moments, the past of every stream, the reservoir and the figures."""
        return arrays_of(self._net, self._past, self._store)

    def gauges(self) -> dict[str, float]:
        """What fails silently: contrast, rank and spread of the newest codes, dead units.

        `accuracy` is the share of rows that score higher than all negatives, `rank` the exponential
        of the entropy of the eigenvalues of the newest 128 codes' covariance, `variance` their mean
        variance, `norm_mean` the mean norm of the units' weights, `fallback_share` how often
        negatives had to come from a wider circle, `blank_share` how often all inputs of a row
        agreed, so that it was neither scored nor learned from. Figures of rows fade over 1,000 of
        them. While nothing is learned, all stand still but `surprise`.
        """
        store, lpl = self._store, self.options.loss == "lpl"
        figures, by_step = store.figures.tolist(), store.by_step.tolist()
        codes = store.recent[: max(1, int(store.clock[ROWS]))]
        shown = [k for k in _SHOWN_STEPS if k <= len(by_step[0])]
        of_contrast = {
            "accuracy": figures[ACCURACY],
            **{f"accuracy_k{k}": by_step[1][k - 1] for k in shown},
            "fallback_share": figures[FALLBACK],
        }
        return {
            **({} if lpl else of_contrast),
            "loss": figures[LOSS],
            **{f"loss_k{k}": by_step[0][k - 1] for k in shown},
            "rank": _rank(codes),
            "variance": float(codes.var(axis=0, dtype=np.float64).mean()),
            "dead_share": float((store.usage < _DEAD_SHARE).mean()),
            "norm_mean": float(np.linalg.norm(self._net.weights, axis=0).mean()),
            "blank_share": figures[BLANK],
            "surprise": self._lately.mean(figures[SURPRISE]),
        }

    def cost(self) -> int:
        """Reads weights for every row encoded; a step reads and writes all, with moments."""
        net, encoded = self._net, len(self._scratch.x)
        moved = net.weights.size + net.predict.size + 2 * net.mix.size
        positions = positions_of(self.options, self.place)
        return (
            4
            * positions
            * (encoded * net.weights.size + 6 * moved + 2 * self._store.covariance.size)
        )


class Lately:
    """Mean surprise of rows that nothing was learned from; no state, as those leave no trace."""

    def __init__(self) -> None:
        self._mean, self._rows = 0.0, 0

    def forget(self) -> None:
        """Begin anew: what is learned from has a figure in the state."""
        self._rows = 0

    def add(self, surprise: F32) -> None:
        """Take in the surprise [B, 1] of rows; older ones fade over 1,000."""
        for value in surprise[:, 0].tolist():
            self._rows += 1
            self._mean += (value - self._mean) / min(self._rows, _FADE_ROWS)

    def mean(self, otherwise: float) -> float:
        """The mean; before there is one, something else."""
        return self._mean if self._rows else otherwise


def _check_room(wanted_bytes: int) -> None:
    if wanted_bytes > _MOST_BYTES:
        raise ConfigError(
            [
                (
                    f"steps: what is kept of streams takes {wanted_bytes / 1e9:.1f} GB; make "
                    "steps, units, context_units or stream.live smaller"
                )
            ]
        )


def _slot_0(past: Past, positions: int) -> Past:
    """A copy of the first slot, without traces."""
    x, rows, context, trace, mix = past
    first = slice(positions)
    return Past(x[first].copy(), rows[first].copy(), context[first].copy(), trace[:0], mix[:0])


def _surprise_of(rows: Rows) -> F32:
    """Where surprise goes [B, 1]; [0, 1] where nobody wants it."""
    if rows.beside is not None and rows.beside.surprise.shape[1]:
        return rows.beside.surprise
    return np.zeros((0, 1), np.float32)


def _rank(codes: F32) -> float:
    """Effective rank of the codes [n, H]: exp of the entropy of their covariance's eigenvalues."""
    centred = codes - codes.mean(axis=0)
    values = np.maximum(np.linalg.eigvalsh(np.float64(centred @ centred.T)), 0.0)
    share = values[values > 1e-9 * max(values.sum(), 1e-30)]
    share = share / max(share.sum(), 1e-30)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 1.0
