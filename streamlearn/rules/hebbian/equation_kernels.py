"""Eq. 2 of Krotov & Hopfield by plain steps, one for every minibatch.

    dW_m = rate sum_b g_bm (R^p z_b - I_bm W_m),     I_bm = <W_m, z_b> = sum_i |W_i|^(p-2) W_i z_bi

with z the row on the p-sphere and g from the competition: 1 and -delta for ranks 1 and k or for the
active units above and under h*, or the overlap Q_bm = I_bm / |W_m|_p^(p-1) of each unit for itself,
which for p = 2 is Oja's rule. Divided by the rows of the minibatch, or, as in the published code,
such that the weight that changes most changes by `rate`.

Shape letters are those of `equation_state`.
"""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs
from streamlearn.part import F32
from streamlearn.rules.hebbian.activity import activate
from streamlearn.rules.hebbian.dynamics import most_active, settle
from streamlearn.rules.hebbian.equation_state import (
    ALONE,
    DYNAMICS,
    RANKING,
    TOGETHER,
    U32,
    Plain,
    Scratch,
    Settings,
    Units,
)
from streamlearn.rules.hebbian.equation_steps import gather, recruit, step
from streamlearn.rules.hebbian.powers import length, on_sphere, root, signed_power
from streamlearn.rules.hebbian.ranks import LAST, highest_of, key_of, place_of, unit_of_rank
from streamlearn.rules.hebbian.sphere_kernels import note

_TILE: Final = 256
"""Units whose weights stay close to the processor while the rows pass."""
_FOREVER: Final = 1 << 61
"""Rows after which only a unit that never had weights is due."""
_NOTHING: Final = np.float32(-1.0)
"""Score of a unit without weights."""


@inlined
def _add_products(weights: F32, low: int, index: U32, value: F32, sums: F32) -> None:
    """Add the products of n inputs with the weights [D, low:low+T] to the sums [T]."""
    n, high = index.shape[0], low + sums.shape[0]
    for a in range(0, n - 7, 8):
        # Eight inputs a sweep; rows are taken out first, as in `active_product`.
        r, s = weights[index[a], low:high], weights[index[a + 1], low:high]
        t, u = weights[index[a + 2], low:high], weights[index[a + 3], low:high]
        v, w = weights[index[a + 4], low:high], weights[index[a + 5], low:high]
        x, y = weights[index[a + 6], low:high], weights[index[a + 7], low:high]
        c, d, e, f = value[a], value[a + 1], value[a + 2], value[a + 3]
        i, j, k, m = value[a + 4], value[a + 5], value[a + 6], value[a + 7]
        for h in range(sums.shape[0]):
            four = (c * r[h] + d * s[h]) + (e * t[h] + f * u[h])
            sums[h] += four + ((i * v[h] + j * w[h]) + (k * x[h] + m * y[h]))
    for a in range(n - n % 8, n):
        w, q = weights[index[a], low:high], value[a]
        for h in range(sums.shape[0]):
            sums[h] += q * w[h]


@inlined
def _products(weights: F32, scratch: Scratch, rows: int, out: F32) -> None:
    """Write the products [C, H] of rows with weights [D, H], a tile of units at a time.

    Each row's sum goes in the order of its inputs, whatever rows it is answered with.
    """
    H = weights.shape[1]
    for low in range(0, H, _TILE):
        for c in range(rows):
            n = scratch.counts[c]
            sums = out[c, low : min(low + _TILE, H)]
            sums[:] = 0
            _add_products(weights, low, scratch.active[c, :n], scratch.z[c, :n], sums)


@inlined
def _answer(x: F32, units: Units, settings: Settings, scratch: Scratch, out: F32) -> None:
    """Write currents and activities of rows x [C, D]; a row of zeros has n = 0 and answers 0."""
    rows = x.shape[0]
    for c in range(rows):
        n = active_inputs(x[c], scratch.active[c], scratch.z[c])
        scratch.counts[c] = n if on_sphere(scratch.z[c, :n], settings.p) else 0
    powered = units.weights if settings.p == 4 else units.powered
    _products(powered, scratch, rows, scratch.current)
    if settings.dot:
        _products(units.weights, scratch, rows, scratch.plain)
    for c in range(rows):
        n = scratch.counts[c]
        if n == 0:
            out[c] = 0
            continue
        current = scratch.current[c]
        if settings.dot:
            current = scratch.plain[c]
            factor = np.float32(1.0 / length(scratch.z[c, :n]))
            for h in range(current.shape[0]):
                current[h] *= factor
        activate(
            current,
            units.alive,
            settings.power,
            settings.from_mean,
            settings.scaled,
            scratch.base,
            out[c],
        )


@inlined
def _scores(units: Units, settings: Settings, current: F32, score: F32) -> None:
    """Write I - conscience (load - 1) [H], -1 without weights; load <- (1 - 1/H) load."""
    conscience, load = np.float32(settings.conscience), units.load
    fade = np.float32(1 - 1 / load.shape[0])
    for h in range(load.shape[0]):
        driven = current[h] - conscience * (load[h] - np.float32(1))
        score[h] = driven if units.alive[h] > 0 else _NOTHING
        load[h] *= fade


@inlined
def _by_ranks(units: Units, settings: Settings, scratch: Scratch) -> int:
    """Write g [H]: 1 for the highest score, -delta for the k-th; returns the winner."""
    key, score, g = scratch.key, scratch.base, scratch.g
    for h in range(key.shape[0]):
        key[h] = key_of(score[h]) if units.alive[h] > 0 else LAST
        g[h] = 0
    highest = highest_of(key)
    winner = place_of(key, highest, 1)
    loser = unit_of_rank(key, settings.k, highest) if settings.delta > 0 else -1
    if loser >= 0:
        g[loser] = np.float32(-settings.delta)
    g[winner] = 1
    return winner


@inlined
def _by_dynamics(units: Units, settings: Settings, scratch: Scratch) -> int:
    """Write g [H] of the steady state; returns the most active unit, -1 where none is."""
    g, inhibition = scratch.g, np.float32(settings.inhibition)
    steps = settle(scratch.base, inhibition, settings.max_steps, scratch.room)
    note(units.figures, units.clock[0], 1, 1.0 if steps > settings.max_steps else 0.0)
    h_star, activity = np.float32(settings.h_star), scratch.room[0]
    for h in range(g.shape[0]):
        below = np.float32(-settings.delta) if activity[h] > 0 else np.float32(0)
        g[h] = np.float32(1) if activity[h] > h_star else below
    winner = most_active(activity)
    return winner if activity[winner] > 0 else -1


@inlined
def _by_itself(units: Units, settings: Settings, scratch: Scratch, current: F32) -> int:
    """Write g = Q = I / |W|_p^(p-1) [H]; returns the unit of the highest."""
    g = scratch.g
    for h in range(g.shape[0]):
        size = units.size[h]
        overlap = current[h] * root(size, settings.p) / size if size > 0 else 0.0
        g[h] = np.float32(overlap)
    return most_active(g)


@inlined
def _value(units: Units, settings: Settings, current: F32, g: F32) -> float:
    """Sum over units of G(Q), G' = g: g Q for steps, Q^2 / 2 where g is Q itself (eq. 3)."""
    total = 0.0
    for h in range(g.shape[0]):
        size = units.size[h]
        if g[h] != 0 and size > 0:
            overlap = current[h] * root(size, settings.p) / size
            total += g[h] * overlap * (0.5 if settings.competition == ALONE else 1.0)
    return total


@inlined
def _learn_row(units: Units, settings: Settings, scratch: Scratch, c: int) -> None:
    """Gather what row c teaches; the last one of a minibatch makes the step."""
    current = scratch.current[c]
    _scores(units, settings, current, scratch.base)
    if settings.competition == RANKING:
        winner = _by_ranks(units, settings, scratch)
    elif settings.competition == DYNAMICS:
        winner = _by_dynamics(units, settings, scratch)
    else:
        winner = _by_itself(units, settings, scratch, current)
    if winner >= 0:
        units.load[winner] += 1
        units.last_win[winner] = units.clock[0]
    note(units.figures, units.clock[0], 0, _value(units, settings, current, scratch.g))
    if settings.rate > 0:
        gather(units, scratch, c)
        units.pending[0] += 1
    if units.pending[0] >= settings.minibatch:
        step(units, settings, scratch)


@inlined
def _due(units: Units, settings: Settings) -> int:
    """First unit that has waited too long for a win, between minibatches only; -1: none has.

    When the annealed schedule is over, only units without weights take a row.
    """
    if units.pending[0] > 0:
        return -1
    over = 0 < settings.anneal_rows <= units.clock[0]
    patience = _FOREVER if over else settings.patience
    for h in range(units.last_win.shape[0]):
        if units.clock[0] + 1 - units.last_win[h] > patience:
            return h
    return -1


@kernel
def learn(x: F32, units: Plain, settings: Plain, scratch: Plain, out: F32) -> None:
    """For each row x [B, D] in order: write its activity out [B, H], then learn it.

    The tuples are a `Units`, a `Settings` and a `Scratch` as plain ones.
    """
    state, setting, room = Units(*units), Settings(*settings), Scratch(*scratch)
    first = 0
    while first < x.shape[0]:
        waiting = _due(state, setting)
        rows = min(TOGETHER, x.shape[0] - first, setting.minibatch - state.pending[0])
        rows = 1 if waiting >= 0 else rows
        _answer(x[first : first + rows], state, setting, room, out[first : first + rows])
        for c in range(rows):
            if room.counts[c] == 0:
                continue
            state.clock[0] += 1
            if waiting >= 0:
                recruit(state, setting, room, waiting)
            else:
                _learn_row(state, setting, room, c)
        first += rows


@kernel
def infer(x: F32, units: Plain, settings: Plain, scratch: Plain, out: F32) -> None:
    """Write the activities out [B, H] of the rows x [B, D]; only scratch is written besides."""
    state, setting, room = Units(*units), Settings(*settings), Scratch(*scratch)
    for first in range(0, x.shape[0], TOGETHER):
        last = min(first + TOGETHER, x.shape[0])
        _answer(x[first:last], state, setting, room, out[first:last])


@kernel
def derive(units: Plain, p: float) -> None:
    """Write powers [D, H] and who has weights [H] from weights and sizes."""
    state = Units(*units)
    D, H = state.weights.shape
    if p != 4:
        for i in range(D):
            for h in range(H):
                state.powered[i, h] = signed_power(state.weights[i, h], p)
    for h in range(H):
        state.alive[h] = np.float32(1) if state.size[h] > 0 else np.float32(0)
