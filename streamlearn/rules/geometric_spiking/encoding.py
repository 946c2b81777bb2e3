"""What a window is written as.

    counts        n_j, spikes of unit j
    first_spikes  1 - t_j / T of its first spike at t_j, 0 where it was silent
    path          c_kj spikes of unit j in bin k, smoothed: p_k = exp(-bin / smooth) p_(k-1) + c_k;
                  of every few bins the last one
    weights       w(t) - w(0) of every plastic edge, by target and then by source, at the times of
                  sample_ms, side by side

Then sign(z) |z|^power, folded to fewer numbers by signed random places, and made of length 1.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32, I32
from streamlearn.rules.geometric_spiking.state import (
    COUNTS,
    FIRST_SPIKES,
    PATH,
    WEIGHTS,
    Module,
)


@inlined
def _spread(module: Module) -> None:
    """Write the spikes to scratch.code, by unit, or by bin and unit."""
    setting, scratch = module.setting, module.scratch
    H, code = scratch.fires.shape[0], scratch.code
    for i in range(code.shape[0]):
        code[i] = 0
    for n in range(scratch.spikes[0]):
        t, j = scratch.spike_step[n], scratch.spike_unit[n]
        if setting.gives == COUNTS:
            code[j] += 1
        elif setting.gives == FIRST_SPIKES:
            if code[j] == 0:
                code[j] = 1 - t / setting.steps
        else:
            code[int((t + 1e-6) / setting.bin_steps) * H + j] += 1


@inlined
def _smooth(module: Module) -> int:
    """Smooth the bins in scratch.code and draw the chosen ones together; returns their numbers."""
    setting, code = module.setting, module.scratch.code
    H, every, smooth = module.scratch.fires.shape[0], setting.every_bins, np.float32(setting.smooth)
    bins, picked = code.shape[0] // H, 0
    for k in range(1, bins):
        for j in range(H):
            code[k * H + j] += smooth * code[(k - 1) * H + j]
    for k in range(every - 1, bins, every):
        for j in range(H):
            code[picked * H + j] = code[k * H + j]
        picked += 1
    return int(picked * H)


@inlined
def _bend(code: F32, width: int, power: float) -> None:
    """Each of the first numbers with its size to a power: sign(z) |z|^power."""
    if power == 0.5:
        for i in range(width):
            code[i] = np.copysign(np.sqrt(abs(code[i])), code[i])
    elif power != 1.0:
        exponent = np.float32(power)
        for i in range(width):
            if code[i] != 0:
                code[i] = np.copysign(abs(code[i]) ** exponent, code[i])


@inlined
def _fold(code: F32, width: int, buckets: I32, out: F32) -> None:
    """Write the first numbers to out, each at its own place, or added to or taken from a bucket."""
    if buckets.shape[0] == 0:
        for i in range(width):
            out[i] = code[i]
    else:
        for i in range(out.shape[0]):
            out[i] = 0
        for i in range(width):
            place = abs(buckets[i]) - 1
            out[place] += code[i] if buckets[i] > 0 else -code[i]


@inlined
def _shorten(out: F32) -> None:
    """Make out [W] of length 1; all zeros stay."""
    total = 0.0
    for i in range(out.shape[0]):
        total += np.float64(out[i]) * out[i]
    if total > 0.0:
        factor = np.float32(1.0 / np.sqrt(total))
        for i in range(out.shape[0]):
            out[i] *= factor


@inlined
def encode(module: Module, out: F32) -> None:
    """Write what happened in the window to out."""
    setting, code = module.setting, module.scratch.code
    width = code.shape[0]
    if setting.gives != WEIGHTS:
        _spread(module)
    if setting.gives == PATH:
        width = _smooth(module)
    _bend(code, width, setting.power)
    _fold(code, width, module.net.buckets, out)
    if setting.unit_norm:
        _shorten(out)
