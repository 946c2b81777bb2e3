"""What the geometric configurations that come along reach, into docs/results/geometric-starts.json.

    make geometric-starts                         all of them
    make geometric-starts ARGS='watch video'      some

Digits: one pass over 10,000 training digits that set no constant (30,000 … 39,999), each told
before it is learned. Watch: the five people that set no constant, each left out in turn, told by
what was learned from all others. Video has no labels: how often the code of a frame is closer, by
angle, to the next frame's than to those of 16 others, beside the same of what goes in.
"""

import argparse
import statistics
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from results import update

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import Config, environment, parse
from streamlearn.data import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.learner import Learner
from streamlearn.part import F32
from streamlearn.plan import CATALOGUE

CONFIGS: Final = Path(__file__).resolve().parent.parent / "configs"
DIGITS: Final = ("mnist", "trajectories", "article")
FIRST, ROWS = 30_000, 10_000
KNOWN_PEOPLE: Final = 5
"""Of whom constants were chosen."""
OTHERS: Final = 16
APART: Final = 20
"""Frames: another one is at least so far away."""


def configured(name: str) -> Config:
    """A configuration on one thread."""
    raw = tomllib.loads((CONFIGS / f"geometric_{name}.toml").read_text("utf-8"))
    raw["pipeline"] = raw.get("pipeline", {}) | {"threads": 1}
    return parse(raw, CATALOGUE)


def digits(name: str, rows: int = ROWS) -> list[Row]:
    """Share of digits told before they are learned."""
    train = data.load("mnist").train
    assert train.y is not None
    some = slice(FIRST, FIRST + rows)
    found = evaluate(configured(name), replace(train, X=train.X[some], y=train.y[some]))
    (head,) = found["heads"].values()
    row = Row(
        name=f"{name}: digits told in one pass",
        ours=round(100 * (1 - head["error"]), 2),
        unit="% of rows",
        note=f"{100 * (1 - head['error_recent']):.2f} of the last thousand or so; the commonest "
        f"class {100 * (1 - head['majority_error']):.1f}",
    )
    return [row]


def _file(name: str) -> str:
    """A file below $STREAMLEARN_DATA."""
    return str((environment().data or Path()) / name)


def _people(watch: Dataset) -> list[str]:
    return sorted({name.split("/")[0] for name in watch.names}, key=int)


def _part(watch: Dataset, inside: Callable[[str], bool]) -> Dataset:
    assert watch.series is not None
    wanted = [i for i, name in enumerate(watch.names) if inside(name.split("/")[0])]
    return watch.part(np.isin(watch.series, wanted))


def left_out(watch: Dataset, who: str) -> float:
    """Share of a person's rows told by what was learned from all others."""
    train, test = _part(watch, lambda one: one != who), _part(watch, lambda one: one == who)
    found = evaluate(configured("watch"), train, test=test)
    return 100 * (1 - float(found["test"]["error"]))


def watch() -> list[Row]:
    """Mean over the people that set no constant."""
    whole = data.load(_file("watch/watch.npz"))
    shares = [left_out(whole, who) for who in _people(whole)[KNOWN_PEOPLE:]]
    assert whole.y is not None
    commonest = 100 * np.bincount(whole.y).max() / len(whole.y)
    row = Row(
        name="watch: rows of an unseen person told",
        ours=round(statistics.fmean(shares), 1),
        unit="% of rows",
        note=f"worst person {min(shares):.1f}; the commonest class {commonest:.1f}",
    )
    return [row]


def told(codes: NDArray[np.floating], seed: int = 0) -> float:
    """Share of rows [T, W] closer to the next one than to others that are far away in time."""
    sizes = np.linalg.norm(codes, axis=1, keepdims=True)
    near = (codes / np.maximum(sizes, 1e-9)) @ (codes / np.maximum(sizes, 1e-9)).T
    rng, right = np.random.default_rng(seed), 0
    for t in range(len(codes) - 1):
        far = np.flatnonzero(np.abs(np.arange(len(codes)) - t) > APART)
        others = rng.choice(far, OTHERS, replace=False)
        right += int(near[t, t + 1] > near[t, others].max())
    return 100 * right / (len(codes) - 1)


def seen(config: Config, frames: F32) -> F32:
    """Codes [T, W] of the frames of one film."""
    learner = Learner(config)
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        return learner.embedding(learner.infer(frames))
    finally:
        learner.pipeline.close()


def video() -> list[Row]:
    """Frames told from others by their codes; how spikes go with what moves."""
    film = data.load(_file("video/vtest_gray_96x72.npz")).X
    frames: F32 = film.reshape(len(film), -1).astype(np.float32)
    codes, changes = seen(configured("video"), frames)[1:], np.diff(frames, axis=0)
    sizes = np.abs(changes).reshape(-1, 9, 8, 12, 8).mean(axis=(2, 4)).reshape(len(changes), -1)
    moves = np.corrcoef(codes.sum(axis=1), np.abs(changes).mean(axis=1))[0, 1]
    unit = "% of frames"
    return [
        Row(
            name="video: next frame told by its code",
            ours=round(told(codes), 1),
            unit=unit,
            note=f"{codes.sum(axis=1).mean():.0f} spikes a frame, correlated {moves:.2f} with the "
            "mean change of pixels",
        ),
        Row(name="video: by the change of pixels", ours=round(told(changes), 1), unit=unit),
        Row(name="video: by its mean size in 8 x 8 blocks", ours=round(told(sizes), 1), unit=unit),
    ]


MEASURES: Final[Mapping[str, Callable[[], list[Row]]]] = {
    **{name: partial(digits, name) for name in DIGITS},
    "watch": watch,
    "video": video,
}


def main() -> None:
    """Measure what is named, all by default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(MEASURES)}; none: all")
    for name in parser.parse_args().name or MEASURES:
        rows = MEASURES[name]()
        for row in rows:
            print(f"{row.name}: {row.ours} {row.unit} ({row.note})", flush=True)
        print(update(report("geometric-starts", "make geometric-starts", rows)))


if __name__ == "__main__":
    main()
