"""Phases apart: whatever was put by awake is learned asleep, every negative once, none is lost."""

from typing import Any, Final

import numpy as np
import pytest
from naive.ff_contrast import Contrast as Naive

from streamlearn.part import F32, I32, Place, Rows
from streamlearn.rules.forward_forward.contrast import Contrast
from streamlearn.rules.forward_forward.options import ForwardForwardOptions

WIDTH, UNITS, CLASSES, SEED = 10, 6, 3, 21
APART: Final[dict[str, Any]] = {
    "labels": "overlay", "units": UNITS, "phases": "apart", "scale": 2.0, "rate": 0.2,
    "label_strength": 3.0,
}  # fmt: skip


def layer(cls: Any, **options: Any) -> Any:
    """A layer of the fast rule, or of its slow twin, which puts by as much as it likes."""
    made = ForwardForwardOptions(rule="forward_forward", **{**APART, **options})
    return cls(made, Place(WIDTH, (WIDTH,), CLASSES, SEED))


def stream(count: int) -> tuple[F32, I32]:
    """Rows [B, D] around one centre a class."""
    rng = np.random.default_rng(SEED)
    y = rng.integers(0, CLASSES, count).astype(np.int32)
    x = rng.standard_normal((CLASSES, WIDTH))[y] + 0.7 * rng.standard_normal((count, WIDTH))
    return np.maximum(x, 0).astype(np.float32), y


@pytest.mark.parametrize(
    "options",
    [
        {"wake_rows": 1},
        {"wake_rows": 1, "revisits": 3, "kept_rows": 4},
        {"wake_rows": 7, "revisits": 2, "kept_rows": 5},
        {"wake_rows": 1000},
        {"wake_rows": 1000, "revisits": 10, "kept_rows": 20},
    ],
    ids=str,
)
def test_no_negative_is_lost_however_long_the_day(options: dict[str, Any]) -> None:
    """After sleeps, and a day without one, weights are those of a twin whose store has no end."""
    fast, slow = layer(Contrast, **options), layer(Naive, **options)
    visits = 1 + options.get("revisits", 0)
    x, y = stream(max(options["wake_rows"] // visits + 40, 60))
    out = np.zeros((1, UNITS), np.float32)
    for row in range(len(x)):
        for part in (fast, slow):
            part.learn(Rows(x[row : row + 1], out, y[row : row + 1], row))
    assert fast.arrays()["counts"][3] >= options["wake_rows"], "it slept"
    for name, array in slow.arrays().items():
        np.testing.assert_allclose(fast.arrays()[name], array, 2e-2, 2e-3, err_msg=name)


def test_a_store_holds_a_whole_day_and_its_last_revisits() -> None:
    """What is kept is bounded by the options alone."""
    assert layer(Contrast, wake_rows=1000).arrays()["stored"].shape == (1000, WIDTH + CLASSES)
    longer = layer(Contrast, wake_rows=1000, revisits=10).arrays()["stored"]
    assert longer.shape == (1010, WIDTH + CLASSES)
    assert layer(Contrast, phases="together").arrays()["stored"].shape[0] == 0
