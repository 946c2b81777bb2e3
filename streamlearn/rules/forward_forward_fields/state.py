"""What a layer of local receptive fields holds: its geometry, its settings, its state, its room.

P positions (fields) that some region covers, n = field² channels numbers a patch, U units
(channels) a position, R regions, S sets of weights: 1 where they are shared, else P; K classes.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.errors import ConfigError
from streamlearn.kernels.random import generator
from streamlearn.part import F32, Place

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

COMPETE: Final = 0
CONTRAST: Final = 1
BLOCKS: Final = 2
PROJECTION: Final = 3


class Geometry(NamedTuple):
    """Where the fields and the regions lie."""

    across_in: int
    """Pixels a line of the image."""
    channels: int
    """Numbers a pixel."""
    field: int
    stride: int
    down: int
    """Lines of positions; P = down across."""
    across: int
    pool: int
    pool_stride: int
    regions_down: int
    """Lines of regions; R = regions_down regions_across."""
    regions_across: int

    @property
    def positions(self) -> int:
        """P: fields that some region covers."""
        return self.down * self.across

    @property
    def regions(self) -> int:
        """R: where channels answer."""
        return self.regions_down * self.regions_across

    @property
    def patch(self) -> int:
        """n: numbers in a field."""
        return self.field * self.field * self.channels


class Setting(NamedTuple):
    """Options as the kernels want them."""

    seed: int
    goal: int
    """COMPETE, CONTRAST, BLOCKS or PROJECTION."""
    root: bool
    """Regions answer with the root of their sum."""
    soften: float
    patches: int
    conscience: np.float32
    pair: bool
    threshold: float
    margin: float
    scale: float
    smoothing: np.float32
    rate: float
    read_rate: float
    decay_rows: float
    floor: float


class State(NamedTuple):
    """All that learning moves."""

    weights: F32
    """W [S, n, U]."""
    bias: F32
    """b [S, U]."""
    readout: F32
    """M [K, R U], or [0, R U]."""
    wins: I64
    """[S, U] patches that a channel won, or [0, U]."""
    load: F32
    """[S, U] fading share of the patches won, 1 is the fair share; or [0, U]."""
    usage: F32
    """[R U] fading share of the rows on which a channel is active in a region."""
    clock: I64
    """[1] rows learned from."""
    figures: F64
    """[2] fading means: likeness of the winner, goodness of real rows or log belief in the label;
    and mean likeness, goodness of made-up rows or log belief in the best other class."""


class View(NamedTuple):
    """One image as the layer sees it; m patches have contrast, in rising order of position."""

    z: F32
    """[D] the row, of root mean square 1."""
    where: I64
    """[P] positions of the m patches."""
    patches: F32
    """[P, n] the m patches."""
    activity: F32
    """[P, U] a of the m patches."""
    delta: F32
    """[P, U] by how much their currents should rise."""


class Room(NamedTuple):
    """Room for one row at work; holds nothing from row to row."""

    pooled: F32
    """[R U] h."""
    slope: F32
    """[R U] by how much h should rise."""
    goodness: F32
    """[P] sum of squares of a position, then its pull."""
    regions: F32
    """[2, R] goodness of the regions of the real and the made-up row, then their pulls."""
    evidence: F32
    """[K] g."""
    errors: F32
    """[K] q - p."""
    current: F32
    """[U] likeness of channels to a patch."""


class Machine(NamedTuple):
    """All that a kernel works with."""

    state: State
    setting: Setting
    geometry: Geometry
    seen: View
    """The row."""
    made: View
    """The made-up row; nothing of it has room unless the goal is CONTRAST."""
    negatives: Plain
    """See `negatives.Negatives`."""
    room: Room


def geometry_of(options: Any, place: Place) -> Geometry:
    """Lay fields and regions over the image; those that would not fit whole are left out.

    Raises
    ------
    ConfigError
        Where the input is no image, or smaller than a field or a region.

    """
    shape = place.shape_in
    if len(shape) not in (2, 3):
        raise _error(
            "reads",
            "an image of shape [height, width] or [height, width, channels]",
            list(shape),
            "set stream.shape, or read a layer that gives an image",
        )
    down_in, across_in = shape[:2]
    field, stride, pool, step = options.field, options.stride, options.pool, options.pool_stride
    if field > min(down_in, across_in):
        side = min(down_in, across_in)
        raise _error("field", f"1…{side}", field, f"the image is {down_in} x {across_in}")
    down, across = (down_in - field) // stride + 1, (across_in - field) // stride + 1
    if pool > min(down, across):
        there = f"there are {down} x {across} positions"
        raise _error("pool", f"1…{min(down, across)}", pool, there)
    if step > pool:
        way = "positions between regions would go unheard"
        raise _error("pool_stride", f"1…{pool} (pool)", step, way)
    regions_down, regions_across = (down - pool) // step + 1, (across - pool) // step + 1
    return Geometry(
        across_in=across_in,
        channels=shape[2] if len(shape) == 3 else 1,
        field=field,
        stride=stride,
        down=(regions_down - 1) * step + pool,
        across=(regions_across - 1) * step + pool,
        pool=pool,
        pool_stride=step,
        regions_down=regions_down,
        regions_across=regions_across,
    )


def _error(key: str, expected: str, got: Any, way: str) -> ConfigError:
    return ConfigError([f"{key}: expected {expected}, got {got}; {way}"])


def new_state(options: Any, place: Place, goal: int, geometry: Geometry) -> State:
    """First weights: competing channels of length 1 and mean 0, else N(0, 2); M: N(0, 1 / R U)."""
    random = generator(place.seed)
    S = 1 if options.shared else geometry.positions
    n, U, width = geometry.patch, options.units, geometry.regions * options.units
    weights = random.standard_normal((S, n, U), dtype=np.float32)
    compete = goal == COMPETE
    if compete:
        weights -= weights.mean(axis=1, keepdims=True)
        weights /= np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), np.float32(1e-6))
    else:
        weights *= np.float32(np.sqrt(2))
    classes = place.classes if goal == PROJECTION else 0
    readout = random.standard_normal((classes, width), dtype=np.float32) / np.sqrt(width)
    return State(
        weights=weights,
        bias=np.full((S, U), -options.silence if compete else 0, np.float32),
        readout=readout.astype(np.float32),
        wins=np.zeros((S if compete else 0, U), np.int64),
        load=np.ones((S if compete else 0, U), np.float32),
        usage=np.ones(width, np.float32),
        clock=np.zeros(1, np.int64),
        figures=np.zeros(2, np.float64),
    )


def new_view(geometry: Geometry, units: int, width_in: int) -> View:
    """Room for one image."""
    P = geometry.positions
    return View(
        z=np.zeros(width_in, np.float32),
        where=np.zeros(P, np.int64),
        patches=np.zeros((P, geometry.patch), np.float32),
        activity=np.zeros((P, units), np.float32),
        delta=np.zeros((P, units), np.float32),
    )


def nowhere(units: int) -> View:
    """No room, where no second image is ever looked at."""
    none = np.zeros((0, units), np.float32)
    return View(none[:, 0].copy(), np.zeros(0, np.int64), none, none, none)


def new_room(geometry: Geometry, units: int, classes: int) -> Room:
    """Room for what is found out about one row."""
    width = geometry.regions * units
    return Room(
        pooled=np.zeros(width, np.float32),
        slope=np.zeros(width, np.float32),
        goodness=np.zeros(geometry.positions, np.float32),
        regions=np.zeros((2, geometry.regions), np.float32),
        evidence=np.zeros(classes, np.float32),
        errors=np.zeros(classes, np.float32),
        current=np.zeros(units, np.float32),
    )
