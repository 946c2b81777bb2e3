"""Encoders learned from recordings without labels, and what a head makes of their codes.

An encoder sees all recordings to learn from once, all live at the same time, a hop of each in
turn, through the same pipeline as in a daemon. Then it stands still: codes of pieces of recordings
that do not overlap are pooled (mean and deviation), brought to running mean 0 and deviation 1, and
a least-squares head sees each once, in an order of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.config import Config, parse
from streamlearn.data import Dataset, interleaved
from streamlearn.evaluate import fitted, play
from streamlearn.heads.least_squares import LeastSquares
from streamlearn.learner import Learner
from streamlearn.part import F32, I32, Place, Rows
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.prepare.standardize import Standardize

UNTRAINED: Final[Mapping[str, Any]] = {"frozen": True}


class Setting(NamedTuple):
    """What is before the first module, and how far a piece goes."""

    prepare: Sequence[Mapping[str, Any]]
    pool_rows: int
    """Steps of a piece."""
    ridge: float = 10.0


def config_of(
    setting: Setting, data: Dataset, layers: Sequence[Mapping[str, Any]], seed: int
) -> Config:
    """The modules and a pool over the last of them, for all recordings at once."""
    pool = {"rule": "pool", "rows": setting.pool_rows}
    raw = {
        "seed": seed,
        "stream": {"shape": list(data.shape), "classes": data.classes, "live": len(data.names)},
        "prepare": list(setting.prepare),
        "layer": [*({"rule": "greedy_infomax", **layer} for layer in layers), pool],
        "pipeline": {"threads": 1},
    }
    return parse(raw, CATALOGUE)


def learned(
    config: Config, train: Dataset, hop: int, passes: int = 1, plan: Plan | None = None
) -> Learner:
    """A learner that saw all recordings so many times; its threads run until `close`.

    A plan gives other parts in the place of those of the configuration.
    """
    turned = interleaved(train, config.stream.live, hop)
    learner = Learner(plan.config if plan else config, plan=plan)
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    rows = replace(turned, X=fitted(turned, config))
    for _ in range(passes):
        play(learner, rows, rows.rows, None)
    learner.pipeline.check()
    return learner


def pieces(learner: Learner, recordings: Sequence[Dataset], steps: int) -> list[tuple[F32, I32]]:
    """For each recording its pooled codes [n, H], one for so many steps, and their labels [n].

    Of a recording shorter than that, one: of all its steps.
    """
    found = []
    for one in recordings:
        assert one.y is not None
        x, y = learner.rows_of(one.X, one.y)
        codes = learner.embedding(learner.infer(x.astype(np.float32)))
        first = min(steps, len(x)) - 1
        found.append((codes[first::steps], np.ascontiguousarray(y[first::steps])))
    return found


def scores(
    train: Sequence[tuple[F32, I32]],
    test: Sequence[tuple[F32, I32]],
    classes: int,
    ridge: float,
    seed: int,
) -> list[F32]:
    """Scores [n, K] of each test recording, from a head that saw each training piece once."""
    x = np.concatenate([codes for codes, _ in train])
    y = np.concatenate([labels for _, labels in train])
    order = np.random.default_rng(seed).permutation(len(x))
    place = Place(x.shape[1], (x.shape[1],), classes, seed)
    step = Standardize(Standardize.Options(step="standardize", clip=6.0), place)
    head = LeastSquares(
        LeastSquares.Options(kind="least_squares", ridge=ridge, forgetting=0.0), place
    )
    known: I32 = np.ascontiguousarray(y[order], np.int32)
    step.learn(Rows(np.ascontiguousarray(x[order]), np.empty_like(x), known, 0))
    head.learn(Rows(_through(step, x[order]), np.empty((len(x), classes), np.float32), known, 0))
    return [_answers(head, _through(step, codes), classes) for codes, _ in test]


def _through(step: Standardize, x: NDArray[Any]) -> F32:
    rows: F32 = np.ascontiguousarray(x, np.float32)
    out = np.empty_like(rows)
    step.infer(rows, out)
    return out


def _answers(head: LeastSquares, x: F32, classes: int) -> F32:
    out = np.empty((len(x), classes), np.float32)
    head.infer(x, out)
    return out
