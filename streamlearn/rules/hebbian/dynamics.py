"""Competition as the paper has it: units inhibit each other until their activities stand still.

    dh_m/dt = I_m - w sum_{n != m} relu(h_n) - h_m                                        (eq. 4)

from h = 0, in units of tau. Inhibition by many makes it stiff, so steps are those of the implicit
Euler method: the new activities need only the sum S of all, which is the root of an increasing
concave function of one number that Newton's method finds from below. Each step is as long as its
error allows.

For w < 1 there is one steady state: with A the active units,

    h_m = (I_m - w S) / (1 - w)  for m in A,     S = sum_A I / (1 + (|A| - 1) w)

For w >= 1 the winner takes all, unless another one starts as high. Units that hold no weights yet,
and those whose steady activity is below zero, are out of it.
"""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32
from streamlearn.rules.hebbian.sphere_kernels import (
    Plain,
    Scratch,
    Settings,
    Units,
    attract,
    first,
    note,
    recruit,
    repel,
    respond,
)

_ERROR: Final = np.float32(0.02)
"""Largest error of a step, as a share of the largest drive."""
_STEADY: Final = np.float32(1e-4)
"""Largest speed of what stands still, as a share of the largest drive."""
_NO_DRIVE: Final = np.float32(-1.0)
"""Of units without weights."""
_FIRST_STEP: Final = np.float32(0.05)
_LONGEST_STEP: Final = np.float32(1e3)
_TINY: Final = np.float32(1e-20)
"""Drives below this are no drive."""
_NEWTON_STEPS: Final = 50
_NEWTON_ERROR: Final = np.float32(1e-6)


@inlined
def _sum_above(h: F32) -> np.float32:
    """Sum of relu(h) [H]; apart from the loops that write; see `sums`."""
    total = np.float32(0)
    for m in range(h.shape[0]):
        total += max(h[m], np.float32(0))
    return total


@inlined
def _largest(values: F32) -> np.float32:
    largest = np.float32(0)
    for m in range(values.shape[0]):
        largest = max(largest, abs(values[m]))
    return largest


@inlined
def _speeds(drive: F32, h: F32, inhibition: np.float32, speed: F32) -> np.float32:
    """Write dh/dt [H]; returns w S."""
    pressure = inhibition * _sum_above(h)
    for m in range(h.shape[0]):
        own = inhibition * max(h[m], np.float32(0))
        speed[m] = drive[m] - pressure + own - h[m]
    return pressure


@inlined
def _unrest(drive: F32, h: F32, speed: F32, pressure: np.float32) -> np.float32:
    """Largest speed of an active unit, or drive by which a silent one is about to be active."""
    largest = np.float32(0)
    for m in range(h.shape[0]):
        silent = max(drive[m] - pressure, np.float32(0))
        largest = max(largest, abs(speed[m]) if h[m] > 0 else silent)
    return largest


@inlined
def _sum_after(reached: F32, pull: np.float32, share: np.float32, first: np.float32) -> np.float32:
    """Find S = share sum_m relu(reached_m - pull S), reached [H], from a first guess."""
    total = first
    for _ in range(_NEWTON_STEPS):
        level = pull * total
        above, count = np.float32(0), np.float32(0)
        for m in range(reached.shape[0]):
            above += max(reached[m] - level, np.float32(0))
            count += np.float32(1) if reached[m] > level else np.float32(0)
        wrong = share * above - total
        total += wrong / (np.float32(1) + share * pull * count)
        if not abs(wrong) > _NEWTON_ERROR * max(total, np.float32(1e-30)):
            break
    return total


@inlined
def _implicit_step(
    h: F32, drive: F32, inhibition: np.float32, step: np.float32, after: F32
) -> None:
    """Write the activities [H] after a step of implicit Euler from h [H]."""
    # An active unit does not inhibit itself; for w > 1 steps are so short that this is positive.
    share = np.float32(1) / (np.float32(1) + step * (np.float32(1) - inhibition))
    for m in range(h.shape[0]):
        after[m] = h[m] + step * drive[m]
    level = step * inhibition * _sum_after(after, step * inhibition, share, _sum_above(h))
    silent = np.float32(1) / (np.float32(1) + step)
    for m in range(h.shape[0]):
        left = after[m] - level
        after[m] = left * (share if left > 0 else silent)


@inlined
def settle(drive: F32, inhibition: np.float32, max_steps: int, room: F32) -> int:
    """Integrate eq. 4 for a row; the steady activities are room[0] [H].

    Returns the steps it took, tried ones too; more than max_steps: it was cut short.
    """
    h, speed, after, speed_after = room[0], room[1], room[2], room[3]
    h[:] = 0
    scale, step, longest = max(_largest(drive), _TINY), _FIRST_STEP, _LONGEST_STEP
    if inhibition > 1:
        longest = min(longest, np.float32(0.5) / (inhibition - np.float32(1)))
        step = min(step, longest)
    for taken in range(max_steps):
        pressure = _speeds(drive, h, inhibition, speed)
        if not _unrest(drive, h, speed, pressure) > _STEADY * scale:
            return taken
        _implicit_step(h, drive, inhibition, step, after)
        _speeds(drive, after, inhibition, speed_after)
        half = np.float32(0.5) * step
        for m in range(h.shape[0]):
            speed[m] = half * (speed_after[m] - speed[m])
        error = _largest(speed) / (_ERROR * scale)
        if error <= 1:
            for m in range(h.shape[0]):
                h[m] = after[m]
        wanted = np.float32(0.9) / np.sqrt(max(error, np.float32(1e-6)))
        step *= min(max(wanted, np.float32(0.2)), np.float32(4))
        step = min(step, longest)
    return max_steps + 1


@inlined
def most_active(h: F32) -> int:
    """Unit of the largest activity [H], the first of those alike."""
    best = 0
    for m in range(1, h.shape[0]):
        if h[m] > h[best]:
            best = m
    return best


@inlined
def _drive(units: Units, settings: Settings, scratch: Scratch, drive: F32) -> None:
    """Write I - conscience (load - 1) [H]; load <- (1 - 1/H) load."""
    conscience, load = np.float32(settings.conscience), units.load
    fade = np.float32(1 - 1 / load.shape[0])
    for h in range(load.shape[0]):
        driven = scratch.current[h] - conscience * (load[h] - np.float32(1))
        drive[h] = driven if units.gain[h] > 0 else _NO_DRIVE
        load[h] *= fade


@inlined
def _learn_active(units: Units, settings: Settings, scratch: Scratch, activity: F32) -> float:
    """Attract units from h* on, repel other active ones; returns the sum of eq. 3 for the row."""
    overlap = 0.0
    for h in range(activity.shape[0]):
        if activity[h] > settings.h_star:
            overlap += scratch.current[h]
            if settings.rate > 0:
                attract(units, h, settings, scratch)
        elif activity[h] > 0 and settings.delta > 0:
            overlap -= settings.delta * scratch.current[h]
            if settings.rate > 0:
                repel(units, h, settings, scratch)
    return overlap


@inlined
def _compete(units: Units, settings: Settings, scratch: Scratch) -> None:
    """Let a row's dynamics settle, then learn; the most active unit has won."""
    drive = scratch.base
    _drive(units, settings, scratch, drive)
    steps = settle(drive, np.float32(settings.inhibition), settings.max_steps, scratch.room)
    activity = scratch.room[0]
    winner = most_active(activity)
    if activity[winner] > 0:
        units.load[winner] += 1
        units.last_win[winner] = units.clock[0]
    overlap = _learn_active(units, settings, scratch, activity)
    note(units.figures, units.clock[0], 0, overlap)
    note(units.figures, units.clock[0], 1, 1.0 if steps > settings.max_steps else 0.0)


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
