"""Made-up streams on which modules of `greedy_infomax` are tried."""

from typing import Any, Final

import numpy as np

from streamlearn.part import F32, Beside, Origin, Place, Rows
from streamlearn.rules.greedy_infomax import GreedyInfomax, GreedyInfomaxOptions

WIDTH: Final = 12
STREAMS: Final = 4


def module(
    options: dict[str, Any],
    *,
    live: int = STREAMS,
    shape: tuple[int, ...] = (WIDTH,),
    seed: int = 3,
) -> GreedyInfomax:
    """A small module with room for some streams."""
    given: dict[str, Any] = {"units": 16, "warm_rows": 16}
    if options.get("loss") != "lpl" and options.get("negatives_from") != "positions":
        given["reservoir_rows"] = 200
    if "loss" not in options:
        given["negatives"] = 8
    given |= options
    place = Place(int(np.prod(shape)), shape, 0, seed, live=live)
    return GreedyInfomax(GreedyInfomaxOptions(rule="greedy_infomax", **given), place)


def turning(rows: int, *, width: int = WIDTH, seed: int = 0) -> F32:
    """Streams [B, D], each a slow circle in a plane of its own with noise: easy to foresee."""
    rng = np.random.default_rng(seed)
    planes = rng.standard_normal((STREAMS, 2, width))
    t = 0.15 * (np.arange(rows) // STREAMS)[:, None]
    circle = np.concatenate([np.cos(t), np.sin(t)], axis=1)
    x = np.einsum("bi,bid->bd", circle, planes[np.arange(rows) % STREAMS])
    return np.ascontiguousarray(x + 0.3 * rng.standard_normal((rows, width)), np.float32)


def noise(rows: int, *, width: int = WIDTH, seed: int = 0) -> F32:
    """Rows [B, D] of which none says anything of another."""
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


def by_turns(rows: int, *, streams: int = STREAMS, begin: bool = True) -> Origin:
    """The origin of rows that the streams send by turns, two of them from each device."""
    slot = (np.arange(rows) % streams).astype(np.int32)
    begins = ((np.arange(rows) < streams) & begin).astype(np.uint8)
    return Origin(slot, begins, slot + 10, slot // 2)


def learn(
    part: Any, x: F32, origin: Origin | None, first: int = 0, how: str = "learn"
) -> tuple[F32, F32]:
    """Learn rows, or `follow` or `respond`; returns what was written and the surprise."""
    n = len(x)
    out = np.full((n, part.width_out), np.nan, np.float32)
    surprise = np.full((n, 1), np.nan, np.float32)
    none = np.zeros((n, 0), np.float32)
    beside = Beside(none.reshape(n, 0, 0), none.reshape(n, 0, 0), none, surprise)
    getattr(part, how)(Rows(x, out, np.full(n, -1, np.int32), first, beside, origin))
    return out, surprise[:, 0]


def state(part: Any) -> dict[str, bytes]:
    """The bits of every array."""
    return {name: array.tobytes() for name, array in part.arrays().items()}
