"""A window of simulated time: signals arrive by a calendar, units sum them and fire.

The calendar has a line [H] for every step. A spike adds its weights to the lines in which they
arrive; lines up to the last arrival are looked at, and only those with an arrival are worked out,
by decays over the steps in between. That is the same as going through every step.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.geometric_spiking import stdp
from streamlearn.rules.geometric_spiking.coding import spike_of
from streamlearn.rules.geometric_spiking.state import (
    FAST,
    NONE,
    SLOW,
    SUBTRACT,
    Module,
    Now,
)

_TINY = np.float32(1e-30)
"""Sums below are none: numbers near the end of float32 would slow the machine down."""


@inlined
def _send(module: Module, source: int, t: int) -> int:
    """Put the spike of a source at step t into the calendar; returns its last arrival, or -1."""
    net, H = module.net, module.net.thresholds.shape[0]
    begin, end = net.first[source], net.first[source + 1]
    onward = module.scratch.calendar[t * H :]
    for e in range(begin, end):
        onward[net.cells[e]] += net.weights[e]
    return t + int(net.cells[end - 1]) // H if end > begin else -1


@inlined
def _hear(module: Module, x: F32) -> int:
    """Put what input nodes fire for a row x [D] into the calendar; returns the last arrival."""
    until = -1
    for node in range(module.setting.inputs):
        t = spike_of(module.setting, x, node)
        if t >= 0:
            until = max(until, _send(module, node, t))
    return until


@inlined
def _tick(there: int | None, module: Module, until: int) -> int:
    """Clocks without plasticity are as inputs; returns the last arrival."""
    if there is None:
        for c in range(module.net.clock_steps.shape[0]):
            t = int(module.net.clock_steps[c])
            until = max(until, _send(module, module.setting.inputs + c, t))
    return until


@inlined
def _advance(module: Module, now: Now, line: F32, t: int, gap: int) -> int:
    """Add the arrivals line [H] of step t, gap steps after the last ones; empties the line.

    Returns how many units fire; scratch.fired says which.
    """
    net, fired = module.net, module.scratch.fired
    keep_fast, keep_slow = net.decays[FAST, gap], net.decays[SLOW, gap]
    balance, none = np.float32(module.setting.balance), np.float32(0.0)
    fast, slow, free, thresholds = now.fast, now.slow, now.free, net.thresholds
    step, count = np.int32(t), np.int32(0)
    for j in range(line.shape[0]):
        a = line[j] if free[j] <= step else none
        line[j] = none
        f = fast[j] * keep_fast + a
        s = slow[j] * keep_slow + a
        fast[j] = f if abs(f) > _TINY else none
        slow[j] = s if abs(s) > _TINY else none
        fires = np.int32((a != none) & (f - balance * s >= thresholds[j]))
        fired[j] = fires
        count = np.int32(count + fires)
    return int(count)


@inlined
def _touched(line: F32) -> bool:
    """Whether anything arrives."""
    total = np.float32(0.0)
    for j in range(line.shape[0]):
        total += abs(line[j])
    return bool(total > 0)


@inlined
def _reset(module: Module, now: Now, j: int, t: int) -> None:
    """Unit j has fired at step t."""
    kind = module.setting.reset
    now.free[j] = t + module.net.refractory[j]
    if kind == SUBTRACT:
        now.fast[j] -= module.net.thresholds[j]
    elif kind != NONE:
        now.fast[j] = 0
        now.slow[j] = 0


@inlined
def _pass_on(there: int | None, module: Module, now: Now, j: int, t: int, waves: int) -> int:
    """Send the spike of unit j on plastic edges; returns how many waves there are."""
    if there is not None:
        source = module.setting.inputs + module.net.clock_steps.shape[0] + j
        stdp.rise(module, now, j, t)
        return stdp.launch(module, now, source, t, waves)
    return waves


@inlined
def _scatter(there: int | None, module: Module, j: int, t: int) -> int:
    """Send it on edges that stand; returns its last arrival, or -1."""
    if there is None:
        return _send(module, module.setting.inputs + module.net.clock_steps.shape[0] + j, t)
    return -1


@inlined
def _fire(module: Module, now: Now, t: int, until: int, waves: int) -> tuple[int, int, bool]:
    """Fire the units that scratch.fired names, until there are too many spikes.

    Returns the last arrival, the waves and whether the network runs away.
    """
    scratch, there = module.scratch, module.setting.stdp
    for j in range(scratch.fired.shape[0]):
        if scratch.fired[j]:
            if scratch.spikes[0] == scratch.spike_step.shape[0]:
                return until, waves, True
            scratch.spike_step[scratch.spikes[0]] = t
            scratch.spike_unit[scratch.spikes[0]] = j
            scratch.spikes[0] += 1
            _reset(module, now, j, t)
            until = max(until, _scatter(there, module, j, t))
            waves = _pass_on(there, module, now, j, t, waves)
            if waves > now.waves.shape[1]:
                return until, now.waves.shape[1], True
    return until, waves, False


@inlined
def _move(
    there: int | None, module: Module, now: Now, t: int, waves: int, clock: int
) -> tuple[int, int, bool]:
    """Launch the clocks of step t and take all waves there.

    Returns the waves, the clocks that have fired, and whether something arrived.
    """
    if there is None:
        return waves, clock, False
    steps = module.net.clock_steps
    while clock < steps.shape[0] and steps[clock] <= t:
        waves = stdp.launch(module, now, module.setting.inputs + clock, t, waves)
        clock += 1
    waves = min(waves, now.waves.shape[1])
    stdp.refresh(module, now, t)
    kept, arrived = stdp.deliver(module, now, t, waves)
    return kept, clock, arrived


@inlined
def _sample(module: Module, taken: int, t: int) -> int:
    """Read the weights at all times up to t; returns how many were read."""
    net, scratch = module.net, module.scratch
    P = scratch.work.shape[0]
    while taken < net.sample_steps.shape[0] and net.sample_steps[taken] <= t:
        for e in range(P):
            scratch.code[taken * P + e] = scratch.work[e] - scratch.begun[e]
        taken += 1
    return taken


@inlined
def _go(module: Module, now: Now, until: int, waves: int) -> tuple[int, int, int, bool]:
    """Run the window with what is in the calendar, up to step `until`, and waves under way.

    Returns the last arrival, waves under way, the step of the sums, and whether it ran away.
    """
    net, setting, scratch = module.net, module.setting, module.scratch
    H, T, clocks = net.thresholds.shape[0], setting.steps, net.clock_steps.shape[0]
    last = taken = clock = 0
    cut = False
    for t in range(T):
        waiting = setting.stdp is not None and (waves > 0 or clock < clocks)
        if cut or (t > until and not waiting):
            break
        taken = _sample(module, taken, t)
        waves, clock, arrived = _move(setting.stdp, module, now, t, waves, clock)
        if arrived:
            until = max(until, t)
        line = scratch.calendar[t * H : (t + 1) * H]
        if t <= until and _touched(line):
            fires = _advance(module, now, line, t, t - last)
            last = t
            if fires > 0:
                until, waves, cut = _fire(module, now, t, until, waves)
    _sample(module, taken, T)
    return until, waves, last, cut


@inlined
def _clear(module: Module, now: Now, slot: int) -> None:
    """Nothing is left of the past of a slot."""
    for j in range(now.fast.shape[0]):
        now.fast[j] = now.slow[j] = now.after[j] = 0
        now.free[j] = now.after_step[j] = 0
    for e in range(now.before.shape[0]):
        now.before[e] = 0
    now.before_from[0] = 0
    module.past.until[slot] = 0
    module.past.under_way[slot] = 0


@inlined
def _take_up(module: Module, slot: int, until: int) -> int:
    """Add to the calendar what was under way in a slot; returns the last arrival."""
    pending, calendar = module.past.pending[slot], module.scratch.calendar
    H = pending.shape[1]
    steps = min(module.past.until[slot], pending.shape[0])
    for k in range(steps):
        for j in range(H):
            calendar[k * H + j] += pending[k, j]
    return int(max(until, steps - 1))


@inlined
def _leave(module: Module, slot: int, until: int) -> None:
    """Empty the calendar; what comes after the window is under way where anything is carried."""
    pending, calendar = module.past.pending[slot], module.scratch.calendar
    H, T = module.net.thresholds.shape[0], module.setting.steps
    for c in range(min(until + 1, T) * H):
        calendar[c] = 0
    for k in range(until + 1 - T):
        for j in range(H):
            if k < pending.shape[0]:
                pending[k, j] = calendar[(T + k) * H + j]
            calendar[(T + k) * H + j] = 0
    module.past.until[slot] = max(0, until + 1 - T)


@inlined
def _hand_on(module: Module, now: Now, slot: int, waves: int, last: int) -> None:
    """Make the end of the window the beginning of the next one."""
    net, T = module.net, module.setting.steps
    keep_fast, keep_slow = net.decays[FAST, T - last], net.decays[SLOW, T - last]
    for j in range(now.fast.shape[0]):
        now.fast[j] *= keep_fast
        now.slow[j] *= keep_slow
        now.free[j] = max(0, now.free[j] - T)
    _settle(module.setting.stdp, module, now)
    for i in range(waves):
        now.waves[1, i] -= T
    module.past.under_way[slot] = waves


@inlined
def _settle(there: int | None, module: Module, now: Now) -> None:
    if there is not None:
        stdp.settle(module, now, module.setting.steps)


@inlined
def window(module: Module, x: F32, slot: int, begins: bool) -> bool:  # noqa: FBT001  a kernel's
    """Simulate the window of a row x [D]; returns whether the network ran away and was cut.

    Writes the spikes, the plastic weights in scratch.work, samples of them in scratch.code and the
    past of the slot. A network that ran away begins anew.
    """
    past, setting, scratch = module.past, module.setting, module.scratch
    now = Now(
        past.fast[slot],
        past.slow[slot],
        past.free[slot],
        past.after[slot],
        past.after_step[slot],
        past.before[slot],
        past.before_from[slot : slot + 1],
        past.waves[slot],
    )
    if begins or setting.carry == 0:
        _clear(module, now, slot)
    base = module.net.first[setting.inputs]
    for e in range(scratch.work.shape[0]):
        scratch.work[e] = scratch.begun[e] = module.net.weights[base + module.net.into[e]]
    scratch.spikes[0] = 0
    until = _take_up(module, slot, _tick(setting.stdp, module, _hear(module, x)))
    until, waves, last, cut = _go(module, now, until, int(past.under_way[slot]))
    _leave(module, slot, until)
    if cut:
        _clear(module, now, slot)
    elif setting.carry:
        _hand_on(module, now, slot, waves, last)
    return cut
