"""Steps of eq. 2: what a minibatch has gathered moves the units, never too far at once."""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.rules.hebbian.equation_state import I64, Scratch, Settings, Units
from streamlearn.rules.hebbian.powers import power, root, signed_power
from streamlearn.rules.hebbian.rates import rate_of

_HALF: Final = 0.5
"""A step takes away or adds at most this share of a unit's norm, so none overshoots."""
_FAR: Final = 1e3
"""Norm, in radii, beyond which a unit is not let: where g < 0 eq. 2 drives it outward."""


@inlined
def gather(units: Units, scratch: Scratch, c: int) -> None:
    """Add g z and g I of row c to what the minibatch has gathered."""
    g, current, n = scratch.g, scratch.current[c], scratch.counts[c]
    for h in range(g.shape[0]):
        if g[h] == 0:
            continue
        units.drawn[h] += abs(g[h])
        units.decay[h] += np.float64(g[h]) * current[h]
        for a in range(n):
            units.gathered[h, scratch.active[c, a]] += g[h] * scratch.z[c, a]


@inlined
def _list_touched(units: Units, moved: I64) -> int:
    count = 0
    for h in range(moved.shape[0]):
        moved[count] = h
        count += int(units.drawn[h] > 0)
    return count


@inlined
def _largest_change(units: Units, reach: np.float32, moved: I64) -> float:
    """Largest |sum_b g (R^p z - I W)| of the weights of units `moved` [M]."""
    largest = np.float32(0)
    for i in range(units.weights.shape[0]):
        weights = units.weights[i]
        for m in range(moved.shape[0]):
            h = moved[m]
            change = reach * units.gathered[h, i] - np.float32(units.decay[h]) * weights[h]
            largest = max(largest, abs(change))
    return np.float64(largest)


@inlined
def _steps(units: Units, settings: Settings, scratch: Scratch, moved: I64) -> None:
    """Write the factor [M] of each touched unit's sums, bounded so that no step overshoots."""
    p, reach = settings.p, power(settings.radius, settings.p)
    share, left = 1.0 / units.pending[0], 1.0
    if settings.largest:
        share = 1.0 / max(_largest_change(units, np.float32(reach), moved), 1e-30)
    if settings.anneal_rows > 0:
        left = max(0.0, 1.0 - units.clock[0] / settings.anneal_rows)
    for m in range(moved.shape[0]):
        h = moved[m]
        rate = settings.rate * left
        if settings.anneal_rows == 0:
            rate = rate_of(units.moves[h], settings.rate, settings.floor)
        norm = root(units.size[h], p)
        # Rows have p-norm 1, so sum |g| bounds the norm of what was gathered.
        pull = reach * units.drawn[h] + abs(units.decay[h]) * norm
        bound = _HALF * max(norm, settings.radius) / max(pull, 1e-30)
        scratch.change[m] = min(rate * share, bound)


@inlined
def _move(units: Units, settings: Settings, scratch: Scratch, moved: I64) -> None:
    """W <- W + change (R^p gathered - decay W) of the touched units [M], powers and sizes too."""
    p, reach, size = settings.p, power(settings.radius, settings.p), scratch.size
    size[: moved.shape[0]] = 0
    for i in range(units.weights.shape[0]):
        weights = units.weights[i]
        for m in range(moved.shape[0]):
            h, change = moved[m], scratch.change[m]
            kept = 1.0 - change * units.decay[h]
            new = np.float32(kept * weights[h] + change * reach * units.gathered[h, i])
            weights[h] = new
            units.gathered[h, i] = 0
            powered = new
            if p != 4:
                powered = signed_power(new, p)
                units.powered[i, h] = powered
            size[m] += np.float64(powered) * new


@inlined
def _shrink(units: Units, h: int, p: float, factor: float) -> None:
    """Multiply a unit's weights, and find its powers and its size afresh."""
    size = 0.0
    for i in range(units.weights.shape[0]):
        new = np.float32(units.weights[i, h] * factor)
        units.weights[i, h] = new
        size += power(abs(np.float64(new)), p)
        if p != 4:
            units.powered[i, h] = signed_power(new, p)
    units.size[h] = size


@inlined
def step(units: Units, settings: Settings, scratch: Scratch) -> None:
    """Learn what the minibatch has gathered, and forget it."""
    p, far = settings.p, _FAR * settings.radius
    moved = scratch.moved[: _list_touched(units, scratch.moved)]
    _steps(units, settings, scratch, moved)
    _move(units, settings, scratch, moved)
    for m in range(moved.shape[0]):
        h, size = moved[m], scratch.size[m]
        units.size[h] = size
        if size > power(far, p):
            _shrink(units, h, p, far / root(size, p))
        units.moves[h] += int(settings.rate > 0)
        units.decay[h], units.drawn[h] = 0, 0
    units.pending[0] = 0


@inlined
def recruit(units: Units, settings: Settings, scratch: Scratch, h: int) -> None:
    """Give unit h the first row at work as its weights, at the radius."""
    units.weights[:, h] = 0
    for a in range(scratch.counts[0]):
        units.weights[scratch.active[0, a], h] = scratch.z[0, a]
    _shrink(units, h, settings.p, settings.radius)
    units.alive[h], units.load[h] = 1, 1
    units.moves[h] = 1
    units.last_win[h] = units.clock[0]
