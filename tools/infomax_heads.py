"""Heads that learn from the same stream while the modules of Greedy InfoMax under them move.

    make infomax-heads                             every row of the table: hours
    make infomax-heads ARGS='lpl infonce'          some rows
    make infomax-heads ARGS=--short                a made-up watch, small nets: seconds, for CI

The smartwatch, leave one person out, some people: least squares on pooled codes learns from each
labelled row of the only pass, at the same time as the module; three of them, which forget nothing,
a little, much. After the pass they are asked about two-second pieces of the person left out, and so
is a head that was fitted on the finished module's codes of all other people. What a code that moves
costs a live head is the difference, beside that of a module that never learned. It is held against:
answers by running means of the module's weights (`average`), and labelled rows of the past that are
shown again (`labels.rehearse_every`, `rehearse_rows`).
Writes docs/results/infomax-heads.json; figures by person are kept in --state.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import infomax_made_up
import msgspec
import numpy as np
from infomax_encoders import UNTRAINED, config_of, learned, pieces, scores
from infomax_watch import DEVICE, STATE, WIDE, people, person
from results import update

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import Config, environment
from streamlearn.data import Dataset, interleaved
from streamlearn.evaluate import fitted, play
from streamlearn.heads.least_squares import LeastSquares
from streamlearn.learner import Learner
from streamlearn.options import LabelOptions
from streamlearn.part import UNLABELLED

NAME: Final = "infomax-heads"
HOP: Final = 10
FORGETTING: Final = (0.0, 0.05, 0.2)
RIDGE: Final = WIDE.ridge
REFITTED: Final = "refitted"


class Variant(NamedTuple):
    """A module and what keeps the heads up with it; a row of the table for each head."""

    title: str
    layer: Mapping[str, Any]
    labels: LabelOptions = LabelOptions()
    freeze_after: int = 0
    """Samples after which the module stands still; 0: never."""
    heads_later: bool = False
    """Whether labels come only from then on, so that no head learns a code that moves."""


Shares = dict[str, float]
"""Head, or `REFITTED` → share of right pieces."""

LOSSES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "lpl": ("LPL", {"units": 128, "loss": "lpl"}),
    "infonce": ("InfoNCE", {"units": 128, **DEVICE}),
}
AVERAGES: Final = (500, 5000)
FROZEN_AFTER: Final = (50_000, 100_000)
REHEARSALS: Final = ((100, 500), (10, 2000), (1, 2000))


def again(every: int, rows: int) -> LabelOptions:
    """One of so many labelled rows shown again every so many rows."""
    return LabelOptions(rehearse_every=every, rehearse_rows=rows)


def _variants() -> dict[str, Variant]:
    found = {"untrained": Variant("never learned", {"units": 128, **UNTRAINED})}
    for loss, (title, layer) in LOSSES.items():
        found[loss] = Variant(title, layer)
        for every, rows in REHEARSALS:
            found[f"{loss}-again{every}-{rows}"] = Variant(
                f"{title}, 1 of {rows} shown again every {every}", layer, again(every, rows)
            )
        for rows in AVERAGES:
            averaged = {**layer, "average": True, "memory_rows": rows}
            found[f"{loss}-average{rows}"] = Variant(f"{title}, average of {rows}", averaged)
        for samples in FROZEN_AFTER:
            found[f"{loss}-frozen{samples}"] = Variant(
                f"{title}, frozen after {samples:,} samples", layer, freeze_after=samples
            )
            found[f"{loss}-anchored{samples}"] = Variant(
                f"{title}, frozen after {samples:,} samples, labels from there on",
                layer,
                freeze_after=samples,
                heads_later=True,
            )
        found[f"{loss}-both"] = Variant(
            f"{title}, average of {AVERAGES[-1]}, 1 of 2000 shown again every 10",
            {**layer, "average": True, "memory_rows": AVERAGES[-1]},
            again(10, 2000),
        )
    return found


VARIANTS: Final[Mapping[str, Variant]] = _variants()


def called(forgetting: float) -> str:
    """Name of the head that forgets so much."""
    return f"forgets{round(100 * forgetting)}"


def configured(watch: Dataset, variant: Variant, seed: int) -> Config:
    """The module, a pool, and heads on the pool alone."""
    config = config_of(WIDE, watch, [variant.layer], seed)
    heads = [
        LeastSquares.Options(
            kind="least_squares",
            name=called(forgetting),
            reads=(config.layer[-1].name,),
            ridge=RIDGE,
            forgetting=forgetting,
        )
        for forgetting in FORGETTING
    ]
    return msgspec.structs.replace(config, head=tuple(heads), labels=variant.labels)


def lived(config: Config, train: Dataset, variant: Variant) -> Learner:
    """A learner that saw all recordings once; its threads run until `close`.

    Frozen in between, its streams begin anew there.
    """
    freeze_after = variant.freeze_after
    if not freeze_after:
        return learned(config, train, HOP)
    turned = interleaved(train, config.stream.live, HOP)
    assert turned.y is not None
    hidden = variant.heads_later & (np.arange(turned.rows) < freeze_after)
    y = np.where(hidden, np.int32(UNLABELLED), turned.y)
    turned = replace(turned, X=fitted(turned, config), y=y)
    learner = Learner(config)
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    play(learner, turned, freeze_after, None)
    stage = learner.layer(config.layer[0].name)
    assert stage is not None
    stage.frozen = True
    rest = turned.part(slice(freeze_after, None))
    play(learner, rest, rest.rows, None)
    learner.pipeline.check()
    return learner


def right(learner: Learner, asked: Sequence[Dataset], steps: int) -> Shares:
    """Head → share of pieces of recordings that it tells right, as it is now."""
    hits: dict[str, list[bool]] = {head.name: [] for head in learner.config.head}
    for one in asked:
        x, y = learner.rows_of(one.X, one.y)
        values = learner.infer(x.astype(np.float32))
        first = min(steps, len(x)) - 1
        for name, found in hits.items():
            said = values[f"head/{name}"][first::steps].argmax(axis=1)
            found.extend((said == y[first::steps]).tolist())
    return {name: statistics.mean(map(float, found)) for name, found in hits.items()}


def fold(watch: Dataset, variant: Variant, who: str, seed: int) -> Shares:
    """What heads that learned from all others say of a person, and one that was fitted then."""
    recordings = watch.recordings()
    seen = [r for r in recordings if person(r) != who]
    asked = [r for r in recordings if person(r) == who]
    train = watch.part(
        np.isin(watch.series, [int(r.series[0]) for r in seen if r.series is not None])
    )
    began = time.perf_counter()
    learner = lived(configured(watch, variant, seed), train, variant)
    seconds = time.perf_counter() - began
    try:
        live = right(learner, asked, WIDE.pool_rows)
        known = pieces(learner, seen, WIDE.pool_rows)
        unknown = pieces(learner, asked, WIDE.pool_rows)
    finally:
        learner.pipeline.close()
    said = scores(known, unknown, watch.classes, RIDGE, seed)
    hits = [s.argmax(axis=1) == y for s, (_, y) in zip(said, unknown, strict=True)]
    return {**live, REFITTED: float(np.concatenate(hits).mean()), "seconds": seconds}


def measured(name: str, watch: Dataset, folds: int, state: Path) -> dict[str, Shares]:
    """Person → shares, of the first so many; what was measured before is kept."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / f"heads-{name}.json"
    found: dict[str, Shares] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    asked = people(watch)[:folds]
    for who in asked:
        if who not in found:
            found[who] = fold(watch, VARIANTS[name], who, 0)
            file.write_text(json.dumps(found), "utf-8")
            print(f"{name}, person {who}: {found[who]}", flush=True)
    return {who: found[who] for who in asked}


def row_name(title: str, forgetting: float) -> str:
    """What a row is called."""
    return f"{title}; forgetting {forgetting:g}"


def rows(title: str, found: Mapping[str, Shares]) -> list[Row]:
    """A row for each live head, in percent, against the one that was fitted at the end."""
    refitted = [100 * one[REFITTED] for one in found.values()]
    made = []
    for forgetting in FORGETTING:
        live = [100 * one[called(forgetting)] for one in found.values()]
        gains = [a - b for a, b in zip(live, refitted, strict=True)]
        made.append(
            Row(
                name=row_name(title, forgetting),
                ours=round(statistics.mean(live), 2),
                unit="% of pieces right",
                limit=round(statistics.mean(refitted), 2),
                note=f"{statistics.mean(gains):+.1f} against a head fitted at the end; by person "
                + " ".join(f"{gain:+.1f}" for gain in gains),
            )
        )
    return made


def short() -> None:
    """Learn a made-up watch with a small module and a head that keeps up.

    Raises
    ------
    SystemExit
        Where the live head does not tell the exercises.

    """
    watch = infomax_made_up.watch()
    found = fold(watch, Variant("", {"units": 16}, again(10, 100)), people(watch)[0], 0)
    live = found[called(FORGETTING[1])]
    print(
        f"{100 * live:.1f} % of pieces, {100 * found[REFITTED]:.1f} % by a head fitted at the end"
    )
    if live < (1 + 1 / watch.classes) / 2:
        sys.exit("infomax_heads: it does not learn")


def main() -> None:
    """Measure what is named, and write the table after each variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", choices=[*VARIANTS, []], help="none: all")
    parser.add_argument("--people", type=int, default=4, help="how many are left out in turn")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--short", action="store_true", help="a made-up watch, a small net")
    arguments = parser.parse_args()
    if arguments.short:
        short()
        return
    watch = data.load(str((environment().data or Path()) / "watch" / "watch.npz"))
    for name in arguments.name or VARIANTS:
        found = measured(name, watch, arguments.people, arguments.state)
        _write(rows(VARIANTS[name].title, found))


def _write(new: Sequence[Row]) -> None:
    order = [row_name(one.title, f) for one in VARIANTS.values() for f in FORGETTING]
    update(report(NAME, "make infomax-heads", new), order=order)


if __name__ == "__main__":
    main()
