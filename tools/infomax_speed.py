"""How fast Greedy InfoMax learns a live stream, on what share of a core, in how much memory.

    make infomax-speed                          the three streams, PyTorch, memory: minutes
    make infomax-speed ARGS='--only memory --steps 1000000'   memory, over as many steps

Each stream runs through the pipeline in one process as fast as it goes. Its share of a core is the
processor time of a step, all threads together, times the steps that a second of real time brings.
Beside it the module alone, on rows that are prepared already, and the same module in eager PyTorch,
one step at a time on one thread, both in processor time, in turn within seconds, and their ratio.
Writes docs/results/infomax-speed.json and infomax-memory.json.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results import write

from streamlearn import data
from streamlearn.bench.load import resident_mib
from streamlearn.bench.report import Row, median_row, report
from streamlearn.bench.torch_greedy_infomax import MISSING, Shape, TorchInfomax
from streamlearn.config import Config, environment, parse
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.part import F32, UNLABELLED, Part, Rows
from streamlearn.plan import CATALOGUE
from streamlearn.wire.message import Sample

REPEATS: Final = 5
ROWS_A_MESSAGE: Final = 64
SETTLED: Final = 20
"""Memory counts from one in so many of the steps on: every buffer has been used by then."""
Samples = NDArray[Any]


class Stream(NamedTuple):
    """What comes in, and through what."""

    says: str
    shape: tuple[int, ...]
    """Of a sample."""
    rate_hz: float
    """Samples a second in real time."""
    prepare: Sequence[Mapping[str, Any]]
    units: int
    hop: int = 1
    """Samples a step."""
    positions: int = 1
    """Of a step."""
    negatives_from: str = "other"
    dtype: str = "<f4"


PATCH: Final = 12
STREAMS: Final[Mapping[str, Stream]] = {
    "watch": Stream(
        "50 Hz x 6 channels",
        (6,),
        50.0,
        ({"step": "window", "rows": 10, "hop": 5}, {"step": "standardize"}),
        256,
        hop=5,
    ),
    "voices": Stream(
        "sound of 8 kHz",
        (1,),
        8000.0,
        (
            {"step": "window", "rows": 512, "hop": 128},
            {"step": "spectrum"},
            {"step": "standardize"},
        ),
        128,
        hop=128,
        dtype="<i2",
    ),
    "video": Stream(
        "10 frames/s of 72 x 96, 48 patches",
        (72, 96),
        10.0,
        (
            {"step": "scale", "divide_by": 255},
            {"step": "difference"},
            {"step": "patches", "side": PATCH},
        ),
        64,
        positions=(72 // PATCH) * (96 // PATCH),
        negatives_from="any",
        dtype="|u1",
    ),
}


def config_of(stream: Stream, modules: int = 1, **options: Any) -> Config:
    """The stream's modules, on one thread beside the one that feeds them."""
    module = {"rule": "greedy_infomax", "units": stream.units, **options}
    module |= {"negatives_from": stream.negatives_from, "positions": stream.positions > 1}
    raw = {
        "stream": {"shape": list(stream.shape), "dtype": stream.dtype},
        "prepare": list(stream.prepare),
        "layer": [module] * modules,
        "pipeline": {"threads": 1},
    }
    return parse(raw, CATALOGUE)


def samples_of(name: str, folder: Path) -> Samples:
    """Real samples of a stream."""
    if name == "watch":
        return data.load(str(folder / "watch" / "watch.npz")).X.astype(np.float32)
    if name == "video":
        return data.load(str(folder / "video" / "vtest_gray_96x72.npz")).X
    voice = min((folder / "voices").glob("*.npz"))
    with np.load(voice, allow_pickle=False) as arrays:
        return np.ascontiguousarray(arrays["audio"][: 60 * 8000, None])


class Playing:
    """A learner that is fed round and round.

    Parameters
    ----------
    config
        What learns.
    samples
        What it is fed, as one stream without an end.
    a_message
        Samples of a message.

    """

    def __init__(self, config: Config, samples: Samples, a_message: int) -> None:
        self.learner = Learner(config)
        self.learner.assemble()
        self.learner.warm()
        self.learner.pipeline.start()
        self._x = samples.reshape(len(samples), -1)
        self._a_message, self._sent = min(a_message, len(samples)), 0

    def feed(self, count: int) -> int:
        """Feed at least so many samples and wait until they are learned; how many they were."""
        began = self._sent
        while self._sent < began + count:
            at = self._sent % (len(self._x) - self._a_message + 1)
            rows = self._x[at : at + self._a_message]
            offer(self.learner, Sample("live", "", self._sent, len(rows), float("nan"), rows, None))
            self._sent += len(rows)
        self.learner.pipeline.wait_done()
        self.learner.pipeline.check()
        return self._sent - began

    def close(self) -> None:
        """End its threads."""
        self.learner.pipeline.close()


def through(stream: Stream, samples: Samples, steps: int) -> tuple[list[float], list[float]]:
    """Steps a second, and seconds of processor time of a step, of each repeat."""
    rates, costs = [], []
    playing = Playing(config_of(stream), samples, max(stream.hop, 1) * ROWS_A_MESSAGE)
    try:
        playing.feed(steps * stream.hop // 4)
        for _ in range(REPEATS):
            began, used = time.perf_counter(), time.process_time()
            done = playing.feed(steps * stream.hop) / stream.hop
            rates.append(done / (time.perf_counter() - began))
            costs.append((time.process_time() - used) / done)
    finally:
        playing.close()
    return rates, costs


def prepared(stream: Stream, samples: Samples, steps: int) -> tuple[F32, Part]:
    """Rows [n, D] as the module gets them, and a module that has seen nothing."""
    config = config_of(stream)
    playing = Playing(config, samples, stream.hop * ROWS_A_MESSAGE)
    learner = playing.learner
    try:
        playing.feed(steps * stream.hop // 4)
        first = samples[: (steps + 8) * stream.hop].reshape(-1, int(np.prod(stream.shape)))
        x, _ = learner.rows_of(first)
        rows = learner.infer(x[:steps].astype(np.float32))[learner.prepared]
    finally:
        playing.close()
    part = Learner(config).parts[-1].part
    return np.ascontiguousarray(rows, np.float32), part


def alone(part: Part, rows: F32, first: int) -> float:
    """Learn rows [n, D] one by one; seconds of processor time of each."""
    out = np.zeros((1, part.width_out), np.float32)
    y = np.full(1, UNLABELLED, np.int32)
    began = time.process_time()
    for i in range(len(rows)):
        part.learn(Rows(rows[i : i + 1], out, y, first + i))
    return (time.process_time() - began) / len(rows)


def beside(name: str, stream: Stream, samples: Samples, steps: int) -> list[Row]:
    """The module alone and in PyTorch, in turn."""
    rows, part = prepared(stream, samples, steps)
    options = part.options
    width = rows.shape[1] // stream.positions
    sizes = options.units, options.steps, options.negatives, options.reservoir_rows
    peer = TorchInfomax.made(Shape(width, *sizes), stream.positions)
    few = rows[: max(2, len(rows) // (4 * stream.positions))].reshape(-1, width)
    ours, theirs = [], []
    alone(part, rows, 0)
    for repeat in range(REPEATS):
        ours.append(1e6 * alone(part, rows, (repeat + 1) * len(rows)))
        if peer is not None:
            theirs.append(1e6 * stream.positions * peer.learn(few))
    title = f"{name}: module alone, one step at a time"
    if peer is None:
        return [median_row(title, ours, "µs a step", note=f"{MISSING}; not measured")]
    note = f"{width} inputs, {options.units} units, {options.steps} steps, "
    note += f"{options.negatives} negatives, {stream.positions} positions; "
    note += f"peer: eager PyTorch {peer.torch.__version__}, the same module, one thread"
    gains = [b / a for a, b in zip(ours, theirs, strict=True)]
    return [
        median_row(title, ours, "µs a step", peer=float(np.median(theirs)), note=note),
        median_row(f"{name}: module against PyTorch", gains, "times as fast"),
    ]


def speed_rows(name: str, samples: Samples, steps: int) -> list[Row]:
    """All rows of a stream."""
    stream = STREAMS[name]
    rates, costs = through(stream, samples, steps)
    own = f"{1 / float(np.median(costs)):.0f} in a second of its own processor time"
    a_second = stream.rate_hz / stream.hop
    shares = [100 * cost * a_second for cost in costs]
    note = f"{stream.units} units; {a_second:g} steps a second in real time"
    return [
        median_row(f"{name}: through the pipeline", rates, "steps/s", note=f"{note}; {own}"),
        median_row(f"{name}: share of a core, {stream.says}", shares, "% of a core", note=note),
        *beside(name, stream, samples, steps),
    ]


def memory_row(samples: Samples, steps: int) -> Row:
    """Growth of resident memory over so many steps of the watch."""
    stream = STREAMS["watch"]
    playing = Playing(config_of(stream), samples, stream.hop * ROWS_A_MESSAGE)
    try:
        state = _bytes(playing.learner, "/")
        done = playing.feed(steps * stream.hop // SETTLED) // stream.hop
        settled, began = resident_mib(os.getpid()), done
        done += playing.feed(steps * stream.hop - done * stream.hop) // stream.hop
        growth = resident_mib(os.getpid()) - settled
        assert _bytes(playing.learner, "/") == state
    finally:
        playing.close()
    note = f"from step {began:,} to step {done:,}; {settled:.1f} MiB resident; "
    return Row(
        name="watch: growth of resident memory",
        ours=round(growth, 2),
        unit="MiB",
        note=note + f"state {state:,} bytes all the time",
    )


def _bytes(learner: Learner, *parts: str) -> int:
    """Bytes of the state's arrays whose names have one of these in them."""
    arrays = learner.learning_arrays().items()
    return sum(array.nbytes for name, array in arrays if any(part in name for part in parts))


def state_rows() -> list[Row]:
    """Bytes of the state of two modules and of six, but for their weights."""
    found = []
    for modules in (2, 6):
        learner = Learner(config_of(STREAMS["watch"], modules))
        weights = _bytes(learner, "weights", "bias", "predict")
        rest = _bytes(learner, "layer/") - weights
        stored = _bytes(learner, f"layer/layer{modules}/stored_")
        rows = learner.config.layer[-1].reservoir_rows
        note = f"weights and their moments {weights:,} more; the last module's {rows:,} past rows "
        note += f"{stored:,}"
        title = f"watch: state of {modules} modules but for weights"
        found.append(Row(name=title, ours=rest, unit="bytes", note=note))
    return found


def speeds(folder: Path, a_repeat: int) -> list[Row]:
    """Rows of all streams."""
    rows: list[Row] = []
    for name, stream in STREAMS.items():
        steps = max(4, a_repeat // stream.positions)
        rows += speed_rows(name, samples_of(name, folder), steps)
        print(*rows[-4:], sep="\n", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--a-repeat", type=int, default=2000, help="module steps of each repeat")
    parser.add_argument("--steps", type=int, default=100_000, help="over which memory is watched")
    parser.add_argument("--only", choices=("speed", "memory"), help="left out: both")
    arguments = parser.parse_args()
    folder = environment().data
    assert folder is not None, "set $STREAMLEARN_DATA"
    if arguments.only != "memory":
        command = f"make infomax-speed ARGS='--only speed --a-repeat {arguments.a_repeat}'"
        rows = speeds(folder, arguments.a_repeat)
        print(write(report("infomax-speed", command, rows)))
    if arguments.only != "speed":
        command = f"make infomax-speed ARGS='--only memory --steps {arguments.steps}'"
        rows = [*state_rows(), memory_row(samples_of("watch", folder), arguments.steps)]
        print(write(report("infomax-memory", command, rows)))


if __name__ == "__main__":
    main()
