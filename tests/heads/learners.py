"""Heads built small, and streams to teach them."""

from typing import Any

import numpy as np

from streamlearn.heads import HEADS
from streamlearn.part import F32, I32, Place, Rows
from streamlearn.schema import resolve


def build(name: str, width: int, classes: int, **options: Any) -> Any:
    """A head by its name."""
    kind = resolve(HEADS[name])
    return kind(kind.Options(kind=name, **options), Place(width, (width,), classes, 1))


def learn(head: Any, x: F32, y: I32) -> F32:
    """Learn rows [B, D]; returns the scores [B, K] from before each was learned."""
    out = np.zeros((len(x), head.width_out), np.float32)
    head.learn(Rows(x, out, y, 0))
    return out


def infer(head: Any, x: F32) -> F32:
    """Scores [B, K] of rows [B, D]."""
    out = np.zeros((len(x), head.width_out), np.float32)
    head.infer(x, out)
    return out


def error(scores: F32, y: I32) -> float:
    """Share of rows whose largest score is another class's."""
    return float((scores.argmax(axis=1) != y).mean())


def clouds(
    count: int, width: int, classes: int, seed: int = 0, spread: float = 1.0
) -> tuple[F32, I32]:
    """Gaussian clouds around fixed centres: rows [B, D] and labels [B]."""
    centres = np.random.default_rng(99).standard_normal((classes, width))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    x = centres[y] + spread * rng.standard_normal((count, width))
    return np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.int32)
