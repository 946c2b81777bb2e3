"""Soft competition (SoftHebb): every unit learns from every row, by its share of a softmax.

T. Moraitis et al., SoftHebb, Neuromorphic Computing and Engineering 2 (2022), arXiv 2107.05747, and
A. Journe et al., arXiv 2209.11883. With z the row at length 1:

    u_m = W_m z,     y = softmax(sharpness u),     dW_m = eta_m g_m (z - u_m W_m)
    eta_m = max(rate sqrt(| |W_m| - 1 |), rate_floor)

with g = y, or y for the winner and -y for all others (`anti`). Units start far outside the unit
sphere, where their rates are large, and come to it; the floor is what keeps them from freezing
there. A step takes at most half of a unit, so none overshoots, and none is let beyond length 100.

Weights are kept as W = scale V, so that shrinking a unit costs one number and only the weights of
active inputs are touched. Lengths follow without looking at the weights, and one unit a row is
measured anew, so that no rounding adds up.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs, active_product
from streamlearn.part import F32
from streamlearn.rules.hebbian.activity import activate
from streamlearn.rules.hebbian.powers import on_sphere
from streamlearn.rules.hebbian.sphere_kernels import note

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]

_EUCLIDEAN: Final = 4.0
"""p = 2 in halves."""
_HALF: Final = 0.5
_FAR: Final = 100.0
_NO_SHARE: Final = np.float32(1e-20)
"""Of the winner's: what is smaller counts as 0, as products with it would be too small to be normal
and ten times slower."""
_EXTENT: Final = 1e4
"""Scales are kept between this and its inverse."""


class Units(NamedTuple):
    """State of the H units."""

    weights: F32
    """[D, H] V."""
    scale: F64
    """[H] W = scale V; 0: no weights yet."""
    square: F64
    """[H] |W|^2."""
    alive: F32
    """[H] 1 where a unit has weights, else 0; follows from the scale."""
    load: F32
    """[H] fading share of the rows won, 1 is the fair share."""
    last_win: I64
    """[H] the clock at the last win."""
    clock: I64
    """[1] rows learned."""
    figures: F64
    """[2] fading mean over rows of log sum exp(sharpness u) / sharpness; nothing."""


class Settings(NamedTuple):
    """Options as the kernels want them; the power in halves."""

    power: int
    from_mean: bool
    scaled: bool
    sharpness: float
    anti: bool
    rate: float
    floor: float
    patience: int


class Scratch(NamedTuple):
    """Room for one row at work; holds nothing from row to row."""

    active: U32
    """[D] numbers of the active inputs."""
    z: F32
    """[D] what they are, at length 1."""
    current: F32
    """[H] u."""
    base: F32
    """[H] what an activity is the power of; then shares; then steps."""


@inlined
def _respond(x: F32, units: Units, settings: Settings, scratch: Scratch, out: F32) -> int:
    """Write the activity out [H] of the row x [D] and its currents; returns n, 0 without length."""
    n = active_inputs(x, scratch.active, scratch.z)
    if not on_sphere(scratch.z[:n], _EUCLIDEAN):
        out[:] = 0
        return 0
    current, scale = scratch.current, units.scale
    active_product(units.weights, scratch.active[:n], scratch.z[:n], current)
    for h in range(out.shape[0]):
        current[h] = np.float32(current[h] * scale[h])
    activate(
        current,
        units.alive,
        settings.power,
        settings.from_mean,
        settings.scaled,
        scratch.base,
        out,
    )
    return n


@inlined
def _winner(units: Units, current: F32) -> int:
    """Unit of the highest current among those with weights."""
    best = -1
    for h in range(current.shape[0]):
        if units.alive[h] > 0 and (best < 0 or current[h] > current[best]):
            best = h
    return best


@inlined
def _shares(units: Units, settings: Settings, scratch: Scratch, winner: int) -> float:
    """Write the softmax [H], not yet divided by its sum, which is returned."""
    share, current = scratch.base, scratch.current
    sharpness, most = np.float32(settings.sharpness), current[winner]
    for h in range(share.shape[0]):
        raised = np.exp(sharpness * (current[h] - most))
        share[h] = raised if units.alive[h] > 0 and raised > _NO_SHARE else np.float32(0)
    total = 0.0
    for h in range(share.shape[0]):
        total += np.float64(share[h])
    return total


@inlined
def rate_of(square: float, settings: Settings) -> float:
    """A unit's rate: the further its length is from 1, the larger."""
    if settings.rate == 0:
        return 0.0
    further: float = settings.rate * np.sqrt(abs(np.sqrt(square) - 1.0))
    return max(further, settings.floor)


@inlined
def _plan(units: Units, settings: Settings, scratch: Scratch, winner: int, total: float) -> None:
    """Turn shares into steps [H] of V; scales and squares move on to after the step."""
    step, current = scratch.base, scratch.current
    for h in range(step.shape[0]):
        if units.alive[h] == 0:
            step[h] = 0
            continue
        g, u = step[h] / total, np.float64(current[h])
        if settings.anti and h != winner:
            g = -g
        pull = rate_of(units.square[h], settings) * g
        shrink = pull * u
        if abs(shrink) > _HALF:
            pull *= _HALF / abs(shrink)
            shrink = pull * u
        kept = 1.0 - shrink
        square = kept * kept * units.square[h] + 2.0 * kept * pull * u + pull * pull
        scale = kept * units.scale[h]
        step[h] = np.float32(pull / scale)
        if square > _FAR * _FAR:
            scale *= _FAR / np.sqrt(square)
            square = _FAR * _FAR
        units.scale[h], units.square[h] = scale, max(square, 1e-12)


@inlined
def _measure(units: Units, h: int, factor: float) -> None:
    """Multiply V of unit h, divide its scale, and find its length afresh."""
    square = 0.0
    for i in range(units.weights.shape[0]):
        weight = np.float32(units.weights[i, h] * factor)
        units.weights[i, h] = weight
        square += np.float64(weight) * weight
    units.scale[h] /= factor
    units.square[h] = max(square * units.scale[h] * units.scale[h], 1e-12)


@inlined
def _recruit(units: Units, h: int, scratch: Scratch, n: int) -> None:
    """Give unit h the row as its weights."""
    units.weights[:, h] = 0
    for a in range(n):
        units.weights[scratch.active[a], h] = scratch.z[a]
    units.scale[h], units.square[h], units.alive[h], units.load[h] = 1, 1, 1, 1
    units.last_win[h] = units.clock[0]


@inlined
def _move(units: Units, settings: Settings, scratch: Scratch, n: int) -> None:
    """Learn a row: V <- V + step z at its n active inputs."""
    current, step = scratch.current, scratch.base
    winner = _winner(units, current)
    total = _shares(units, settings, scratch, winner)
    most = np.float64(current[winner])
    note(units.figures, units.clock[0], 0, most + np.log(total) / settings.sharpness)
    _plan(units, settings, scratch, winner, total)
    for a in range(n):
        weights, value = units.weights[scratch.active[a]], scratch.z[a]
        for h in range(step.shape[0]):
            weights[h] += value * step[h]
    fade = np.float32(1 - 1 / step.shape[0])
    for h in range(step.shape[0]):
        units.load[h] *= fade
    units.load[winner] += 1
    units.last_win[winner] = units.clock[0]


@inlined
def _mend(units: Units, turn: int) -> None:
    """Measure the unit whose turn it is, and rescale those whose scale has gone far."""
    if units.alive[turn] > 0:
        _measure(units, turn, 1.0)
    for h in range(units.scale.shape[0]):
        scale = units.scale[h]
        if scale > 0 and not 1.0 / _EXTENT < scale < _EXTENT:
            _measure(units, h, scale)


@inlined
def _learn_row(units: Units, settings: Settings, scratch: Scratch, n: int) -> None:
    """Learn the row whose n active inputs and currents are in scratch; units are written."""
    turn = units.clock[0] % units.last_win.shape[0]
    units.clock[0] += 1
    if units.clock[0] - units.last_win[turn] > settings.patience:
        _recruit(units, turn, scratch, n)
    else:
        _move(units, settings, scratch, n)
        _mend(units, turn)


@kernel
def learn(x: F32, units: Plain, settings: Plain, scratch: Plain, out: F32) -> None:
    """For each row x [B, D] in order: write its activity out [B, H], then learn it.

    The tuples are a `Units`, a `Settings` and a `Scratch` as plain ones.
    """
    state, setting, room = Units(*units), Settings(*settings), Scratch(*scratch)
    for b in range(x.shape[0]):
        n = _respond(x[b], state, setting, room, out[b])
        if n > 0:
            _learn_row(state, setting, room, n)


@kernel
def infer(x: F32, units: Plain, settings: Plain, scratch: Plain, out: F32) -> None:
    """Write the activities out [B, H] of the rows x [B, D]; only scratch is written besides."""
    state, setting, room = Units(*units), Settings(*settings), Scratch(*scratch)
    for b in range(x.shape[0]):
        _respond(x[b], state, setting, room, out[b])


@kernel
def rates(square: F64, settings: Plain, out: F64) -> None:
    """Write the rates out [H] of units of these squared lengths."""
    setting = Settings(*settings)
    for h in range(out.shape[0]):
        out[h] = rate_of(square[h], setting)
