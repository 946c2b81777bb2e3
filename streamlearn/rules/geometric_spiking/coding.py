"""Values as times of spikes.

With u the value's place in low … high, clipped to 0 … 1, and C = coding_ms in steps:

    active      u > 0 fires at 0
    latency     u > 0 fires at floor(C (1 - u)): the larger, the earlier
    signed      two nodes, for x and -x, each as above
    population  nodes with centres c_k evenly from 0 to 1 respond by r = exp(-(u - c_k)² / (2 w²)),
                w = 1 / (1.5 (n - 1)), and fire at floor(C (1 - r)) where r >= 0.1
                (Bohte, Kok & La Poutré, Neurocomputing 48, 2002)
"""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32
from streamlearn.rules.geometric_spiking.state import ACTIVE, POPULATION, SIGNED, Plain, Setting

NEVER: Final = -1
LEAST_RESPONSE: Final = 0.1
SHARPNESS: Final = 1.5


@inlined
def _at(setting: Setting, u: float) -> int:
    """The step at which strength u in 0 … 1 fires; `NEVER` for none."""
    if u <= 0.0:
        return NEVER
    if setting.coding == ACTIVE:
        return 0
    return int(np.floor(setting.coding_steps * (1.0 - u)))


@inlined
def _response(setting: Setting, u: float, k: int) -> float:
    """Of the k-th bump; 0 where it is too weak to fire."""
    last = setting.bumps - 1
    away = (u * last - k) * SHARPNESS
    r = np.exp(-0.5 * away * away)
    return r if r >= LEAST_RESPONSE else 0.0


@inlined
def spike_of(setting: Setting, x: F32, node: int) -> int:
    """The step at which an input node fires for the row x [D]; `NEVER` for none."""
    if setting.coding == POPULATION:
        value = np.float64(x[node // setting.bumps])
        u = min(max((value - setting.low) * setting.scale, 0.0), 1.0)
        return _at(setting, _response(setting, u, node % setting.bumps))
    if setting.coding == SIGNED:
        value = np.float64(x[node // 2])
        value = value if node % 2 == 0 else -value
    else:
        value = np.float64(x[node])
    return _at(setting, min(max((value - setting.low) * setting.scale, 0.0), 1.0))


@kernel
def hear(x: F32, numbers: Plain, steps: I32) -> None:
    """Write steps [N] at which input nodes fire for the row x [D]; numbers are a `Setting`."""
    setting = Setting(*numbers)
    for node in range(steps.shape[0]):
        steps[node] = spike_of(setting, x, node)
