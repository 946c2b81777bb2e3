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

from streamlearn.kernels import inlined
from streamlearn.part import F32, I32
from streamlearn.rules.geometric_spiking.state import MINUS, PLUS, Module, Net, Now


@inlined
def _bounded(net: Net, edge: int, weight: float) -> float:
    """The weight within the bounds of the edge."""
    born = 0 if net.birth[edge] >= 0 else 1
    return float(min(max(weight, net.bounds[born, 0]), net.bounds[born, 1]))


@inlined
def _room(net: Net, soft: float, edge: int, weight: float, side: int) -> float:
    """Factor of a step towards the lower (0) or upper (1) bound; 1 without soft ones."""
    if soft == 0.0:
        return 1.0
    born = 0 if net.birth[edge] >= 0 else 1
    return float(abs(net.bounds[born, side] - weight) * soft)


@inlined
def _fall(module: Module, now: Now, edge: int, t: int) -> None:
    """Lower the weight by what its unit fired before."""
    net, a = module.net, module.setting.a_minus
    j = net.targets[edge]
    if a > 0.0 and now.after[j] > 0:
        y = now.after[j] * net.decays[MINUS, t - now.after_step[j]]
        w = module.scratch.work[edge]
        step = a * y * _room(net, module.setting.soft, edge, w, 0)
        module.scratch.work[edge] = _bounded(net, edge, w - step)


@inlined
def _reach(module: Module, now: Now, edge: int, t: int) -> None:
    """A signal comes to the end of its edge at step t: add it to the calendar, move the weight."""
    net, scratch = module.net, module.scratch
    H = net.thresholds.shape[0]
    scratch.calendar[t * H + net.targets[edge]] += scratch.work[edge]
    _fall(module, now, edge, t)
    decay = net.decays[PLUS, t - now.before_step[edge]]
    now.before[edge] = now.before[edge] * decay + 1
    now.before_step[edge] = t


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
    net, work = module.net, module.scratch.work
    for i in range(net.into_first[j], net.into_first[j + 1]):
        edge = net.into[i]
        if now.before[edge] > 0:
            x = now.before[edge] * net.decays[PLUS, t - now.before_step[edge]]
            w = work[edge]
            step = module.setting.a_plus * x * _room(net, module.setting.soft, edge, w, 1)
            work[edge] = _bounded(net, edge, w + step)
    now.after[j] = now.after[j] * net.decays[MINUS, t - now.after_step[j]] + 1
    now.after_step[j] = t


@inlined
def settle(trace: F32, step: I32, decays: F32, end: int) -> None:
    """Traces as they are at the end of the window, which is step 0 of the next one."""
    for i in range(trace.shape[0]):
        trace[i] *= decays[end - step[i]]
        step[i] = 0
