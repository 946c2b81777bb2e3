"""Bad input to every kind of Forward-Forward layer: counted or harmless, and learning goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pytest

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.part import F32, I32, UNLABELLED, Beside, Rows
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.wire.message import Sample

PATIENCE_S: Final = 120.0
DENSE: Final[dict[str, Any]] = {"rule": "forward_forward", "units": 60}
FIELDS: Final[dict[str, Any]] = {
    "rule": "forward_forward_fields",
    "units": 10,
    "field": 3,
    "stride": 1,
    "pool": 2,
    "pool_stride": 2,
}
TOP_DOWN: Final[dict[str, Any]] = {"rule": "forward_forward_top_down", "units": [40, 30]}

KINDS: Final[dict[str, dict[str, Any]]] = {
    "projection": DENSE,
    "decorrelated": {**DENSE, "decorrelate": True},
    "blocks": {**DENSE, "labels": "blocks", "scale": 2.0},
    "overlay": {**DENSE, "labels": "overlay", "label_strength": 8.0},
    "candidates": {**DENSE, "labels": "overlay", "label_strength": 8.0, "candidates": True},
    "revisits": {**DENSE, "labels": "overlay", "label_strength": 8.0, "revisits": 2},
    "hybrid": {**DENSE, "labels": "none"},
    "pairing": {**DENSE, "labels": "none", "negatives": "pairing", "phases": "apart"},
    "shuffled": {**DENSE, "labels": "none", "negatives": "shuffled"},
    "generated": {**DENSE, "labels": "none", "negatives": "generated", "step": "adagrad"},
    "fields that compete": FIELDS,
    "fields against hybrids": {**FIELDS, "negatives": "hybrid"},
    "fields against pairs": {**FIELDS, "negatives": "pairing"},
    "fields in blocks": {**FIELDS, "labels": "blocks"},
    "fields with a read-out": {**FIELDS, "labels": "projection"},
    "top-down under labels": {
        **TOP_DOWN,
        "labels": "overlay",
        "steps": 4,
        "carry": False,
        "frames": 1,
        "rate": 0.02,
    },
    "top-down over a film": {**TOP_DOWN, "negatives": "mixed", "evidence": True},
}

every_kind = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(name, marks=pytest.mark.xdist_group(f"{one['rule']}-{one.get('labels', '')}"))
        for name, one in KINDS.items()
    ],
)


def stack(kind: str) -> list[dict[str, Any]]:
    """Two layers: both of the kind, or a dense one above where it is one of its own."""
    first = KINDS[kind]
    return [first, first if first["rule"] == "forward_forward" else DENSE]


def config(layers: list[dict[str, Any]]) -> Config:
    """Such layers over digits, and a softmax."""
    return parse(
        {
            "stream": {"shape": [8, 8], "classes": 10},
            "layer": layers,
            "head": [{"kind": "softmax"}],
        },
        CATALOGUE,
    )


def digits(begin: int, end: int) -> tuple[F32, I32]:
    """Rows [B, 64] and classes; every fifth without its label."""
    rows = load("optdigits").train
    assert rows.y is not None
    y = rows.y[begin:end].astype(np.int32)
    y[::5] = UNLABELLED
    return rows.X[begin:end].reshape(end - begin, -1).astype(np.float32), y


@contextmanager
def running(layers: list[dict[str, Any]]) -> Iterator[Learner]:
    """A learner whose threads run."""
    learner = Learner(config(layers))
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        yield learner
    finally:
        learner.pipeline.close()


def feed(learner: Learner, x: F32, y: I32) -> None:
    """Learn rows."""
    offer(learner, Sample("s", "", learner.intake.samples, len(x), 0.0, x, y))
    assert learner.pipeline.wait_done(PATIENCE_S)
    learner.pipeline.check()


def errors(learner: Learner, kind: str) -> float:
    """Share of 500 other digits that the head gets wrong; 0 where no row stands for itself."""
    rows = load("optdigits").train
    assert rows.y is not None
    values = learner.infer(rows.X[2500:3000].reshape(500, -1).astype(np.float32))
    assert all(np.isfinite(column).all() for column in values.values())
    if kind == "top-down over a film":
        return 0.0
    return float((values["head/softmax"].argmax(axis=1) != rows.y[2500:3000]).mean())


def assert_finite(learner: Learner) -> None:
    """State and gauges hold numbers."""
    for name, array in learner.learning_arrays().items():
        assert np.isfinite(array).all(), name
    for stage in learner.parts:
        assert np.isfinite(list(stage.gauges().values())).all(), stage.name


def weights(learner: Learner) -> dict[str, F32]:
    """A copy of the weights of every layer."""
    names = ("weights", "up1")
    return {
        name: array.copy()
        for name, array in learner.learning_arrays().items()
        if name.startswith("layer/") and name.rpartition("/")[2] in names
    }


def assert_learned(learner: Learner, before: dict[str, F32], layers: int) -> None:
    """The weights of so many layers have moved."""
    now = weights(learner)
    assert len(now) == layers
    assert [name for name in now if np.array_equal(now[name], before[name])] == []


@every_kind
def test_a_label_outside_the_classes_is_none(kind: str) -> None:
    """Whatever the number, each layer does with it what it does without a label, to the bit."""
    x, y = digits(0, 200)
    outside = y.copy()
    outside[::5] = np.resize([10, 11, 2**31 - 1, -2, -(2**31)], 40)
    written = []
    for labels in (y, outside):
        part, _ = Plan(config(stack(kind))).parts[0]
        out = np.zeros((200, part.width_out), np.float32)
        lanes = np.zeros((200, part.lanes_out, part.width_out), np.float32)
        scores = np.zeros((200, 10 if part.scores_out else 0), np.float32)
        part.learn(
            Rows(x, out, labels, 0, Beside(np.zeros((200, 0, 64), np.float32), lanes, scores))
        )
        arrays = [out, lanes, scores, *part.arrays().values()]
        written.append([array.tobytes() for array in arrays])
    assert written[0] == written[1]


TROUBLES: Final = {
    "one class only": lambda x, y: (x[y == 3], y[y == 3]),
    "one class for everything": lambda x, y: (x, np.full_like(y, 3)),
    "zeros": lambda x, y: (0 * x, y),
    "constant": lambda x, y: (0 * x + 7, y),
    "a million times larger": lambda x, y: (1e6 * x, y),
    "labels all wrong": lambda x, y: (x, np.where(y < 0, y, (y + 1) % 10)),
}


@every_kind
@pytest.mark.parametrize("trouble", TROUBLES)
def test_after_bad_times_it_learns_as_before(kind: str, trouble: str) -> None:
    """Rows of one trouble, then good ones: all finite, both layers move, the digits are known."""
    with running(stack(kind)) as learner:
        feed(learner, *digits(0, 500))
        x, y = TROUBLES[trouble](*digits(500, 900))
        feed(learner, np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.int32))
        assert_finite(learner)
        before = weights(learner)
        feed(learner, *digits(900, 2400))
        assert_finite(learner)
        assert_learned(learner, before, 2)
        assert errors(learner, kind) < 0.2


def moody(x: F32) -> Any:
    """Throws, gives a wrong width or NaN, each on a twentieth of the digits, by their ink."""
    kind = int(x.sum()) % 20
    if kind == 1:
        raise RuntimeError("out of order")
    if kind == 2:
        return x[:, :3]
    return x * np.nan if kind == 3 else x


@every_kind
def test_a_black_box_that_fails_below_does_no_harm(kind: str) -> None:
    """It throws, gives a wrong width, NaN: counted each, and both layers above go on learning."""
    box = {"rule": "black_box", "function": f"{__name__}:moody", "name": "box"}
    x, y = digits(0, 2000)
    ink = x.sum(axis=1).astype(int) % 20
    with running([box, *stack(kind)]) as learner:
        feed(learner, x[:500], y[:500])
        before = weights(learner)
        feed(learner, x[500:], y[500:])
        assert_finite(learner)
        assert_learned(learner, before, 2)
        gauges = learner.parts[0].gauges()
        counted = [gauges[f"faults_{fault}"] for fault in ("throws", "width", "nonfinite")]
        assert counted == [(ink == kind).sum() for kind in (1, 2, 3)]
        assert min(counted) > 50
        assert errors(learner, kind) < 0.35


def lame(x: F32) -> Any:
    """Fails now and then on what a layer says, by its last digits."""
    kind = int(abs(float(x[0, :8].sum())) * 1e4) % 30
    if kind == 1:
        raise RuntimeError("out of order")
    if kind == 2:
        return x[:, :3]
    return x * np.nan if kind == 3 else x


@pytest.mark.parametrize(
    "kind", [name for name, one in KINDS.items() if one["rule"] == DENSE["rule"]]
)
def test_a_black_box_that_fails_between_layers_does_no_harm(kind: str) -> None:
    """In a row or in one of its lanes: counted, and the layers on both sides go on learning."""
    box = {"rule": "black_box", "function": f"{__name__}:lame", "name": "box"}
    layer = KINDS[kind]
    with running([layer, box, layer]) as learner:
        feed(learner, *digits(0, 500))
        before = weights(learner)
        feed(learner, *digits(500, 1500))
        assert_finite(learner)
        assert_learned(learner, before, 2)
        assert min(learner.parts[1].gauges().values()) > 0
        assert errors(learner, kind) < 0.35
