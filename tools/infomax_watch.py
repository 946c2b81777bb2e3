"""Greedy InfoMax on a smartwatch: an exercise told on a person that the encoder never saw.

    make infomax-watch                             every row of the table: hours
    make infomax-watch ARGS='untrained device'     some rows
    make infomax-watch ARGS=--short                two people, small nets: seconds, for CI

Leave one person out: the encoder and the head learn from the recordings of nine people, once, and
are tried on two-second pieces of the tenth's. Shares of right pieces are averaged over people, then
over seeds. Beside each row stands the encoder of the same shape that never learned, with the same
head: without it a figure means nothing. Their difference is paired over people and seeds (t-test).
Writes docs/results/infomax-watch.json; figures by person are kept in --state.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import infomax_made_up
import numpy as np
from infomax_encoders import UNTRAINED, Setting, config_of, learned, pieces, scores
from results import update

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import environment
from streamlearn.data import Dataset

HOP: Final = 5
SETTING: Final = Setting(
    ({"step": "window", "rows": 10, "hop": HOP}, {"step": "standardize"}), pool_rows=20
)
WIDE: Final = Setting(
    ({"step": "window", "rows": 25, "hop": 10}, {"step": "standardize"}), pool_rows=10
)
STATE: Final = Path("state-infomax")


class Encoder(NamedTuple):
    """One row of the table."""

    title: str
    layers: tuple[Mapping[str, Any], ...]
    setting: Setting = SETTING
    beside: str = "untrained"
    """The row of the same shape that never learned."""


def one(**options: Any) -> tuple[Mapping[str, Any], ...]:
    """One module of 256 units."""
    return ({"units": 256, **options},)


DEVICE: Final = {"negatives_from": "device"}
ENCODERS: Final[Mapping[str, Encoder]] = {
    "untrained": Encoder("never learned, 10 samples, 256 units", one(**UNTRAINED)),
    "device": Encoder("InfoNCE, negatives of the same person", one(**DEVICE)),
    "other": Encoder("InfoNCE, negatives of any other recording", one()),
    "k1": Encoder("the same person, 1 step ahead", one(**DEVICE, steps=1)),
    "k4": Encoder("the same person, 4 steps ahead", one(**DEVICE, steps=4)),
    "k12": Encoder("the same person, 12 steps ahead", one(**DEVICE, steps=12)),
    "hinge": Encoder("hinge, one negative (CLAPP)", one(loss="hinge")),
    "lpl": Encoder("no negatives (LPL)", one(loss="lpl")),
    "lru": Encoder("the same person, recurrent context", one(**DEVICE, context="lru")),
    "every4": Encoder("the same person, every 4th row learned", one(**DEVICE, update_every=4)),
    "every16": Encoder("the same person, every 16th row learned", one(**DEVICE, update_every=16)),
    "untrained25": Encoder(
        "never learned, 25 samples, 128 units", ({"units": 128, **UNTRAINED},), WIDE, "untrained25"
    ),
    "device25": Encoder(
        "InfoNCE, the same person, 25 samples, 128 units",
        ({"units": 128, **DEVICE},),
        WIDE,
        "untrained25",
    ),
    "untrained2": Encoder(
        "never learned, two modules", (*one(**UNTRAINED), *one(**UNTRAINED)), beside="untrained2"
    ),
    "device2": Encoder(
        "InfoNCE, the same person, two modules",
        (*one(**DEVICE), *one(**DEVICE)),
        beside="untrained2",
    ),
}


def person(recording: Dataset) -> str:
    """Who wore the watch."""
    return recording.stream(0, "").split("/")[1]


def people(watch: Dataset) -> list[str]:
    """Everyone, in order."""
    return sorted({name.split("/")[0] for name in watch.names}, key=int)


def fold(watch: Dataset, encoder: Encoder, who: str, seed: int) -> tuple[float, float]:
    """Share of the person's pieces told right, and seconds of learning."""
    recordings = watch.recordings()
    seen = [r for r in recordings if person(r) != who]
    train = watch.part(
        np.isin(watch.series, [int(r.series[0]) for r in seen if r.series is not None])
    )
    config = config_of(encoder.setting, watch, encoder.layers, seed)
    began = time.perf_counter()
    learner = learned(config, train, HOP)
    seconds = time.perf_counter() - began
    steps = encoder.setting.pool_rows
    try:
        known = pieces(learner, seen, steps)
        asked = pieces(learner, [r for r in recordings if person(r) == who], steps)
    finally:
        learner.pipeline.close()
    said = scores(known, asked, watch.classes, encoder.setting.ridge, seed)
    right = [s.argmax(axis=1) == y for s, (_, y) in zip(said, asked, strict=True)]
    return float(np.concatenate(right).mean()), seconds


def hand_made(watch: Dataset) -> list[float]:
    """The same head on mean, deviation, least and largest value of each channel, by person."""

    def features(r: Dataset) -> tuple[Any, Any]:
        assert r.y is not None
        whole = r.X[: len(r.X) // 100 * 100].reshape(-1, 100, r.X.shape[1])
        parts = [whole.mean(1), whole.std(1), whole.min(1), whole.max(1)]
        return np.hstack(parts).astype(np.float32), np.repeat(r.y[:1], len(whole))

    recordings = watch.recordings()
    found = {id(r): features(r) for r in recordings if len(r.X) >= 100}
    shares = []
    for who in people(watch):
        train = [found[id(r)] for r in recordings if id(r) in found and person(r) != who]
        test = [found[id(r)] for r in recordings if id(r) in found and person(r) == who]
        said = scores(train, test, watch.classes, SETTING.ridge, 0)
        right = [s.argmax(axis=1) == y for s, (_, y) in zip(said, test, strict=True)]
        shares.append(float(np.concatenate(right).mean()))
    return shares


def measured(name: str, watch: Dataset, seeds: int, state: Path) -> dict[str, float]:
    """Seed and person → share of right pieces; what was measured before is kept."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / f"watch-{name}.json"
    found: dict[str, float] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for seed in range(seeds):
        for who in people(watch):
            key = f"{seed} {who}"
            if key not in found:
                found[key], seconds = fold(watch, ENCODERS[name], who, seed)
                file.write_text(json.dumps(found), "utf-8")
                print(
                    f"{name}, seed {seed}, person {who}: {found[key]:.4f}, {seconds:.0f} s",
                    flush=True,
                )
    return found


def paired(ours: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[float, float]:
    """Mean difference over people, their seeds averaged, and its t."""
    keys = [key for key in ours if key in theirs]
    by_person: dict[str, list[float]] = {}
    for key in keys:
        by_person.setdefault(key.split()[1], []).append(ours[key] - theirs[key])
    gains = [statistics.mean(values) for values in by_person.values()]
    mean = statistics.mean(gains)
    deviation = statistics.stdev(gains) if len(gains) > 1 else 0.0
    return mean, mean / (deviation / len(gains) ** 0.5) if deviation else 0.0


def row(name: str, found: Mapping[str, float], beside: Mapping[str, float]) -> Row:
    """A row of the table, in percent."""
    seeds = sorted({key.split()[0] for key in found})
    means = [100 * statistics.mean(v for k, v in found.items() if k.split()[0] == s) for s in seeds]
    note = ""
    if beside and beside is not found:
        gain, t = paired(found, beside)
        note = (
            f"{100 * gain:+.1f} against the same shape that never learned, t = {t:.1f} over people"
        )
    return Row(
        name=ENCODERS[name].title,
        ours=round(statistics.mean(means), 2),
        unit="% of pieces right",
        seeds=len(seeds),
        spread=round(max(means) - min(means), 2),
        note=note,
    )


def short() -> None:
    """Learn a made-up watch with a small module.

    Raises
    ------
    SystemExit
        Where the exercises are not told apart.

    """
    watch = infomax_made_up.watch(people=2)
    share, _ = fold(watch, Encoder("small", ({"units": 16},), WIDE), people(watch)[0], 0)
    print(f"{100 * share:.1f} % of pieces of a made-up person; by chance {100 / watch.classes:.0f}")
    if share < 1.5 / watch.classes:
        sys.exit("infomax_watch: it does not learn")


def main() -> None:
    """Measure what is named, and write the table after each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", choices=[*ENCODERS, []], help="none: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--short", action="store_true", help="a made-up watch, a small net")
    arguments = parser.parse_args()
    if arguments.short:
        short()
        return
    folder = environment().data
    watch = data.load(str((folder or Path()) / "watch" / "watch.npz"))
    shares = [100 * share for share in hand_made(watch)]
    hand = Row(
        name="hand-made: mean, deviation, least, largest",
        ours=round(statistics.mean(shares), 2),
        unit="% of pieces right",
        note=f"worst person {min(shares):.1f}",
    )
    _write([hand])
    for name in arguments.name or ENCODERS:
        found = measured(name, watch, arguments.seeds, arguments.state)
        beside = ENCODERS[name].beside
        other = measured(beside, watch, arguments.seeds, arguments.state) if beside != name else {}
        _write([row(name, found, other)])


def _write(rows: list[Row]) -> None:
    new = report("infomax-watch", "make infomax-watch", rows)
    titles = [encoder.title for encoder in ENCODERS.values()]
    update(new, order=["hand-made: mean, deviation, least, largest", *titles])


if __name__ == "__main__":
    main()
