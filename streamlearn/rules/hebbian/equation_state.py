"""State, settings and room of units that follow eq. 2, for its kernels.

H units, D inputs, n active inputs of a row, C rows that are answered together as no weight moves
in between, M units that a minibatch moves.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]

RANKING, DYNAMICS, ALONE = 0, 1, 2
"""Kinds of competition."""
TOGETHER: Final = 64
"""Rows that are answered together, at most."""


class Units(NamedTuple):
    """State of the H units; what the kernels read and write."""

    weights: F32
    """[D, H] W."""
    powered: F32
    """[D, H] sign(W) |W|^(p-1); [0, H] where p = 2: it is W."""
    size: F64
    """[H] sum_i |W_i|^p; 0: no weights yet."""
    alive: F32
    """[H] 1 where a unit has weights, else 0."""
    gathered: F32
    """[H, D] sum_b g z of the minibatch so far; a unit at a time, as a minibatch moves few."""
    decay: F64
    """[H] sum_b g I of the minibatch so far."""
    drawn: F64
    """[H] sum_b |g| of the minibatch so far; 0: it leaves the unit alone."""
    pending: I64
    """[1] rows of the minibatch so far."""
    moves: I64
    """[H] minibatches that moved the unit."""
    load: F32
    """[H] fading share of the rows won, 1 is the fair share."""
    last_win: I64
    """[H] the clock at the last win."""
    clock: I64
    """[1] rows learned."""
    figures: F64
    """[2] fading means over rows: of eq. 3, and of whether the dynamics were cut short."""


class Settings(NamedTuple):
    """Options as the kernels want them; p and power as counts of halves."""

    p: float
    power: int
    from_mean: bool
    scaled: bool
    dot: bool
    competition: int
    k: int
    delta: float
    inhibition: float
    h_star: float
    max_steps: int
    conscience: float
    rate: float
    floor: float
    anneal_rows: int
    largest: bool
    radius: float
    minibatch: int
    patience: int


class Scratch(NamedTuple):
    """Room for the rows at work; holds nothing from block to block."""

    active: U32
    """[C, D] numbers of the active inputs."""
    z: F32
    """[C, D] what they are, on the p-sphere."""
    counts: I64
    """[C] n."""
    current: F32
    """[C, H] I."""
    plain: F32
    """[C, H] plain products."""
    base: F32
    """[H] what an activity is the power of; then what drives the dynamics."""
    g: F32
    """[H] how strongly a row draws each unit."""
    room: F32
    """[4, H] for the dynamics."""
    key: I32
    """[H] integers in the order of the currents."""
    moved: I64
    """[H] numbers of the touched units."""
    size: F64
    """[M] sizes of the touched units after their step."""
    change: F64
    """[M] their steps."""
