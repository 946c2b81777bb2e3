"""Layers that learn by contrast, fast and slow: made, fed and compared, for their tests."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from streamlearn.part import F32, I32, Beside, Place, Rows
from streamlearn.rules.forward_forward.contrast import Contrast
from streamlearn.rules.forward_forward.options import ForwardForwardOptions

SEED, CLASSES, WIDTH = 21, 3, 22
GOODNESS = ("squares", "minus_squares", "sum", "minus_sum", "split")
ACTIVATIONS = ("relu", "student_t")
LOSSES = ("pair", "threshold")
GOALS = list(product(GOODNESS, ACTIVATIONS, LOSSES))
SMALL: dict[str, Any] = {
    "labels": "overlay", "units": 7, "scale": 2.0, "rate": 0.3, "label_strength": 3.0,
    "unlabelled": 0.5, "reservoir_rows": 5, "threshold": 0.5, "margin": 0.5, "decay_rows": 50.0,
}  # fmt: skip
EVERY_OPTION: tuple[dict[str, Any], ...] = (
    {},
    {"average": False, "memory_rows": 0},
    {"memory_rows": 300, "peer": 0.2},
    {"step": "adagrad", "memory_rows": 200},
    {"step": "adagrad", "average": False, "peer": 0.1, "memory_rows": 0},
    {"wrong_label": "random", "unlabelled": 0.0},
    {"revisits": 2, "kept_rows": 7},
    {"revisits": 3, "kept_rows": 4, "average": False, "candidates": True},
    {"phases": "apart", "wake_rows": 9},
    {"phases": "apart", "wake_rows": 5, "loss": "threshold", "average": False},
    {"phases": "apart", "wake_rows": 8, "step": "adagrad", "peer": 0.1, "revisits": 1},
    {"candidates": True},
    *({"labels": "none", "negatives": kind} for kind in ("hybrid", "pairing", "generated")),
    {"labels": "none", "average": False, "step": "adagrad", "goodness": "split"},
    {"labels": "none", "negatives": "generated", "average": False, "phases": "apart"},
)


def name_of(options: dict[str, Any]) -> str:
    """Name of a test: what differs."""
    return "-".join(f"{key}={value}" for key, value in options.items()) or "plain"


every_option = pytest.mark.parametrize("changed", EVERY_OPTION, ids=name_of)


def layer(cls: Any = Contrast, width_in: int = WIDTH, lanes_in: int = 0, **changed: Any) -> Any:
    """A layer of the fast rule, or of its slow twin."""
    options = ForwardForwardOptions(rule="forward_forward", **{**SMALL, **changed})
    place = Place(width_in, (width_in,), CLASSES, SEED, lanes_in)
    return cls(options, place)


def stream(count: int, width: int = WIDTH, kind: str = "sparse", seed: int = SEED) -> Any:
    """Rows [B, D] around a centre for each class, their labels, a fifth of which is not known."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, count)
    x = rng.standard_normal((CLASSES, width))[y] + 0.7 * rng.standard_normal((count, width))
    if kind == "sparse":
        x = np.maximum(x, 0)
    y[rng.random(count) < 0.2] = -1
    return np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.int32)


class Answer:
    """What a layer writes for some rows, and what the layer above reads."""

    def __init__(self, part: Any, count: int, *, twin_of: Any = None) -> None:
        shown = twin_of or part
        H, K = part.options.units, CLASSES if shown.scores_out else 0
        self.out = np.full((count, H), np.nan, np.float32)
        self.lanes = np.full((count, shown.lanes_out, H), np.nan, np.float32)
        self.scores = np.full((count, K), np.nan, np.float32)

    def rows(self, x: F32, y: I32, first: int, lanes_in: F32 | None = None) -> Rows:
        """These rows, with somewhere to write."""
        below = np.zeros((len(x), 0, x.shape[1]), np.float32) if lanes_in is None else lanes_in
        return Rows(x, self.out, y, first, Beside(below, self.lanes, self.scores))

    def bits(self) -> bytes:
        """All of it."""
        return self.out.tobytes() + self.lanes.tobytes() + self.scores.tobytes()


def learn(part: Any, x: F32, y: I32, first: int = 0, lanes_in: F32 | None = None) -> Answer:
    """Learn rows; returns what the layer wrote for them."""
    answer = Answer(part, len(x))
    part.learn(answer.rows(x, y, first, lanes_in))
    return answer


def look(part: Any, x: F32, y: I32, first: int = 0, lanes_in: F32 | None = None) -> Answer:
    """Respond to rows."""
    answer = Answer(part, len(x))
    part.respond(answer.rows(x, y, first, lanes_in))
    return answer


def state(part: Any) -> dict[str, bytes]:
    """The bits of every array."""
    return {name: array.tobytes() for name, array in part.arrays().items()}


def both(fast: Any, slow: Any, x: F32, y: I32, first: int, below: Any = (None, None)) -> Any:
    """Let both learn; what they wrote, and their states, must be alike."""
    ours = learn(fast, x, y, first, below[0])
    theirs = Answer(slow, len(x), twin_of=fast)
    slow.learn(theirs.rows(x if below[1] is None else below[2], y, first, below[1]))
    for name in ("out", "lanes", "scores"):
        one, other = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(one, other, 5e-3, 1e-3, err_msg=f"{name}, row {first}")
    for name, array in slow.arrays().items():
        here = fast.arrays()[name]
        np.testing.assert_allclose(here, array, 2e-3, 2e-4, err_msg=f"{name}, row {first}")
    return ours, theirs
