"""Greedy InfoMax on a smartwatch: an exercise told on a person that the encoder never saw.

    make infomax-watch                             every row of the table: hours
    make infomax-watch ARGS='untrained device'     some rows
    make infomax-watch ARGS=--short                two people, small nets: seconds, for CI

Leave one person out: the encoder and the head learn from the recordings of nine people, once, and
are tried on two-second pieces of the tenth's. Shares of right pieces are averaged over people, then
over seeds. Beside each row stands the encoder of the same shape that never learned, with the same
head: without it a figure means nothing. Their difference is paired over people, the seeds of each
averaged, and over people and seeds (t-tests). Seconds are of the processor, all threads together,
for one pass over nine people, the middle one of all folds.
Writes docs/results/infomax-watch.json; figures by person are kept in --state.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import infomax_made_up
import numpy as np
from infomax_encoders import UNTRAINED, Setting, config_of, learned, pieces, scores
from infomax_end_to_end import MISSING, planned
from paired import tested
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
    end_to_end: bool = False
    """Whether all modules learn as one, in PyTorch."""


class Fold(NamedTuple):
    """What came of leaving out one person."""

    share: float
    """Of the person's pieces told right."""
    seconds: float
    """Of the processor, to learn the other people's recordings."""


Folds = dict[str, Fold]
"""Seed and person → fold."""


def one(**options: Any) -> tuple[Mapping[str, Any], ...]:
    """One module of 256 units."""
    return ({"units": 256, **options},)


def small(title: str, modules: int = 1, *, end_to_end: bool = False, **options: Any) -> Encoder:
    """Modules of 128 units on windows of half a second, which take a third of the time."""
    beside = "untrained25" if modules == 1 else "untrained25x2"
    layers = ({"units": 128, **options},) * modules
    return Encoder(f"{title}{SMALL}", layers, WIDE, beside, end_to_end)


DEVICE: Final = {"negatives_from": "device"}
SMALL: Final = ", 25 samples, 128 units"
ENCODERS: Final[Mapping[str, Encoder]] = {
    "untrained": Encoder("never learned, 10 samples, 256 units", one(**UNTRAINED)),
    "device": Encoder("InfoNCE, negatives of the same person", one(**DEVICE)),
    "lpl": Encoder("no negatives (LPL)", one(loss="lpl")),
    "untrained25": small("never learned", **UNTRAINED),
    "device25": small("InfoNCE, the same person", **DEVICE),
    "other25": small("InfoNCE, any other recording"),
    "hinge25": small("hinge, one negative (CLAPP)", **DEVICE, loss="hinge"),
    "lpl25": small("no negatives (LPL)", loss="lpl"),
    "lru25": small("InfoNCE, told from a linear recurrent unit", **DEVICE, context="lru"),
    "gru25": small("InfoNCE, told from a gated recurrent unit", **DEVICE, context="gru"),
    "k1": small("InfoNCE, 1 step ahead", **DEVICE, steps=1),
    "k4": small("InfoNCE, 4 steps ahead", **DEVICE, steps=4),
    "k12": small("InfoNCE, 12 steps ahead", **DEVICE, steps=12),
    "every4": small("InfoNCE, every 4th row learned", **DEVICE, update_every=4),
    "every16": small("InfoNCE, every 16th row learned", **DEVICE, update_every=16),
    "untrained25x2": small("never learned, two modules", 2, **UNTRAINED),
    "device25x2": small("InfoNCE, two modules", 2, **DEVICE),
    "end-to-end25x2": small(
        "InfoNCE, two modules as one, end to end", 2, end_to_end=True, **DEVICE
    ),
}


def person(recording: Dataset) -> str:
    """Who wore the watch."""
    return recording.stream(0, "").split("/")[1]


def people(watch: Dataset) -> list[str]:
    """Everyone, in order."""
    return sorted({name.split("/")[0] for name in watch.names}, key=int)


def fold(watch: Dataset, encoder: Encoder, who: str, seed: int) -> Fold:
    """Learn from all people but one, and ask about that one."""
    recordings = watch.recordings()
    seen = [r for r in recordings if person(r) != who]
    train = watch.part(
        np.isin(watch.series, [int(r.series[0]) for r in seen if r.series is not None])
    )
    config = config_of(encoder.setting, watch, encoder.layers, seed)
    plan = planned(config) if encoder.end_to_end else None
    began = time.process_time()
    learner = learned(config, train, HOP, plan=plan)
    seconds = time.process_time() - began
    steps = encoder.setting.pool_rows
    try:
        known = pieces(learner, seen, steps)
        asked = pieces(learner, [r for r in recordings if person(r) == who], steps)
    finally:
        learner.pipeline.close()
    said = scores(known, asked, watch.classes, encoder.setting.ridge, seed)
    right = [s.argmax(axis=1) == y for s, (_, y) in zip(said, asked, strict=True)]
    return Fold(float(np.concatenate(right).mean()), seconds)


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


def kept(name: str, state: Path) -> Folds:
    """Folds of a row that were measured before."""
    file = state / f"watch-{name}.json"
    found = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return {key: Fold(*values) for key, values in found.items()}


def measured(name: str, watch: Dataset, seeds: int, state: Path) -> Folds:
    """Folds of at least so many seeds, those of all people; what was measured before is kept."""
    everyone = people(watch)
    for seed in range(seeds):
        for who in everyone:
            measure(name, watch, f"{seed} {who}", state)
    found = kept(name, state)
    known = {key.split()[0] for key in found}
    whole = [seed for seed in known if all(f"{seed} {who}" in found for who in everyone)]
    return {key: one for key, one in found.items() if key.split()[0] in whole}


def measure(name: str, watch: Dataset, key: str, state: Path) -> None:
    """Measure one fold, if it was not, and keep it beside what others measured meanwhile."""
    if key in kept(name, state):
        return
    state.mkdir(parents=True, exist_ok=True)
    seed, who = key.split()
    found = {key: fold(watch, ENCODERS[name], who, int(seed))}
    (state / f"watch-{name}.json").write_text(json.dumps(kept(name, state) | found), "utf-8")
    share, seconds = found[key]
    print(f"{name}, seed {seed}, person {who}: {share:.4f}, {seconds:.0f} s", flush=True)


def compared(ours: Mapping[str, Fold], theirs: Mapping[str, Fold], name: str) -> str:
    """What a row has gained over another, paired over people and over people and seeds."""
    gains = {key: 100 * (ours[key].share - theirs[key].share) for key in ours if key in theirs}
    by_person: dict[str, list[float]] = {}
    for key, gain in gains.items():
        by_person.setdefault(key.split()[1], []).append(gain)
    mean, t, p = tested([statistics.mean(values) for values in by_person.values()])
    note = f"{mean:+.1f} against {name} (over {len(by_person)} people t = {t:.1f}, p = {p:.2g}"
    if len(gains) > len(by_person):
        _, t, p = tested([*gains.values()])
        note += f"; over people and seeds t = {t:.1f}, p = {p:.2g}"
    return note + ")"


def row(name: str, found: Folds, state: Path) -> Row:
    """A row of the table, in percent."""
    seeds = sorted({key.split()[0] for key in found})
    means = [
        100 * statistics.mean(one.share for key, one in found.items() if key.split()[0] == seed)
        for seed in seeds
    ]
    encoder = ENCODERS[name]
    others = {encoder.beside: "the same shape that never learned"}
    if encoder.end_to_end:
        others |= {"device25x2": "modules that learn alone"}
    notes = [compared(found, kept(n, state), t) for n, t in others.items() if n != name]
    seconds = statistics.median(one.seconds for one in found.values())
    count = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}"
    return Row(
        name=encoder.title,
        ours=round(statistics.mean(means), 2),
        unit="% of pieces right",
        seeds=len(seeds),
        spread=round(max(means) - min(means), 2),
        note="; ".join([*notes, count, f"{seconds:.2g} s of processor"]),
    )


def wanted(names: Sequence[str]) -> list[str]:
    """Rows to measure, each behind those that stand beside it; none named: all that can be.

    Raises
    ------
    SystemExit
        Where a row is named that needs PyTorch, which is not installed.

    """
    torch = importlib.util.find_spec("torch")
    if not torch and any(ENCODERS[name].end_to_end for name in names):
        sys.exit(f"infomax_watch: {MISSING}, or leave the row end to end out")
    asked = names or [name for name, one in ENCODERS.items() if torch or not one.end_to_end]
    found: dict[str, None] = {}
    for name in asked:
        beside = [ENCODERS[name].beside, *(["device25x2"] if ENCODERS[name].end_to_end else [])]
        found |= dict.fromkeys([*beside, name])
    return [*found]


def short() -> None:
    """Learn a made-up watch with a small module.

    Raises
    ------
    SystemExit
        Where the exercises are not told apart.

    """
    watch = infomax_made_up.watch(people=2)
    share = fold(watch, Encoder("small", ({"units": 16},), WIDE), people(watch)[0], 0).share
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
    names = wanted(arguments.name)
    for seed in range(arguments.seeds):  # rows in turn, so that their seconds compare
        for who in people(watch):
            for name in names:
                measure(name, watch, f"{seed} {who}", arguments.state)
    for name in names:
        found = measured(name, watch, arguments.seeds, arguments.state)
        _write([row(name, found, arguments.state)])


def _write(rows: list[Row]) -> None:
    new = report("infomax-watch", "make infomax-watch", rows)
    titles = [encoder.title for encoder in ENCODERS.values()]
    update(new, order=["hand-made: mean, deviation, least, largest", *titles])


if __name__ == "__main__":
    main()
