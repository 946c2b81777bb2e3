"""Layers of local receptive fields, fast and slow: made and fed, for their tests."""

from typing import Any, Final

import numpy as np
import pytest

from streamlearn.part import F32, I32, Beside, Place, Rows
from streamlearn.rules.forward_forward_fields.layer import ForwardForwardFields

SEED: Final = 21
CLASSES: Final = 3
SHAPE: Final = (9, 8)
SMALL: Final = {"units": 6, "field": 3, "stride": 2, "pool": 2, "pool_stride": 1}
MODES: Final[dict[str, dict[str, Any]]] = {
    "compete": {"patches": 5, "silence": 0.2},
    "hybrid": {"negatives": "hybrid", "reservoir_rows": 4, "rate": 0.2},
    "pairing": {"negatives": "pairing", "loss": "threshold", "reservoir_rows": 9, "rate": 0.2},
    "blocks": {"labels": "blocks", "rate": 0.2},
    "projection": {"labels": "projection", "rate": 0.5},
    "sums": {"labels": "projection", "pooling": "sum", "rate": 0.1, "smoothing": 0.0},
}

every_mode = pytest.mark.parametrize("mode", MODES)
every_sharing = pytest.mark.parametrize("shared", [True, False], ids=["shared", "unshared"])


def layer(mode: str, cls: Any = ForwardForwardFields, shape: Any = SHAPE, **options: Any) -> Any:
    """A small layer, or its slow twin."""
    given_options = SMALL | MODES[mode] | options
    made = ForwardForwardFields.Options(rule="forward_forward_fields", **given_options)
    return cls(made, Place(int(np.prod(shape)), tuple(shape), CLASSES, SEED))


def images(count: int, shape: Any = SHAPE, seed: int = SEED) -> tuple[F32, I32]:
    """Rows [B, D] of a bright bar in one of three directions, half the pixels black; and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, count).astype(np.int32)
    x = np.maximum(rng.normal(0, 0.3, (count, *shape)), 0)
    for image, label in zip(x, y, strict=True):
        line, column = rng.integers(1, shape[0] - 1), rng.integers(1, shape[1] - 1)
        if label == 0:
            image[line] += 1
        elif label == 1:
            image[:, column] += 1
        else:
            np.einsum("ii...->i...", image[: min(shape[:2]), : min(shape[:2])])[...] += 1
    return np.ascontiguousarray(x.reshape(count, -1), np.float32), y


def learn(part: Any, x: F32, y: I32, first: int = 0, width: int | None = None) -> F32:
    """Learn rows; returns the answers [B, R U]."""
    out = np.full((len(x), width or part.width_out), np.nan, np.float32)
    part.learn(Rows(x, out, y, first))
    return out


def infer(part: Any, x: F32) -> F32:
    """Answers [B, R U]."""
    out = np.full((len(x), part.width_out), np.nan, np.float32)
    part.infer(x, out)
    return out


def state(part: Any) -> dict[str, bytes]:
    """The bits of every array."""
    return {name: array.tobytes() for name, array in part.arrays().items()}


def beside(count: int, classes: int = CLASSES) -> Beside:
    """Room for scores, NaN so far."""
    none = np.zeros((count, 0, 0), np.float32)
    return Beside(none, none, np.full((count, classes), np.nan, np.float32))


def errors(part: Any, x: F32, y: I32) -> float:
    """Share of rows on whose label the layer's own scores are wrong."""
    out, room = np.zeros((len(x), part.width_out), np.float32), beside(len(x))
    part.respond(Rows(x, out, y, 0, room))
    return float((room.scores.argmax(axis=1) != y).mean())
