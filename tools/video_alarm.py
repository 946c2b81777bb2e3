"""How often an alarm on the video net's embedding is right, into docs/results/ff-video.json.

A film runs through configs/forward_forward_video.toml and at a random frame something happens: the
film turns and runs backwards, or another camera's picture comes instead. An alarm within 10 frames
(a second) is a hit; an alarm where nothing happened is a false one. Beside it stand the same net
without learning, and detectors that look at pixels. Thresholds are those that give the wanted
false alarms on the film as it is, first seed; all other runs (mirrored, upside down, backwards from
the start, other seeds) only use them.

`watch ENDPOINT` says what happens in the stream of a daemon that runs.
"""

import argparse
import copy
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results import write

from streamlearn import config as config_module
from streamlearn.bench.load import cpu_s
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Report, Row, report
from streamlearn.client import Producer, Subscriber
from streamlearn.config import load
from streamlearn.data import load as load_data
from streamlearn.part import F32, UNLABELLED, Part, Rows
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.wire.published import Embedding

CONFIG: Final = Path(__file__).resolve().parent.parent / "configs" / "forward_forward_video.toml"
SIZE: Final = (72, 96)
FRAMES_HZ: Final = 10
WITHIN: Final = 10
"""Frames after which an alarm is too late: a second."""
WARM: Final = 150
"""Frames before alarms count: the net and the alarm's own scales have seen nothing yet."""
LAG: Final = 9
"""Frames over which a path may be retraced: there and back."""
TURNS: Final = (0, 3, 4, 6, 1, 2, 5, 7)
"""Forms of the film: bits 1 mirrored, 2 upside down, 4 backwards from the start."""
_QUIET: Final = 20
"""Frames of one event: alarms in them count once."""

Film = NDArray[np.float32]


class Fading:
    """Mean and spread of a number, exact at first, of the last `rows` later on."""

    def __init__(self, rows: int) -> None:
        self.rows, self.seen, self.mean, self.variance = rows, 0, 0.0, 0.0

    def score(self, x: float) -> float:
        """How many spreads x is above the mean of what came before; x is then added."""
        spread = self.variance**0.5
        score = (x - self.mean) / max(spread, 1e-6) if self.seen > 20 else 0.0
        self.add(x)
        return score

    def add(self, x: float) -> None:
        """Add a number."""
        self.seen += 1
        rate = max(1 / self.seen, 1 / self.rows)
        deviation = x - self.mean
        self.mean += rate * deviation
        self.variance = (1 - rate) * (self.variance + rate * deviation**2)


class Trace:
    """A row of directions, of which it says how far the last ones retrace those before.

    With d the distance 1 - cos between two of them, and lag the frames of a turn and its way back:

        retraced = -log(mean_i d(t - i, t - lag + i) / mean d(s, s - 1))      over the lag
        scene = z-score of the distance from their fading mean

    """

    def __init__(self) -> None:
        self._last: list[NDArray[np.float64]] = []
        self._mean: NDArray[np.float64] | None = None
        self._distance = Fading(100)

    def scores(self, x: NDArray[Any]) -> tuple[float, float]:
        """Retraced and scene of the next numbers."""
        now = x.ravel().astype(np.float64)
        now /= max(float(np.linalg.norm(now)), 1e-9)
        self._last = [*self._last, now][-LAG - 1 :]
        return self._retraced(), self._scene(now)

    def _retraced(self) -> float:
        last = self._last
        if len(last) <= LAG or self._distance.seen < 30:
            return 0.0
        back = [_apart(last[LAG - i], last[i]) for i in range((LAG + 1) // 2)]
        step = [_apart(last[i], last[i + 1]) for i in range(LAG)]
        return -math.log((statistics.fmean(back) + 1e-4) / (statistics.fmean(step) + 1e-4))

    def _scene(self, now: NDArray[np.float64]) -> float:
        mean = now.copy() if self._mean is None else self._mean
        rate = max(1 / (self._distance.seen + 1), 1 / self._distance.rows)
        length = max(float(np.linalg.norm(mean)), 1e-9)
        score = self._distance.score(1 - float(now @ mean) / length)
        self._mean = mean + rate * (now - mean)
        return score


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """1 - cos of two directions of length 1."""
    return 1 - float(one @ other)


class Eyes:
    """All detectors at once, one frame after the other."""

    def __init__(self) -> None:
        self._embedding, self._pixels, self._change = Trace(), Trace(), Fading(100)
        self._before: NDArray[Any] | None = None
        self._background = np.zeros(SIZE)
        self._seen = 0

    def scores(self, embedding: F32, frame: Film) -> list[float]:
        """Scores in the order of `DETECTORS`."""
        change = 0.0 if self._before is None else float(np.abs(frame - self._before).mean())
        self._before = frame
        moving = frame - (self._background if self._seen else frame)
        self._seen += 1
        self._background += max(1 / self._seen, 0.01) * (frame - self._background)
        return [
            *self._embedding.scores(embedding),
            *self._pixels.scores(moving),
            abs(self._change.score(change)),
        ]


DETECTORS: Final = (
    "embedding retraced",
    "embedding elsewhere",
    "pixels retraced (no net)",
    "pixels elsewhere (no net)",
    "unusual change of pixels (no net)",
)


class Camera(NamedTuple):
    """Which net looks at which form of the film."""

    seed: int
    turned: int
    """One of `TURNS`."""

    def of(self, film: Film) -> Film:
        """The film as this camera sees it, in the order of its frames."""
        return film[:, :: -1 if self.turned & 2 else 1, :: -1 if self.turned & 1 else 1]


class Run(NamedTuple):
    """What all detectors said."""

    clean: NDArray[np.float64]
    """[T, detectors] where nothing happens."""
    after: dict[str, NDArray[np.float64]]
    """Kind of event → [trials, WITHIN, detectors] from its first frame on."""


def new_part(seed: int, *settings: str) -> Part:
    """The net of the configuration."""
    config = load(CONFIG, CATALOGUE, [f"seed={seed + 1}", *settings])
    return Plan(config).parts[0][0]


def played(part: Part, eyes: Eyes, film: Film, first: int) -> NDArray[np.float64]:
    """Scores [T, detectors] of frames that are learned."""
    x = np.ascontiguousarray(film.reshape(len(film), -1))
    out = np.zeros((len(x), part.width_out), np.float32)
    part.learn(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), first))
    rows = [eyes.scores(one, frame) for one, frame in zip(out, film, strict=True)]
    return np.array(rows).reshape(len(x), len(DETECTORS))


def run(camera: Camera, films: dict[str, Film], count: int, noise: float, *settings: str) -> Run:
    """One run of a film; `count` times something else happens and is then undone."""
    random = np.random.default_rng([camera.seed, camera.turned, round(noise)])
    film = camera.of(films["film"])[:: -1 if camera.turned & 4 else 1]
    seen = film + np.float32(noise) * random.standard_normal(film.shape, np.float32)
    part, eyes, done = new_part(camera.seed, *settings), Eyes(), 0
    clean, after = [], {}
    for at in np.sort(random.choice(np.arange(200, len(film) - 5), count, replace=False)).tolist():
        clean.append(played(part, eyes, seen[done:at], done))
        kept, done = {name: array.copy() for name, array in part.arrays().items()}, at
        for kind, other in happenings(camera, film, films, at, random):
            noisy = other + np.float32(noise) * random.standard_normal(other.shape, np.float32)
            after.setdefault(kind, []).append(played(part, copy.deepcopy(eyes), noisy, at))
            for name, array in part.arrays().items():
                array[...] = kept[name]
    clean.append(played(part, eyes, seen[done:], done))
    return Run(np.concatenate(clean), {kind: np.stack(all_) for kind, all_ in after.items()})


def happenings(
    camera: Camera, film: Film, films: dict[str, Film], at: int, random: np.random.Generator
) -> Iterator[tuple[str, Film]]:
    """What comes from frame `at` on, in place of the film's own frames."""
    yield "film turns back", film[at - 2 :: -1][:WITHIN]
    for name in ("tree", "cube"):
        other = camera.of(films[name])
        start = int(random.integers(0, len(other) - WITHIN))
        yield f"camera shows {name}", other[start : start + WITHIN]


def false_alarms(clean: Sequence[NDArray[np.float64]], threshold: float) -> float:
    """Alarms a minute where nothing happens [T] each; those close together are one."""
    alarms = frames = 0
    for level in clean:
        last = -_QUIET
        for frame in np.flatnonzero(level[WARM:] > threshold).tolist():
            if frame >= last + _QUIET:
                alarms, last = alarms + 1, frame
        frames += len(level) - WARM
    return alarms / (frames / FRAMES_HZ / 60)


def threshold_for(clean: Sequence[NDArray[np.float64]], per_minute: float) -> float:
    """The lowest threshold with at most so many false alarms."""
    levels = np.unique(np.concatenate([level[WARM:] for level in clean]))[::-1]
    chosen = levels[0]
    for level in levels.tolist():
        if false_alarms(clean, level) > per_minute:
            break
        chosen = level
    return float(chosen)


def rows_of(name: str, runs: Sequence[Run], per_minute: float, chosen: Sequence[int]) -> list[Row]:
    """Hits and false alarms of each detector; the first run sets thresholds."""
    rows = []
    for d in chosen:
        threshold = threshold_for([runs[0].clean[:, d]], per_minute)
        others = runs[1:] or runs
        false = false_alarms([one.clean[:, d] for one in others], threshold)
        for kind in runs[0].after:
            hits = np.concatenate([(r.after[kind][:, :, d] > threshold) for r in others])
            hit = hits.any(axis=1)
            when = statistics.median(hits[hit].argmax(axis=1) + 1) if hit.any() else 0
            rows.append(
                Row(
                    name=f"{name}{kind}: {DETECTORS[d]}",
                    ours=round(100 * float(hit.mean()), 1),
                    unit="% told within 10 frames",
                    seeds=len(hits),
                    note=f"{false:.2f} false alarms a minute; median frame {when:g}",
                )
            )
    return rows


def daemon_rows(film: Film) -> Iterator[Row]:
    """Frames a second through a real daemon, and its share of a core at 10 a second."""
    frames = film.astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder, DaemonProcess(CONFIG, folder) as daemon:
        daemon.wait_ready(600)
        with (
            Producer(daemon.pull, timeout_s=60, shape=SIZE) as producer,
            Subscriber(daemon.publish, ["embedding/"], timeout_s=60) as subscriber,
        ):
            with Subscriber(daemon.publish, ["metrics"], timeout_s=60) as probe:
                next(probe)  # by now the daemon has heard of the other one, too
            began, used = time.perf_counter(), cpu_s(daemon.pid)
            for frame in np.concatenate([frames] * 3):
                producer.send(frame)
            last = 0
            while last < 3 * len(frames) - 1:
                last = next(m for m in subscriber if isinstance(m, Embedding)).seq
            rate = 3 * len(frames) / (time.perf_counter() - began)
            full = 3 * len(frames) / (cpu_s(daemon.pid) - used)
            began, used, waits = time.perf_counter(), cpu_s(daemon.pid), []
            for i, frame in enumerate(frames[:200]):
                time.sleep(max(0.0, began + i / FRAMES_HZ - time.perf_counter()))
                sent = time.perf_counter()
                number = producer.send(frame)
                while next(subscriber).seq < number:  # type: ignore[union-attr]
                    pass
                waits.append(1000 * (time.perf_counter() - sent))
            share = (cpu_s(daemon.pid) - used) / (time.perf_counter() - began)
            missed = subscriber.missed
    yield Row(
        name="daemon, one frame a message, as fast as it goes",
        ours=round(rate, 1),
        unit="frames/s",
        limit=10.0 * FRAMES_HZ,
        note=f"{missed} embeddings missed",
    )
    yield Row(
        name="daemon, frames in a second of its own processor time",
        ours=round(full, 1),
        unit="frames/s",
        limit=10.0 * FRAMES_HZ,
    )
    yield Row(
        name="daemon, share of a core at 10 frames a second",
        ours=round(100 * share, 2),
        unit="% of a core",
    )
    yield Row(
        name="daemon, from frame sent to embedding, median",
        ours=round(statistics.median(waits), 2),
        unit="ms",
        note=f"largest {max(waits):.1f}",
    )


def measure(seeds: int, cameras: int, trials: int, per_minute: float) -> Report:
    """All rows."""
    data = config_module.environment().data
    assert data is not None, "set $STREAMLEARN_DATA"
    names = {"film": "vtest_gray_96x72.npz", "tree": "tree.avi", "cube": "cube.mpeg"}
    films = {
        name: load_data(str(data / "video" / file), size=SIZE).X.astype(np.float32)
        for name, file in names.items()
    }
    rows = []
    every = [Camera(seed, turned) for seed in range(seeds) for turned in TURNS[:cameras]]
    for name, noise, settings, which in (
        ("", 0.0, (), range(5)),
        ("without learning, ", 0.0, ("layer.0.rate=0.0",), (0, 1)),
        ("sensor noise of 3 greys, ", 3.0, (), range(5)),
    ):
        runs = []
        for camera in every if not name else every[:cameras]:
            print(f"{name}{camera}", file=sys.stderr, flush=True)
            runs.append(run(camera, films, trials, noise, *settings))
        rows += rows_of(name, runs, per_minute, which)
        for row in rows:
            print(row.name, row.ours, row.note, file=sys.stderr, flush=True)
    rows += daemon_rows(films["film"])
    command = f"python tools/video_alarm.py --seeds {seeds} --cameras {cameras} --trials {trials}"
    return report("ff-video", f"{command} --per-minute {per_minute:g}", rows)


def watch(endpoint: str, retraced: float, elsewhere: float) -> None:
    """Say what happens in the stream of a daemon that runs."""
    path = Trace()
    with Subscriber(endpoint, ["embedding/"]) as subscriber:
        for message in subscriber:
            for i, embedding in enumerate(message.x if isinstance(message, Embedding) else ()):
                back, scene = path.scores(embedding)
                if back > retraced or scene > elsewhere:
                    what = "retraces its path" if back > retraced else "is elsewhere"
                    print(f"frame {message.seq + i}: {what} ({back:.2f}, {scene:.1f})", flush=True)


def main() -> None:
    """Measure, or watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("watch", nargs="*", help="watch ENDPOINT; nothing: measure")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cameras", type=int, default=8, help="forms of the film, at most 8")
    parser.add_argument("--trials", type=int, default=25, help="of each kind, a run")
    parser.add_argument("--per-minute", type=float, default=1.0, help="false alarms that may be")
    parser.add_argument("--retraced", type=float, default=1.0, help="threshold, for watch")
    parser.add_argument("--elsewhere", type=float, default=6.0, help="threshold, for watch")
    arguments = parser.parse_args()
    if arguments.watch:
        watch(arguments.watch[-1], arguments.retraced, arguments.elsewhere)
    else:
        print(
            write(
                measure(arguments.seeds, arguments.cameras, arguments.trials, arguments.per_minute)
            )
        )


if __name__ == "__main__":
    main()
