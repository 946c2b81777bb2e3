"""Small networks for the tests of `geometric_spiking`, and rows that drive them."""

from typing import Any

import numpy as np

from streamlearn.part import F32, Origin, Place, Rows
from streamlearn.rules.geometric_spiking import GeometricSpiking

SHAPE = (8, 8)
PLAIN = {
    "layout": "plane",
    "coding": "active",
    "sigma": 0.0,
    "speed": 1.0,
    "latency_ms": 2.0,
    "jitter_ms": 0.0,
    "balance": 0.0,
    "window_ms": 60.0,
}
"""Every pixel above zero fires at once, and its signal reaches all units, by distance alone."""
RECURRENT = PLAIN | {
    "input_weights": "signed",
    "input_weight": 0.4,
    "p_recurrent": 0.5,
    "recurrent_weight": 0.5,
    "refractory_ms": 4.0,
    "reset": "zero",
}


def options_of(**changed: Any) -> Any:
    """Options of a network of 20 units, unless told otherwise."""
    return GeometricSpiking.Options(rule="geometric_spiking", **({"units": 20} | changed))


def network(shape: tuple[int, ...] = SHAPE, seed: int = 3, live: int = 4, **changed: Any) -> Any:
    """A network for rows of a shape."""
    return GeometricSpiking(options_of(**changed), place(shape, seed, live))


def place(shape: tuple[int, ...] = SHAPE, seed: int = 3, live: int = 4) -> Place:
    """Where it stands in the learner."""
    return Place(int(np.prod(shape)), shape, 3, seed, live=live)


def learn(part: Any, x: F32, slot: Any = 0, begins: Any = 0) -> F32:
    """Learn rows [B, D] of the streams in these slots; returns the encodings."""
    out = np.full((len(x), part.width_out), np.nan, np.float32)
    slots = np.broadcast_to(np.asarray(slot, np.int32), len(x)).copy()
    start = np.broadcast_to(np.asarray(begins, np.uint8), len(x)).copy()
    origin = Origin(slots, start, slots, slots)
    part.learn(Rows(x, out, np.full(len(x), -1, np.int32), 0, None, origin))
    return out


def pictures(count: int, seed: int = 1, share: float = 0.3) -> F32:
    """Rows [B, 64] of which so many pixels are above zero."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 1.0, (count, 64)) * (rng.random((count, 64)) < share)
    return np.ascontiguousarray(x, np.float32)


def pixel(*at: int) -> F32:
    """A row in which these pixels alone are on."""
    x = np.zeros((1, 64), np.float32)
    x[0, [*at]] = 1
    return x


def spikes_of(part: Any, x: F32) -> list[tuple[int, int]]:
    """Step and unit of each spike in the window of a row [1, D]."""
    seen = part.watch(x[0])
    return list(zip(seen.step.tolist(), seen.unit.tolist(), strict=True))
