"""Layers of competing units for tests, fast and slow, and rows for them."""

from typing import Any

import numpy as np
from naive.hebbian import Hebbian as Naive

from streamlearn.part import F32, Place, Rows
from streamlearn.rules.hebbian import Hebbian

SEED = 20


def layer(width_in: int, cls: Any = Hebbian, shape: tuple[int, ...] = (), **options: Any) -> Any:
    """A layer of the fast rule, or of its slow twin."""
    place = Place(width_in, shape or (width_in,), 2, SEED)
    return cls(Hebbian.Options(rule="hebbian", **options), place)


def pair(width_in: int, **options: Any) -> tuple[Any, Any]:
    """The fast layer and its slow twin."""
    return layer(width_in, **options), layer(width_in, Naive, **options)


def learn(part: Any, x: F32, first: int = 0) -> F32:
    """Learn rows [B, D]; returns their activities [B, H]."""
    out = np.zeros((len(x), part.options.units), np.float32)
    part.learn(Rows(x, out, np.full(len(x), -1, np.int32), first))
    return out


def rows(count: int, width: int, kind: str = "dense", seed: int = SEED) -> F32:
    """Rows around a few centres; "sparse": non-negative, half zero (fewer, and ranks would tie)."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((5, width))
    x = centres[rng.integers(5, size=count)] + 0.5 * rng.standard_normal((count, width))
    if kind == "sparse":
        x = np.maximum(x, 0)
    return np.ascontiguousarray(x, np.float32)


def optdigits() -> F32:
    """The bundled digits [3823, 64] of the first writers, in the order given."""
    from streamlearn.data.source import load  # noqa: PLC0415  only the tests on digits need it

    train = load("optdigits").train
    return np.ascontiguousarray(train.X.reshape(len(train.X), -1), np.float32)


def follow(fast: Any, slow: Any, x: F32) -> None:
    """Learn row by row with both; activities and state stay those of the slow twin."""
    for t, row in enumerate(x):
        one = row[None]
        ours, theirs = learn(fast, one), learn(slow, one)
        np.testing.assert_allclose(ours, theirs, 2e-3, 2e-4, err_msg=f"row {t}")
        for name, array in slow.arrays().items():
            ours = fast.arrays()[name]
            np.testing.assert_allclose(ours, array, 2e-3, 2e-5, err_msg=f"{name}, row {t}")
