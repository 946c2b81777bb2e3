"""Row by row: a window each, what it is written as, and what is kept of it."""

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.rules.geometric_spiking import dynamics, encoding
from streamlearn.rules.geometric_spiking.state import (
    ROWS,
    RUNAWAY,
    RUNAWAY_SHARE,
    SILENT,
    SILENT_SHARE,
    SPIKES,
    Module,
    Net,
    Past,
    Plain,
    Scratch,
    Setting,
    Store,
)

_FIGURE_ROWS = 1000


@inlined
def _keep(there: int | None, module: Module) -> None:
    """Make the weights at the end of the window those of the network."""
    if there is not None and module.setting.stdp == 1:
        base = module.net.first[module.setting.inputs]
        for e in range(module.scratch.work.shape[0]):
            module.net.weights[base + module.net.into[e]] = module.scratch.work[e]


@inlined
def _count(module: Module) -> None:
    """Count the spikes of every unit in the window."""
    scratch = module.scratch
    for j in range(scratch.fires.shape[0]):
        scratch.fires[j] = 0
    for n in range(scratch.spikes[0]):
        scratch.fires[scratch.spike_unit[n]] += 1


@inlined
def _note(module: Module, cut: bool) -> None:  # noqa: FBT001  a kernel's
    """Bring the figures up to date."""
    store, scratch = module.store, module.scratch
    H, spikes = scratch.fires.shape[0], scratch.spikes[0]
    share = max(1.0 / (store.counts[ROWS] + 1.0), 1.0 / _FIGURE_ROWS)
    silent, ran = 1 if spikes == 0 else 0, 1 if cut else 0
    store.counts[ROWS] += 1
    store.counts[SILENT] += silent
    store.counts[RUNAWAY] += ran
    store.figures[SPIKES] += share * (spikes / H - store.figures[SPIKES])
    store.figures[SILENT_SHARE] += share * (silent - store.figures[SILENT_SHARE])
    store.figures[RUNAWAY_SHARE] += share * (ran - store.figures[RUNAWAY_SHARE])
    for j in range(H):
        fires = 1 if scratch.fires[j] > 0 else 0
        store.usage[j] += np.float32(share) * (fires - store.usage[j])


@inlined
def _balance(module: Module) -> None:
    """Move thresholds towards the wanted number of spikes: theta *= exp(rate (n - target))."""
    setting, thresholds = module.setting, module.net.thresholds
    for j in range(thresholds.shape[0]):
        change = setting.threshold_rate * (module.scratch.fires[j] - setting.target)
        moved = thresholds[j] * np.exp(min(max(change, -1.0), 1.0))
        thresholds[j] = min(max(moved, setting.least_threshold), 1e6)


@kernel
def run(
    rows: Plain, origin: Plain, net: Plain, past: Plain, store: Plain, numbers: Plain, room: Plain
) -> None:
    """For each row in order: simulate its window, write its encoding, learn from it where wanted.

    rows: (x [B, D], out [B, W], whether to learn); out is written. origin: (slot, begins), [B]
    each. The others are a `Net`, a `Past`, a `Store`, a `Setting` and a `Scratch` as plain tuples.
    Without learning only the past moves. A window that was cut teaches no weight.
    """
    x, out, learns = rows
    slots, begins = origin
    module = Module(Net(*net), Past(*past), Store(*store), Setting(*numbers), Scratch(*room))
    for b in range(x.shape[0]):
        slot = int(slots[b]) if module.setting.carry else 0
        cut = dynamics.window(module, x[b], slot, begins[b] != 0)
        encoding.encode(module, out[b])
        if learns:
            _count(module)
            _note(module, cut)
            if not cut:
                _keep(module.setting.stdp, module)
            if module.setting.target > 0.0:
                _balance(module)
