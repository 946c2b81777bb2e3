"""Every entry of RULES, HEADS and STEPS, built small, and the rows that they are tried on."""

from importlib import import_module
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pytest

from streamlearn.heads import HEADS
from streamlearn.part import F32, I32, Place, Rows
from streamlearn.prepare import STEPS
from streamlearn.rules import RULES
from streamlearn.schema import resolve

SHAPE: Final = (3, 4)
WIDTH: Final = 12
CLASSES: Final = 3
SEED: Final = 11

SMALL: Final[dict[str, dict[str, Any]]] = {
    "hebbian": {"units": 7, "k": 2},
    "patches": {"side": 2, "hop": 1},
    "spectrum": {"frame": 8, "hop": 2, "bands": 4, "low_hz": 500.0},
    "forward_forward_fields": {"units": 7, "field": 2, "stride": 1, "pool": 1, "pool_stride": 1},
    "neighbours": {"memory_rows": 40},
}
"""Options that make a part small, in all its variants; others that have units get seven."""

SPIKING: Final = {"window_ms": 60.0, "latency_ms": 20.0, "coding_ms": 10.0}
"""A short window."""

VARIANTS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "hebbian": (
        {"p": 3.0, "start": "random", "product": "dot"},
        {"competition": "dynamics", "inhibition": 0.7, "k": 20},
        {"plasticity": "equation", "p": 2.5, "minibatch": 7, "scaled": False},
        {"plasticity": "equation", "competition": "dynamics", "radius": 1.3, "k": 20},
        {"plasticity": "equation", "competition": "none", "rate": 0.05, "k": 20},
        {
            "plasticity": "equation",
            "start": "random",
            "minibatch": 20,
            "anneal_rows": 400,
            "largest": True,
            "rate": 0.04,
        },
        {"competition": "soft", "start": "random", "sharpness": 3.0, "k": 20},
        {"field": 2, "pool": 2},
    ),
    "forward_forward": (
        {"decorrelate": True},
        {"labels": "blocks", "step": "adagrad", "revisits": 2, "kept_rows": 5},
        {"labels": "overlay", "peer": 0.03, "unlabelled": 0.5},
        {"labels": "overlay", "candidates": True, "step": "adagrad", "revisits": 1, "kept_rows": 5},
        {"labels": "none", "negatives": "hybrid", "start": "local", "average": False},
        {"labels": "none", "negatives": "generated", "goodness": "split", "loss": "threshold"},
        {"labels": "none", "negatives": "shuffled"},
        {"labels": "none", "phases": "apart", "wake_rows": 10, "activation": "student_t"},
    ),
    "forward_forward_fields": (
        {"shared": False},
        {"negatives": "hybrid", "reservoir_rows": 5},
        {"negatives": "pairing", "loss": "threshold"},
        {"labels": "projection"},
        {"labels": "blocks", "units": 6},
    ),
    "forward_forward_top_down": (
        {
            "units": (7, 5),
            "frames": 3,
            "evidence": True,
            "negatives": "mixed",
            "background_rows": 20,
        },
        {
            "units": (7, 5),
            "labels": "overlay",
            "steps": 4,
            "update": "synchronous",
            "carry": False,
            "frames": 1,
            "score_to": 4,
            "average": True,
        },
    ),
    "greedy_infomax": (
        {"negatives_from": "any", "negatives": 3, "reservoir_rows": 40, "warm_rows": 8},
        {"negatives_from": "same", "steps": 5, "warm_rows": 1, "rate": 0.01},
        {"loss": "hinge", "average": True, "memory_rows": 30},
        {"positions": True, "warm_rows": 8, "negatives": 3},
        {"context": "gru", "gives": "context", "warm_rows": 8, "steps": 3},
        {"context": "lru", "gives": "both", "context_units": 5, "warm_rows": 8},
        {"loss": "lpl", "warm_rows": 20, "decorrelate": 3.0, "memory_rows": 50},
        {"encoder": "convolution", "field": 2, "update_every": 3, "warm_rows": 8},
    ),
    "geometric_spiking": (
        {
            **SPIKING,
            "stdp": "row",
            "clocks": 3,
            "clock_to_ms": 40.0,
            "gives": "weights",
            "sample_ms": (20.0, 60.0),
            "power": 0.65,
            "unit_norm": True,
        },
        {
            **SPIKING,
            "layout": "plane",
            "coding": "signed",
            "input_weights": "signed",
            "p_recurrent": 0.6,
            "recurrent_weight": 1.0,
            "stdp": "kept",
            "a_plus": 0.02,
            "a_minus": 0.03,
            "bounds": "multiplicative",
            "turns": False,
            "between": "carry",
            "reset": "subtract",
            "target_spikes": 1.5,
            "gives": "path",
            "compress_to": 9,
        },
        {
            **SPIKING,
            "layout": "blocks",
            "blocks": 2,
            "p_within": 0.7,
            "p_between": 0.8,
            "coding": "active",
            "coding_ms": 24.0,
            "balance": 0.0,
            "reset": "zero",
            "refractory_ms": 5.0,
            "max_spikes": 20,
            "gives": "first_spikes",
        },
        {**SPIKING, "coding": "population", "bumps": 4, "high": 3.0, "between": "carry"},
    ),
    "softmax": ({"revisits": 2, "kept_rows": 5, "memory_rows": 300}, {"smoothing": 0.0}),
    "least_squares": ({"forgetting": 0.0}, {"forgetting": 0.3, "ridge": 0.1}),
    "power_loss": (
        {"minibatch": 7, "m": 2.5, "smoothing": 0.0},
        {"m": 10.0, "beta1": 0.0, "memory_rows": 0},
    ),
    "black_box": ({"noise": 0.2}, {"bits": 4, "range": 2.0}),
    "spectrum": ({"floor": 1e-3},),
    "pool": ({"rows": 3, "gives": "mean"},),
    "goodness": ({"temperature": 3.0},),
    "neighbours": (
        {"metric": "euclidean", "keep": "reservoir", "age_rows": 30.0},
        {"keep": "classes", "k": 9, "weights": "uniform"},
        {"k": 1, "memory_rows": 3},
        {"index": "approximate", "look_share": 0.3},
    ),
    "standardize": (
        {"memory_rows": 20},
        {"patience_rows": 10, "limit": 1.0},
        {"per": "stream", "patience_rows": 30, "memory_rows": 40, "limit": 2.0},
    ),
}
"""Options besides the defaults under which a part has to keep its promises too."""


class Entry(NamedTuple):
    """One part of a registry under one set of options."""

    kind: str
    """The options' key that chooses it: rule, kind or step."""
    name: str
    target: str
    """Import string."""
    changed: dict[str, Any]

    def build(self, *, twin: bool = False, seed: int = SEED, times: int = 1) -> Any:
        """The part, or its slow twin, from the same options and place; or one that much larger."""
        options = resolve(self.target).Options
        fields = {field.name for field in msgspec.structs.fields(options)}
        small = SMALL.get(self.name, {"units": 7} if "units" in fields else {})
        given = small | self.changed
        if isinstance(given.get("units"), int):
            given["units"] *= times
        made = self._twin_class() if twin else resolve(self.target)
        place = Place(times * WIDTH, (times * SHAPE[0], SHAPE[1]), CLASSES, seed)
        return made(options(**{self.kind: self.name}, **given), place)

    def _twin_class(self) -> Any:
        return getattr(import_module(f"naive.{self.name}"), self.target.partition(":")[2])


def entries() -> list[Entry]:
    """All parts of all registries, each with its defaults and its variants."""
    registries = (("rule", RULES), ("kind", HEADS), ("step", STEPS))
    return [
        Entry(kind, name, target, changed)
        for kind, registry in registries
        for name, target in registry.items()
        for changed in ({}, *VARIANTS.get(name, ()))
    ]


def label(entry: Entry) -> str:
    """How a test is called: the part's name and what differs from its defaults."""
    return "-".join([entry.name, *(f"{key}={value}" for key, value in entry.changed.items())])


every_part = pytest.mark.parametrize(
    "entry",
    [
        pytest.param(one, id=label(one), marks=pytest.mark.xdist_group(one.name))
        for one in entries()
    ],
)
"""Tries a test on all of them; those of one part in one process, which compiles them once."""


def stream(count: int, seed: int = SEED, times: int = 1) -> tuple[F32, I32]:
    """Rows [B, D] around one centre a class, half of them zero inputs; a third without a label."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CLASSES, times * WIDTH))
    y = rng.integers(0, CLASSES, count)
    x = np.maximum(centres[y] + 0.7 * rng.standard_normal((count, times * WIDTH)), 0)
    y[rng.random(count) < 1 / 3] = -1
    return np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.int32)


def learn(part: Any, x: F32, y: I32, first: int = 0, width: int | None = None) -> F32:
    """Learn rows; returns what the part wrote for them [B, H]; a slow twin is told its width."""
    out = np.full((len(x), width or part.width_out), np.nan, np.float32)
    part.learn(Rows(x, out, y, first))
    return out


def infer(part: Any, x: F32) -> F32:
    """What the part answers to rows [B, D]."""
    out = np.full((len(x), part.width_out), np.nan, np.float32)
    part.infer(x, out)
    return out


def state(part: Any) -> dict[str, bytes]:
    """The bits of every array."""
    return {name: array.tobytes() for name, array in part.arrays().items()}
