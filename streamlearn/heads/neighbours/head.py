"""The `neighbours` head and its options; the equations are in the package's docstring."""

import math
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta

from streamlearn.config import HeadOptions
from streamlearn.errors import ConfigError
from streamlearn.heads.base import Head
from streamlearn.heads.neighbours import kernels
from streamlearn.heads.neighbours.cells import Look, cells
from streamlearn.heads.neighbours.kernels import GROUP, Room, Setting, aligned, padded
from streamlearn.heads.neighbours.slots import KEEPS, State
from streamlearn.part import F32, UNLABELLED, Arrays, Place, Rows

_MOST_BYTES: Final = 1 << 30


class Neighbours(Head):
    """The k nearest of the rows that are remembered vote; scores are shares of the votes.

    A row costs one pass over memory, shared by up to eight rows that come together.

    Parameters
    ----------
    options
        Metric, k, weights, how much is remembered and what is forgotten first.
    place
        Widths, classes, and the seed that keys what a reservoir keeps.

    Raises
    ------
    ConfigError
        Where memory would be over 1 GiB or have fewer rows than k or, under `classes`, than there
        are classes.

    """

    GAUGES = (
        "rows",
        "class_share_smallest",
        "class_share_largest",
        "nearest_distance",
        "nearest_same_share",
        "mean_age_rows",
    )

    class Options(HeadOptions, frozen=True, kw_only=True):
        """`[[head]]` with `kind = "neighbours"`: the nearest of the labelled rows kept vote."""

        k: Annotated[
            int, Meta(ge=1, le=1000, description="Neighbours that vote.", extra={"unit": "rows"})
        ] = 5
        metric: Annotated[
            Literal["cosine", "euclidean"],
            Meta(description="Rows are compared by direction, or as they are."),
        ] = "cosine"
        weights: Annotated[
            Literal["distance", "uniform"],
            Meta(description="A neighbour's vote: 1 / distance (an exact match decides), or 1."),
        ] = "distance"
        memory_rows: Annotated[
            int,
            Meta(
                ge=1,
                le=1 << 24,
                description="M: labelled rows kept; a row costs a pass over them.",
                extra={"unit": "rows"},
            ),
        ] = 5000
        keep: Annotated[
            Literal["recency", "reservoir", "classes"],
            Meta(
                description="Once memory is full, a new row takes the place of the oldest; of a "
                "random one, so that all the past is kept alike; of the oldest of its class, or of "
                "the largest class where its own has less than its share."
            ),
        ] = "recency"
        index: Annotated[
            Literal["exact", "approximate"],
            Meta(
                description="Look at all that is kept, or at the part of it that is likely near: "
                "faster where memory is large; now and then a neighbour is missed."
            ),
        ] = "exact"
        look_share: Annotated[
            float,
            Meta(gt=0, le=1, description='Share of memory looked at (index = "approximate").'),
        ] = 0.1
        age_rows: Annotated[
            float,
            Meta(
                ge=0,
                le=1e12,
                description="Labelled rows in which a vote fades to 1/e; 0: never.",
                extra={"unit": "rows"},
            ),
        ] = 0.0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        _check(options, place)
        M = options.memory_rows
        C = cells(M, approximate=options.index == "approximate")
        self._state = State(
            rows=aligned(M + GROUP, place.width_in),
            labels=np.full(M, UNLABELLED, np.int32),
            born=np.zeros(M, np.int64),
            counts=np.zeros(place.classes, np.int64),
            labelled=np.zeros(1, np.int64),
            anchors=aligned(C, place.width_in),
            cells=np.full(M, C, np.int32),
            sorted_in=np.zeros(1, np.int64),
            figures=np.zeros(2, np.float64),
        )
        cosine = options.metric == "cosine"
        weighted = options.weights == "distance"
        setting = Setting(
            seed=place.seed,
            keep=KEEPS[options.keep],
            k=options.k,
            power=float(weighted) * (1.0 if cosine else 0.5),
            fade=1 / options.age_rows if options.age_rows else 0.0,
            unit=cosine,
        )
        room = Room(
            far=np.zeros((GROUP, M + GROUP), np.float32),
            near=np.zeros(options.k, np.int64),
            near_far=np.zeros(options.k, np.float32),
            votes=np.zeros(options.k, np.float64),
        )
        looks = math.ceil(options.look_share * C)
        look = Look(
            far=np.zeros(C, np.float32),
            near=np.zeros(looks, np.int64),
            near_far=np.zeros(looks, np.float32),
            even=np.zeros(C, np.int64),
            wanted=np.zeros(C + 1, np.uint8),
            own=np.zeros(GROUP, np.int64),
        )
        self._plain = tuple(self._state), tuple(setting), (tuple(room), tuple(look))

    def learn(self, rows: Rows) -> None:
        """Write each row's shares of votes, then remember it where its label is known."""
        kernels.learn(rows.x, rows.y, rows.out, *self._plain)

    def infer(self, x: F32, out: F32) -> None:
        """Write the shares of votes [B, K] for rows x [B, D]."""
        kernels.learn(x, np.full(len(x), UNLABELLED, np.int32), out, *self._plain)

    def arrays(self) -> Arrays:
        """The memory [M, D'], whose rows are whose and how old, counts, running figures."""
        arrays = self._state._asdict()
        return {"memory": arrays.pop("rows")[: self.options.memory_rows], **arrays}

    def gauges(self) -> dict[str, float]:
        """Rows kept, shares of the smallest and largest class, what the nearest is like, age."""
        state = self._state
        held = min(int(state.labelled[0]), len(state.labels))
        shares = state.counts / max(held, 1)
        ages = state.labelled[0] - state.born[:held]
        return {
            "rows": float(held),
            "class_share_smallest": float(shares.min(initial=1.0)),
            "class_share_largest": float(shares.max(initial=0.0)),
            "nearest_distance": float(state.figures[0]),
            "nearest_same_share": float(state.figures[1]),
            "mean_age_rows": float(ages.mean()) if held else 0.0,
        }

    def cost(self) -> int:
        """Memory is read once, or a share of it."""
        approximate = self.options.index == "approximate"
        share = self.options.look_share if approximate else 1.0
        return int(share * 4 * self.options.memory_rows * self.place.width_in) + 1


def _check(options: Any, place: Place) -> None:
    """Refuse what each make sense but not together; raises `ConfigError`."""
    lines, rows = [], options.memory_rows
    a_row = 4 * (padded(place.width_in) + GROUP) + 16
    if rows * a_row > _MOST_BYTES:
        lines.append(
            f"memory_rows: expected at most {_MOST_BYTES // a_row} with "
            f"{place.width_in} inputs (1 GiB), got {rows}; keep fewer rows or read fewer layers"
        )
    if options.k > rows:
        lines.append(
            f"k: expected at most memory_rows = {rows}, got {options.k}; "
            "no more rows than are kept can vote"
        )
    if options.keep == "classes" and place.classes > rows:
        lines.append(
            f"memory_rows: expected at least one a class ({place.classes}) with "
            f'keep = "classes", got {rows}; keep more rows'
        )
    if lines:
        raise ConfigError(lines)
