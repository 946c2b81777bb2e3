"""Units that stay on the p-sphere; the equations are in the package's docstring.

H units, D inputs, n active inputs of a row. One row is learned before the next is looked at.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs, active_product
from streamlearn.part import F32
from streamlearn.rules.hebbian.activity import activate
from streamlearn.rules.hebbian.powers import length, on_sphere, power, root, signed_power
from streamlearn.rules.hebbian.ranks import LAST, highest_of, key_of, place_of, unit_of_rank
from streamlearn.rules.hebbian.rates import rate_of

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

_NOTHING_LEFT: Final = 1e-9
"""Share of its size that a unit must keep in a step."""
MEMORY_ROWS: Final = 1000.0
"""Rows that the fading figures remember."""


class Units(NamedTuple):
    """State of the H units; what the kernels read and write."""

    weights: F32
    """[D, H] V: W up to a factor a unit, so that pulling a unit touches active inputs only."""
    powered: F32
    """[D, H] sign(V) |V|^(p-1), so that currents are plain products; [0, H] for p = 2: it is V."""
    size: F64
    """[H] sum_i |V_i|^p."""
    gain: F32
    """[H] size^(-(p-1)/p), which turns products with `powered` into currents; 0: no weights yet."""
    moves: I64
    """[H] rows that moved the unit since it took its place, counting that one."""
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
    k: int
    delta: float
    rate: float
    floor: float
    conscience: float
    patience: int
    inhibition: float
    h_star: float
    max_steps: int
    extent: float
    """Norms of stored weights are kept between this and its inverse, so powers stay in float32."""


class Scratch(NamedTuple):
    """Room for one row at work; holds nothing from row to row."""

    active: U32
    """[D] numbers of the active inputs; the first n count; unsigned, so none is from the end."""
    z: F32
    """[D] what they are, on the p-sphere."""
    current: F32
    """[H] I."""
    base: F32
    """[H] what an activity is the power of."""
    plain: F32
    """[H] plain products of weights and row, where those are the answer."""
    room: F32
    """[4, H] for the dynamics."""
    key: I32
    """[H] integers in the order of the scores."""


@inlined
def first(scratch: Scratch, n: int) -> Scratch:
    """The same room, with active inputs cut to the n that there are."""
    active, z = scratch.active[:n], scratch.z[:n]
    return Scratch(
        active, z, scratch.current, scratch.base, scratch.plain, scratch.room, scratch.key
    )


@inlined
def respond(x: F32, units: Units, settings: Settings, scratch: Scratch, out: F32) -> int:
    """Write the activity out [H] of the row x [D] and its currents; returns n.

    A row of zeros has no direction: its activity is zero, and 0 is returned.
    """
    n = active_inputs(x, scratch.active, scratch.z)
    if not on_sphere(scratch.z[:n], settings.p):
        out[:] = 0
        return 0
    current, gain = scratch.current, units.gain
    powered = units.weights if settings.p == 4 else units.powered
    active_product(powered, scratch.active[:n], scratch.z[:n], current)
    for h in range(out.shape[0]):
        current[h] *= gain[h]
    if settings.dot:
        _plain_products(units, settings, scratch, n)
        current = scratch.plain
    activate(current, gain, settings.power, settings.from_mean, settings.scaled, scratch.base, out)
    return n


@inlined
def _plain_products(units: Units, settings: Settings, scratch: Scratch, n: int) -> None:
    """Write W z / |z|_2 [H], z the n active inputs."""
    plain, z = scratch.plain, scratch.z[:n]
    active_product(units.weights, scratch.active[:n], z, plain)
    factor = 1.0 / length(z)
    for h in range(plain.shape[0]):
        size = units.size[h]
        plain[h] *= np.float32(factor / root(size, settings.p)) if size > 0 else np.float32(0)


@inlined
def score(units: Units, settings: Settings, scratch: Scratch) -> None:
    """Score = I - conscience (load - 1) [H] is written as keys; load <- (1 - 1/H) load."""
    current, key, load, gain = scratch.current, scratch.key, units.load, units.gain
    conscience, fade = np.float32(settings.conscience), np.float32(1 - 1 / load.shape[0])
    for h in range(load.shape[0]):
        score = current[h] - conscience * (load[h] - np.float32(1))
        key[h] = key_of(score) if gain[h] > 0 else LAST
        load[h] *= fade


@inlined
def _measure(units: Units, h: int, p: float, factor: float) -> None:
    """Multiply V[:, h] by a factor and find its size, power and gain afresh; all are written."""
    weights, powered = units.weights, units.powered
    size = 0.0
    for i in range(weights.shape[0]):
        stored = np.float32(weights[i, h] * factor)
        weights[i, h] = stored
        size += power(abs(np.float64(stored)), p)
        if p != 4:
            powered[i, h] = signed_power(stored, p)
    units.size[h] = size
    _set_gain(units, h, p)


@inlined
def _set_gain(units: Units, h: int, p: float) -> None:
    size = units.size[h]
    units.gain[h] = np.float32(root(size, p) / size) if size > 0 else np.float32(0)


@inlined
def _add(units: Units, h: int, step: float, scratch: Scratch, p: float) -> float:
    """V_h <- V_h + step z at the active inputs [n]; returns by how much sum |V_h|^p grew."""
    weights, active, z = units.weights, scratch.active, scratch.z
    growth, part = 0.0, np.float32(step)
    if p != 4:
        return _add_powers(units, h, part, scratch, p)
    for a in range(active.shape[0]):
        i = active[a]
        old = weights[i, h]
        new = old + part * z[a]
        weights[i, h] = new
        growth += np.float64(new) * new - np.float64(old) * old
    return growth


@inlined
def _add_powers(units: Units, h: int, step: np.float32, scratch: Scratch, p: float) -> float:
    """Do as `_add` does, with powers besides."""
    weights, powered, active, z = units.weights, units.powered, scratch.active, scratch.z
    growth = 0.0
    for a in range(active.shape[0]):
        i = active[a]
        old = weights[i, h]
        new = old + step * z[a]
        weights[i, h] = new
        growth += power(abs(np.float64(new)), p) - power(abs(np.float64(old)), p)
        powered[i, h] = signed_power(new, p)
    return growth


@inlined
def recruit(units: Units, h: int, scratch: Scratch, p: float) -> None:
    """Give unit h the row as its weights; its moves begin anew, its load is the fair share."""
    units.weights[:, h] = 0
    for a in range(scratch.active.shape[0]):
        units.weights[scratch.active[a], h] = scratch.z[a]
    _measure(units, h, p, 1.0)
    units.moves[h] = 1
    units.load[h] = 1
    units.last_win[h] = units.clock[0]


@inlined
def _pull(units: Units, h: int, step: float, scratch: Scratch, settings: Settings) -> None:
    """Move unit h by step z, then carry it to the p-sphere.

    W <- (W + step z) / |W + step z|_p, as V <- V + step size^(1/p) z with `size` following.
    """
    size, p = units.size, settings.p
    before = size[h]
    size[h] += _add(units, h, step * root(size[h], p), scratch, p)
    if not size[h] > _NOTHING_LEFT * before:
        # The row was the opposite of the unit, which now has no direction but the row's.
        recruit(units, h, scratch, p)
        return
    _set_gain(units, h, p)
    norm = root(size[h], p)
    if not 1.0 / settings.extent < norm < settings.extent:
        _measure(units, h, p, 1.0 / norm)


@inlined
def attract(units: Units, h: int, settings: Settings, scratch: Scratch) -> None:
    """W <- (1 - eta) W + eta z, up to its norm."""
    eta = rate_of(units.moves[h], settings.rate, settings.floor)
    _pull(units, h, eta / (1.0 - eta), scratch, settings)
    units.moves[h] += 1


@inlined
def repel(units: Units, h: int, settings: Settings, scratch: Scratch) -> None:
    """W <- W - delta eta (z - I W), up to its norm."""
    eta = settings.delta * rate_of(units.moves[h], settings.rate, settings.floor)
    _pull(units, h, -eta / (1.0 + eta * scratch.current[h]), scratch, settings)
    # Counted too: a unit that is often last would else be pushed about at its first rate for ever.
    units.moves[h] += 1


@inlined
def _compete(units: Units, settings: Settings, scratch: Scratch) -> None:
    """Attract the winner to the row, repel the k-th; the winner's load and last win are written."""
    score(units, settings, scratch)
    highest = highest_of(scratch.key)
    winner = place_of(scratch.key, highest, 1)
    overlap = np.float64(scratch.current[winner])
    loser = unit_of_rank(scratch.key, settings.k, highest) if settings.delta > 0 else -1
    if loser >= 0:
        overlap -= settings.delta * scratch.current[loser]
    if settings.rate > 0:
        attract(units, winner, settings, scratch)
        if loser >= 0:
            repel(units, loser, settings, scratch)
    units.load[winner] += 1
    units.last_win[winner] = units.clock[0]
    note(units.figures, units.clock[0], 0, overlap)


@inlined
def note(figures: F64, rows: int, figure: int, value: float) -> None:
    """Take the value of the rows-th row into a fading mean."""
    share = max(1.0 / MEMORY_ROWS, 1.0 / rows)
    figures[figure] += share * (value - figures[figure])


@inlined
def _learn_row(units: Units, settings: Settings, scratch: Scratch) -> None:
    """Learn the row whose n active inputs and currents are in scratch; units are written."""
    turn = units.clock[0] % units.last_win.shape[0]
    units.clock[0] += 1
    if units.clock[0] - units.last_win[turn] > settings.patience:
        recruit(units, turn, scratch, settings.p)
    else:
        _compete(units, settings, scratch)


@kernel
def learn(x: F32, units: Plain, settings: Plain, scratch: Plain, out: F32) -> None:
    """For each row x [B, D] in order: write its activity out [B, H], then learn it.

    The tuples are a `Units`, a `Settings` and a `Scratch` as plain ones.
    """
    state, setting, room = Units(*units), Settings(*settings), Scratch(*scratch)
    for b in range(x.shape[0]):
        n = respond(x[b], state, setting, room, out[b])
        if n > 0:
            _learn_row(state, setting, first(room, n))


@kernel
def infer(x: F32, units: Plain, settings: Plain, scratch: Plain, out: F32) -> None:
    """Write the activities out [B, H] of the rows x [B, D]; only scratch is written besides."""
    state, setting, room = Units(*units), Settings(*settings), Scratch(*scratch)
    for b in range(x.shape[0]):
        respond(x[b], state, setting, room, out[b])


@kernel
def derive(units: Plain, p: float) -> None:
    """Write powers [D, H] and gains [H] from weights and sizes."""
    state = Units(*units)
    D, H = state.weights.shape
    if p != 4:
        for i in range(D):
            for h in range(H):
                state.powered[i, h] = signed_power(state.weights[i, h], p)
    for h in range(H):
        _set_gain(state, h, p)


@kernel
def norms(weights: F32, size: F64, p: float, out: F64) -> None:
    """Write the p-norms out [H] of W as it really is: |V|_p / size^(1/p), 0 without weights."""
    D, H = weights.shape
    out[:] = 0
    for i in range(D):
        for h in range(H):
            out[h] += power(abs(np.float64(weights[i, h])), p)
    for h in range(H):
        out[h] = root(out[h] / size[h], p) if size[h] > 0 else 0.0
