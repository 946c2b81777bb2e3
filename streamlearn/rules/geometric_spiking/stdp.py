"""Spike-timing-dependent plasticity of edges from clocks and units: pairs, traces, latencies.

An edge keeps a trace x of the signals that arrived along it, a unit a trace y of its own spikes;
both decay (tau_plus, tau_minus) and grow by 1. Where a signal arrives, w falls by a_minus y, where
its unit fires, w grows by a_plus x: what counts is when a signal arrives, not when it was sent
(Morrison, Diesmann & Gerstner, Biological Cybernetics 98, 2008). With multiplicative bounds a step
is scaled by how far the weight is from the bound that it moves towards. A signal that comes to a
refractory unit moves weights and traces all the same; the unit alone ignores it.

A spike goes along its edges as a wave, from the shortest latency to the longest, so that a signal
carries the weight that the edge has when it arrives.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.rules.geometric_spiking.state import MINUS, PLUS, Module, Net, Now

_FADED = np.float32(1e-20)
"""Traces are written anew, as of now, before they have decayed by more than this."""


@inlined
def _bound(net: Net, place: int, side: int) -> np.float32:
    """Lowest (0) or highest (1) weight of an edge."""
    return net.bounds[0, side] if net.birth[place] >= 0 else net.bounds[1, side]  # type: ignore[no-any-return]


@inlined
def refresh(module: Module, now: Now, t: int) -> None:
    """Write traces of signals anew, as of step t, where they have faded far."""
    faded = module.net.decays[PLUS, t - now.before_from[0]]
    if faded < _FADED:
        for place in range(now.before.shape[0]):
            now.before[place] *= faded
        now.before_from[0] = t


@inlined
def _fall(module: Module, now: Now, edge: int, t: int) -> None:
    """Lower the weight by what its unit fired before."""
    net, work, a = module.net, module.scratch.work, module.setting.a_minus
    j, place = net.targets[edge], net.places[edge]
    if a > 0.0 and now.after[j] > 0:
        lowest = _bound(net, place, 0)
        step = a * now.after[j] * net.decays[MINUS, t - now.after_step[j]]
        if module.setting.soft > 0.0:
            step *= (work[place] - lowest) * module.setting.soft
        work[place] = max(np.float32(work[place] - step), lowest)


@inlined
def _reach(module: Module, now: Now, edge: int, t: int) -> None:
    """A signal comes to the end of its edge at step t: add it to the calendar, move the weight."""
    net, scratch = module.net, module.scratch
    H, place = net.thresholds.shape[0], net.places[edge]
    scratch.calendar[t * H + net.targets[edge]] += scratch.work[place]
    _fall(module, now, edge, t)
    now.before[place] += np.float32(1.0) / net.decays[PLUS, t - now.before_from[0]]


@inlined
def deliver(module: Module, now: Now, t: int, waves: int) -> tuple[int, bool]:
    """Take all waves to step t; returns how many are still under way, and whether one arrived."""
    net, base = module.net, module.net.first[module.setting.inputs]
    kept, arrived = 0, False
    for i in range(waves):
        source, start, edge = now.waves[0, i], now.waves[1, i], now.waves[2, i]
        end = net.first[source + 1] - base
        while edge < end and start + net.delays[edge] <= t:
            _reach(module, now, edge, t)
            edge += 1
            arrived = True
        if edge < end:
            now.waves[0, kept], now.waves[1, kept], now.waves[2, kept] = source, start, edge
            kept += 1
    return kept, arrived


@inlined
def launch(module: Module, now: Now, source: int, t: int, waves: int) -> int:
    """Put a spike on its way; returns how many are, one too many where there is no room."""
    first, base = module.net.first, module.net.first[module.setting.inputs]
    if first[source] == first[source + 1]:
        return waves
    if waves < now.waves.shape[1]:
        now.waves[0, waves] = source
        now.waves[1, waves] = t
        now.waves[2, waves] = first[source] - base
    return waves + 1


@inlined
def rise(module: Module, now: Now, j: int, t: int) -> None:
    """Unit j fires: raise the weights of the signals that came before."""
    net, work, before = module.net, module.scratch.work, now.before
    soft, one = np.float32(module.setting.soft), np.float32(1.0)
    a = np.float32(module.setting.a_plus) * net.decays[PLUS, t - now.before_from[0]]
    for place in range(net.into_first[j], net.into_first[j + 1]):
        highest = _bound(net, place, 1)
        room = (highest - work[place]) * soft if soft > 0 else one
        work[place] = min(work[place] + a * before[place] * room, highest)
    now.after[j] = now.after[j] * net.decays[MINUS, t - now.after_step[j]] + 1
    now.after_step[j] = t


@inlined
def settle(module: Module, now: Now, end: int) -> None:
    """Traces as they are at the end of the window, which is step 0 of the next one."""
    faded = module.net.decays[PLUS, end - now.before_from[0]]
    for place in range(now.before.shape[0]):
        x = now.before[place] * faded
        now.before[place] = x if x > _FADED else np.float32(0.0)
    now.before_from[0] = 0
    for j in range(now.after.shape[0]):
        now.after[j] *= module.net.decays[MINUS, end - now.after_step[j]]
        now.after_step[j] = 0
