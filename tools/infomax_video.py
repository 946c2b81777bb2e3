"""Greedy InfoMax on video: the next frame told from others, and surprise when a hand comes in.

    make infomax-video                    three seeds, into docs/results: minutes
    make infomax-video ARGS='--seeds 1'

Nets of configs/infomax_video.toml. A clip of people walking past a fixed camera is played once: how
often the frame that comes next is told from its negatives, in the last frames of the clip, beside
the same net that never learned (its W_k are the identity: codes are compared as they are). Then
another camera takes over, `tree.avi`, in which a hand comes into the picture at frame 53, counted
from 0, as one sees on the frames; and that film once more, to a net that has seen nothing before.
Steps and sizes were chosen with this film and the first seed before one's eyes: one hand in one
film is no proof for others.

An alarm is a frame whose surprise is above a bound: the largest surprise in earlier frames of the
film, or what gives at most one false alarm a minute in the first half of the clip; and both once
more where two frames in a row have to be above it. Beside them a rule without a net: how far the
mean absolute change of pixels is above its fading mean, in deviations.
Writes docs/results/infomax-video.json and docs/infomax-video.png.
"""

import argparse
import statistics
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results import write
from video_alarm import Fading

from streamlearn.bench.report import Report, Row, median_row, report
from streamlearn.config import Config, environment, parse
from streamlearn.data import load as load_data
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.wire.message import Sample

ROOT: Final = Path(__file__).resolve().parent.parent
CONFIG: Final = ROOT / "configs" / "infomax_video.toml"
PICTURE: Final = ROOT / "docs" / "infomax-video.png"
SIZE: Final = (72, 96)
CLIP_HZ: Final = 10.0
TREE_HZ: Final = 15.0
HAND: Final = 53
"""First frame of tree.avi with a piece of the hand in it, at the upper edge; whole from 54 on."""
EARLIER: Final = range(16, 40)
"""Frames of tree.avi that set a bound; 40 to 52 then show whether it holds."""
WARM: Final = 100
"""Frames of the clip before alarms count."""
LAST: Final = 200
"""Frames of the clip in which contrast counts."""
QUIET: Final = 20
"""Frames of one event: alarms in them count once."""
NETS: Final[Mapping[str, Mapping[str, Any]]] = {"learned": {}, "never learned": {"rate": 0.0}}
"""With a rate of 0 figures go on, and W and W_k stay as they began."""

F64 = NDArray[np.float64]
Film = NDArray[np.uint8]


class Seen(NamedTuple):
    """What a net made of a film."""

    surprise: F64
    """[T]"""
    accuracy: F64
    """[T] fading share of positions, told one frame ahead, that beat all negatives."""


def configured(seed: int, net: str, *, differences: bool = False) -> Config:
    """The configuration with another seed; differences of frames in the place of its first step."""
    raw = tomllib.loads(CONFIG.read_text("utf-8"))
    raw |= {"seed": seed, "pipeline": {"block_rows": 1, "threads": 1}}
    raw["layer"][0] |= NETS[net]
    if differences:
        scaled = {"step": "scale", "divide_by": 255}
        raw["prepare"] = [scaled, {"step": "difference"}, raw["prepare"][-1]]
    return parse(raw, CATALOGUE)


def watched(config: Config, films: Mapping[str, Film]) -> dict[str, Seen]:
    """Play films one after the other, each a stream of its own, frame by frame."""
    learner = Learner(config)
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        return {name: _played(learner, name, film) for name, film in films.items()}
    finally:
        learner.pipeline.close()


def _played(learner: Learner, name: str, film: Film) -> Seen:
    stage = learner.layer("layer1")
    assert stage is not None
    column = learner.ring.column(f"{stage.name}/surprise")
    frames = film.reshape(len(film), -1)
    found = np.zeros((2, len(film)))
    for i in range(len(frames)):
        offer(learner, Sample(name, "", i, 1, float("nan"), frames[i : i + 1], None))
        learner.pipeline.wait_done()
        learner.pipeline.check()
        found[0, i] = column[(learner.ring.head - 1) % len(column), 0]
        again = i % 10 == 0 or i == len(frames) - 1
        found[1, i] = stage.part.gauges()["accuracy_k1"] if again else found[1, i - 1]
    return Seen(found[0], found[1])


def changes(film: Film, scale: Fading) -> F64:
    """How unusual the mean absolute change of pixels is [T]; 0 for the first frame."""
    change = np.abs(np.diff(film.astype(np.float64), axis=0)).mean(axis=(1, 2))
    return np.array([0.0, *(scale.score(one) for one in change)])


def alarms(level: F64, bound: float) -> int:
    """How often a level [T] rises above a bound; what is close together is one."""
    count, last = 0, -QUIET
    for frame in np.flatnonzero(level > bound).tolist():
        if frame >= last + QUIET:
            count += 1
            last = frame
    return count


def a_minute(level: F64, bound: float) -> float:
    """Alarms a minute of the clip."""
    return alarms(level, bound) / (len(level) / CLIP_HZ / 60)


def bound_on(level: F64, per_minute: float) -> float:
    """The lowest bound with at most so many alarms a minute in frames [T] of the clip."""
    chosen = float(level.max())
    for bound in np.unique(level)[::-1].tolist():
        if a_minute(level, bound) > per_minute:
            break
        chosen = bound
    return chosen


def held(level: F64) -> F64:
    """What a level [T] was above for two frames, this one and the one before."""
    return np.minimum(level, np.concatenate((level[:1], level[:-1])))


def delay(tree: F64, bound: float) -> int | None:
    """Frames from the hand's first to the alarm; None without one."""
    above = np.flatnonzero(tree[HAND:] > bound)
    return int(above[0]) if len(above) else None


def contrast_rows(what: str, runs: Mapping[str, Sequence[Seen]]) -> list[Row]:
    """Next-frame contrast of each net in the last frames of the clip."""
    rows = []
    for net, seen in runs.items():
        shares = [100 * float(one.accuracy[-LAST:].mean()) for one in seen]
        title = f"next frame told, {what}, {net}"
        note = f"last {LAST} frames; against 16 others of the frame, 1 in 17 by chance"
        note += "" if net == "learned" else "; W_k the identity"
        rows.append(median_row(title, shares, "% of positions", note=note))
    return rows


def _told(delays: Sequence[int | None]) -> tuple[float, str]:
    """Share of runs with an alarm, and how long it took."""
    found = [frames for frames in delays if frames is not None]
    share = 100 * len(found) / len(delays)
    if not found:
        return share, "no alarm"
    frames = statistics.median(found)
    latest = f", latest {max(found)}" if len(found) > 1 else ""
    return share, f"{frames:g} frames ({frames / TREE_HZ:.2f} s) after the hand's first{latest}"


def alarm_row(
    name: str, bounds: Sequence[float], clips: Sequence[F64], trees: Sequence[F64]
) -> Row:
    """Whether the hand gives an alarm, when, and what else does."""
    share, when = _told([delay(tree, bound) for tree, bound in zip(trees, bounds, strict=True)])
    pairs = zip(trees, bounds, strict=True)
    before = sum(alarms(tree[EARLIER.stop : HAND], bound) for tree, bound in pairs)
    note = f"{when}; {before} false alarms in the {HAND - EARLIER.stop} frames before"
    if clips:
        false = [a_minute(clip, bound) for clip, bound in zip(clips, bounds, strict=True)]
        note += f"; {statistics.fmean(false):.2f} a minute in the clip"
    return Row(
        name=name, ours=round(share, 1), unit="% of runs with an alarm", seeds=len(trees), note=note
    )


def alarm_rows(name: str, clips: Sequence[F64], trees: Sequence[F64]) -> list[Row]:
    """Alarms at both bounds; `clips` [T] and then `trees` [T] of the same nets."""
    steady = [*map(held, clips)], [*map(held, trees)]
    return [
        *_at_both_bounds("", name, clips, trees),
        *_at_both_bounds(" for two frames", name, *steady),
    ]


def _at_both_bounds(
    how: str, name: str, clips: Sequence[F64], trees: Sequence[F64]
) -> tuple[Row, Row]:
    middle = len(clips[0]) // 2
    own = [float(tree[EARLIER.start : EARLIER.stop].max()) for tree in trees]
    of_clip = [bound_on(clip[WARM:middle], 1.0) for clip in clips]
    later = [clip[middle:] for clip in clips]
    whole = [clip[WARM:] for clip in clips]
    return (
        alarm_row(f"hand, bound of earlier frames{how}: {name}", own, whole, trees),
        alarm_row(f"hand, bound of the clip's first half{how}: {name}", of_clip, later, trees),
    )


def measured(films: Mapping[str, Film], seeds: int) -> tuple[list[Row], dict[str, F64]]:
    """All rows, and what is drawn of the first seed."""
    runs: dict[str, list[dict[str, Seen]]] = {net: [] for net in NETS}
    fresh: dict[str, list[F64]] = {net: [] for net in NETS}
    moving: dict[str, list[Seen]] = {net: [] for net in NETS}
    for net in NETS:
        for seed in range(seeds):
            print(f"{net}, seed {seed}", file=sys.stderr, flush=True)
            config = configured(seed, net)
            runs[net].append(watched(config, films))
            fresh[net].append(watched(config, {"tree": films["tree"]})["tree"].surprise)
            config = configured(seed, net, differences=True)
            moving[net].append(watched(config, {"clip": films["clip"]})["clip"])
    still = {net: [run["clip"] for run in all_] for net, all_ in runs.items()}
    rows = [
        *contrast_rows("background taken away", still),
        *contrast_rows("differences of frames", moving),
    ]
    for net, all_ in runs.items():
        both = ([run[film].surprise for run in all_] for film in ("clip", "tree"))
        rows += alarm_rows(f"surprise after the clip, {net}", *both)
    scale = Fading(100)
    clip = changes(films["clip"], scale)
    tree = changes(films["tree"], scale)
    rows += alarm_rows("change of pixels (no net), after the clip", [clip], [tree])
    alone = changes(films["tree"], Fading(100))
    for name, trees in (
        *((f"surprise, {net}", fresh[net]) for net in NETS),
        ("change of pixels (no net)", [alone]),
    ):
        own = [float(one[EARLIER.start : EARLIER.stop].max()) for one in trees]
        title = f"hand, nothing seen before, bound of earlier frames: {name}"
        rows.append(alarm_row(title, own, [], trees))
    drawn = {net: all_[0]["tree"].surprise for net, all_ in runs.items()}
    return rows, drawn | {"change of pixels": tree}


def draw(levels: Mapping[str, F64], path: Path) -> None:
    """Surprise over the frames of tree.avi, with the moment at which the hand comes in."""
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra, needed only here

    figure = Figure(figsize=(9, 1.9 * len(levels) + 0.6), dpi=120, layout="constrained")
    panels: Any = figure.subplots(len(levels), sharex=True, squeeze=False)[:, 0]
    for axes, (name, level) in zip(panels, levels.items(), strict=True):
        bound = float(level[EARLIER.start : EARLIER.stop].max())
        axes.axvspan(EARLIER.start, EARLIER.stop - 1, color="#8795a1", alpha=0.15, lw=0)
        axes.plot(level, color="#22303c", lw=1.4, marker="o", ms=2.5)
        axes.axhline(bound, color="#8795a1", lw=1, ls="--", label="largest in the shaded frames")
        axes.axvline(HAND, color="#c2410c", lw=1.4, label="the hand comes in")
        axes.set_ylim(min(-1.0, float(level.min()) - 0.5), max(5.0, float(level.max()) + 0.8))
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_ylabel("deviations")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, loc="upper left")
    panels[-1].set_xlabel("frame of tree.avi")
    figure.savefig(path)


def measure(folder: Path, seeds: int, picture: Path) -> Report:
    """All rows; draws on the way."""
    files = {"clip": "vtest_gray_96x72.npz", "tree": "tree.avi"}
    films = {name: load_data(str(folder / file), size=SIZE).X for name, file in files.items()}
    rows, drawn = measured(films, seeds)
    titles = {net: f"surprise of a net that has {net}" for net in NETS}
    draw({titles.get(name, name): level for name, level in drawn.items()}, picture)
    return report("infomax-video", f"python tools/infomax_video.py --seeds {seeds}", rows)


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    folder = environment().data
    assert folder is not None, "set $STREAMLEARN_DATA"
    result = measure(folder / "video", arguments.seeds, arguments.picture)
    for row in result.rows:
        print(row.name, row.ours, row.unit, row.note, file=sys.stderr, flush=True)
    print(write(result))


if __name__ == "__main__":
    main()
