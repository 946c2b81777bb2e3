"""A row of a layer of local receptive fields: answered, then learned from, one at a time.

P positions, m of them with contrast, U channels a position, R regions, K classes.
"""

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32
from streamlearn.rules.forward_forward.negatives import remember
from streamlearn.rules.forward_forward_fields.compete import compete
from streamlearn.rules.forward_forward_fields.contrast import contrast
from streamlearn.rules.forward_forward_fields.kernels import normalise_row, pool, see, write
from streamlearn.rules.forward_forward_fields.labels import believe, follow_label
from streamlearn.rules.forward_forward_fields.state import (
    COMPETE,
    CONTRAST,
    Geometry,
    Machine,
    Plain,
    Room,
    Setting,
    State,
    View,
)
from streamlearn.rules.forward_forward_fields.steps import FADE


@inlined
def _machine(parts: Plain) -> Machine:
    state, setting, geometry, view, made, negatives, room = parts
    return Machine(
        State(*state),
        Setting(*setting),
        Geometry(*geometry),
        View(*view),
        View(*made),
        negatives,
        Room(*room),
    )


@inlined
def _answer(machine: Machine, x: F32, out: F32) -> int:
    """Write the answer out [R U] of a row and its beliefs; returns m."""
    normalise_row(x, machine.seen.z)
    m = see(machine.state, machine.setting, machine.geometry, machine.seen)
    pool(machine.setting, machine.geometry, machine.seen, m, machine.room.pooled)
    write(machine.room.pooled, out)
    believe(machine, m, out)
    return m


@inlined
def _use(usage: F32, pooled: F32) -> None:
    fade = np.float32(FADE)
    for i in range(usage.shape[0]):
        active = np.float32(1) if pooled[i] > 0 else np.float32(0)
        usage[i] += fade * (active - usage[i])


@inlined
def _tell(evidence: F32, scores: F32) -> None:
    """Write the scores [K], where somebody wants any; evidence [K]."""
    for k in range(scores.shape[0]):
        scores[k] = evidence[k]


@inlined
def _learn_row(machine: Machine, m: int, y: int, row: int, out: F32) -> None:
    """Learn the row that was just answered; a row in which nothing is seen teaches nothing."""
    state, setting = machine.state, machine.setting
    if m == 0:
        return
    _use(state.usage, machine.room.pooled)
    learned = True
    if setting.goal == COMPETE:
        compete(state, setting, machine.seen, m, machine.room, row)
    elif setting.goal == CONTRAST:
        learned = contrast(machine, m, row)
        remember(machine.negatives, machine.seen.z, machine.room.pooled, row)
    elif 0 <= y < machine.room.evidence.shape[0]:
        follow_label(machine, m, y, out)
    else:
        learned = False
    state.clock[0] += int(learned)


@kernel
def learn(x: F32, y: I32, out: F32, scores: F32, first: int, parts: Plain) -> None:
    """For each row x [B, D] in order: write its answer out [B, R U] and scores, then learn it.

    scores is [B, K] or [0, K], first the number of the first row; parts are those of a `Machine`
    as plain tuples.
    """
    machine = _machine(parts)
    for b in range(x.shape[0]):
        m = _answer(machine, x[b], out[b])
        if scores.shape[0] > 0:
            _tell(machine.room.evidence, scores[b])
        _learn_row(machine, m, y[b], first + b, out[b])


@kernel
def respond(x: F32, out: F32, scores: F32, parts: Plain) -> None:
    """Write answers and scores as `learn` does; only the room in parts is written besides."""
    machine = _machine(parts)
    for b in range(x.shape[0]):
        _answer(machine, x[b], out[b])
        if scores.shape[0] > 0:
            _tell(machine.room.evidence, scores[b])
