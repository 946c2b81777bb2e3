"""The demo: the real daemon in its own process, fed over real ZeroMQ at full speed.

One thread sends and listens. It keeps at most `WINDOW_ROWS` rows on their way, so that the daemon
always has work and latency still says something; predictions come back for every row, and the
running figures are made from them.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

import streamlearn
from streamlearn import config
from streamlearn.bench.process import PLAIN, DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.data import Dataset
from streamlearn.errors import NoAnswerError, StreamlearnError, UsageError
from streamlearn.evaluate import fitted
from streamlearn.fields import receptive_fields
from streamlearn.observe.metrics import PREFIX
from streamlearn.part import F32, I32
from streamlearn.picture import Run
from streamlearn.plan import CATALOGUE
from streamlearn.prequential import Figures
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.wire.control import request
from streamlearn.wire.published import Metrics, Prediction

MESSAGE_ROWS: Final = 16
WINDOW_ROWS: Final = 128
_STREAM: Final = "demo"
_CURVE_POINTS: Final = 200
_ASK_ROWS: Final = 256
_READY_S: Final = 120.0
_SILENCE_S: Final = 30.0

_CONFIGS: Final = {
    "optdigits": "digits.toml",
    "mnist": "mnist.toml",
    "fashion-mnist": "mnist.toml",
}

Progress = Callable[[int, int, dict[str, Any]], None]
"""Called with rows done, rows in all, and the running figures."""


def config_of(dataset: str) -> Path:
    """The configuration that comes with a standard set, in the package or beside it.

    Raises
    ------
    UsageError
        When there is none; says how to give one.

    """
    if dataset not in _CONFIGS:
        raise UsageError(f"--dataset {dataset}: no configuration comes with it; add --config FILE")
    package = Path(streamlearn.__file__).parent
    for folder in (package / "configs", package.parent / "configs"):
        if (path := folder / _CONFIGS[dataset]).exists():
            return path
    raise UsageError(f"{_CONFIGS[dataset]}: not installed; add --config FILE")


class Result(NamedTuple):
    """What a demo found out."""

    name: str
    report: dict[str, Any]
    """The object of `streamlearn demo --json`."""
    curve: list[dict[str, Any]]
    confusion: NDArray[np.int64] | None
    """[K, K] of the held-out rows, else of all rows."""
    fields: F32 | None
    """[H, height, width] of the first layer, where a row is an image."""

    def picture(self) -> Run:
        """What the picture shows of it."""
        report, test = self.report, self.report["test"]
        count, rate = report["samples"], report["samples_per_s"]
        of = f"{test['samples']:,} held-out rows" if test else "All rows, predicted before learned"
        wrong = f"; {100 * test['error']:.2f} % of {of} wrong" if test else ""
        return Run(
            title=f"streamlearn learns {self.name} from a live stream",
            subtitle=f"{count:,} rows, each learned once, {rate:,.0f} a second{wrong}",
            curve=self.curve,
            confusion=self.confusion,
            confusion_of=of,
            fields=self.fields,
            test_error=test["error"] if test else None,
        )


class _Listener:
    """Makes figures, curve and latencies of the predictions that come back."""

    def __init__(self, options: config.Config, total: int, on_progress: Progress | None) -> None:
        classes, recent_rows = options.stream.classes, options.figures.recent_rows
        self._figures = Figures(classes, recent_rows)
        # Compiled now, so that the first predictions do not wait for it.
        spare = np.zeros((1, classes), np.float32)
        Figures(classes, recent_rows).update(np.zeros(1, np.int32), spare)
        self._total, self._on_progress = total, on_progress
        self._step = max(1, total // _CURVE_POINTS)
        self.done = 0
        self.curve: list[dict[str, Any]] = []
        self.latency_s: list[float] = []

    def take(self, message: Prediction) -> None:
        """Count the rows of one message."""
        self.latency_s.append(time.time() - message.t)
        before, self.done = self.done, message.seq + len(message.y)
        # Copies: for arrays that cannot be written the kernel would be compiled once more.
        self._figures.update(message.y.copy(), message.scores.copy())
        if before // self._step != self.done // self._step or self.done == self._total:
            self.curve.append(self._point())
            if self._on_progress:
                self._on_progress(self.done, self._total, self.curve[-1])

    def _point(self) -> dict[str, Any]:
        report = self._figures.report()
        names = ("error", "error_recent", "majority_error", "repeat_error")
        return {"rows": self.done} | {name: report[name] for name in names}

    def report(self) -> dict[str, Any]:
        """All figures so far."""
        return self._figures.report()

    def latency_ms(self) -> dict[str, float]:
        """Quantiles of the time from sending a message to having its predictions."""
        p50, p99 = np.quantile(self.latency_s, (0.5, 0.99)) * 1000
        return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def play(
    dataset: Dataset,
    path: Path,
    *,
    limit: int | None = None,
    on_progress: Progress | None = None,
) -> Result:
    """Start a daemon, play a data set to it, ask for the held-out rows, stop it.

    Parameters
    ----------
    dataset
        Rows and labels; held-out rows are only asked about.
    path
        The daemon's configuration; its addresses and state folder are replaced by free ones.
    limit
        Play only so many rows.
    on_progress
        Called about 200 times.

    Raises
    ------
    UsageError
        When the data does not fit the configuration.
    StartError
        When the daemon does not start; says what it said.
    NoAnswerError
        When it falls silent.

    """
    options = config.load(path, CATALOGUE)
    if not options.head or dataset.y is None:
        raise UsageError(f"{path}, {dataset.name}: a demo needs a [[head]] and labels")
    train = dataset.train.first(limit or dataset.rows)
    fitted(train, options)
    train = train.shaped(options.stream.shape)
    listener = _Listener(options, train.rows, on_progress)
    with tempfile.TemporaryDirectory(prefix="streamlearn-demo-") as folder:
        daemon = DaemonProcess(path, folder, ("publish.metrics_every_s=0.1", *PLAIN))
        try:
            answers = _run(daemon, train, dataset.test, listener)
        except NoAnswerError as error:
            raise NoAnswerError(f"{error}; the daemon's last words:\n{daemon.said()}") from None
        finally:
            daemon.kill()
        snapshot = Checkpoints(daemon.state).newest(config.learner_part(options))
        fields = receptive_fields(options, snapshot) if snapshot and options.layer else None
    test, confusion = _held_out(dataset.test, answers.predicted, options.stream.classes)
    if confusion is None:
        confusion = np.asarray(listener.report()["confusion"])
    report = _report(answers, listener) | {"test": test, "config": config.config_hash(options)}
    return Result(dataset.name, report, listener.curve, confusion, fields)


class _Answers(NamedTuple):
    """What the daemon said in the end."""

    seconds: float
    """From the first row sent to the last prediction heard."""
    missed: int
    """Messages that the subscriber missed."""
    saved: dict[str, Any]
    status: dict[str, Any]
    predicted: I32
    """[N] classes of the held-out rows."""


def _run(
    daemon: DaemonProcess, train: Dataset, test: Dataset | None, listener: _Listener
) -> _Answers:
    daemon.start()
    daemon.wait_ready(_READY_S)
    seconds, missed = _stream(daemon, train, listener)
    saved = _ask(daemon, "checkpoint")
    status = _ask(daemon, "status")
    predicted = _predict(daemon, test)
    if code := daemon.stop():
        raise StreamlearnError(f"the daemon ended with exit code {code}:\n{daemon.said()}")
    return _Answers(seconds, missed, saved, status, predicted)


def _stream(daemon: DaemonProcess, train: Dataset, listener: _Listener) -> tuple[float, int]:
    """Send all rows and hear all predictions; seconds, and messages missed."""
    topics = ("prediction/", "metrics")
    with (
        Subscriber(daemon.publish, topics=topics, timeout_s=_SILENCE_S) as subscriber,
        Producer(daemon.pull, _STREAM, timeout_s=_SILENCE_S, shape=train.shape) as producer,
    ):
        # Subscriptions arrive in order: once metrics are heard, predictions will be.
        while not isinstance(next(subscriber), Metrics):
            pass
        began, sent = time.perf_counter(), 0
        while listener.done < train.rows:
            while sent < train.rows and sent - listener.done < WINDOW_ROWS:
                sent += _send(producer, train, sent)
            message = next(subscriber)
            if isinstance(message, Prediction):
                listener.take(message)
        return time.perf_counter() - began, subscriber.missed


def _send(producer: Producer, train: Dataset, start: int) -> int:
    """Send the next message; how many rows it has."""
    rows = train.X[start : start + MESSAGE_ROWS]
    labels = None if train.y is None else train.y[start : start + MESSAGE_ROWS]
    producer.send(rows, labels, t=time.time())
    return len(rows)


def _ask(daemon: DaemonProcess, verb: str, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = request(daemon.control, verb, _SILENCE_S, **more)
    if not answer["ok"]:
        raise StreamlearnError(f"the daemon refused {verb}: {answer['error']}")
    return answer


def _predict(daemon: DaemonProcess, test: Dataset | None) -> I32:
    """Classes of the held-out rows, which the daemon only looks at."""
    said: list[int] = []
    for start in range(0, test.rows if test else 0, _ASK_ROWS):
        rows = test.X[start : start + _ASK_ROWS] if test else np.empty(0)
        asked = {"dtype": rows.dtype.str, "shape": list(rows.shape), "rows": rows.tobytes()}
        said += _ask(daemon, "infer", **asked)["y_pred"]
    return np.array(said, np.int32)


def _held_out(
    test: Dataset | None, predicted: I32, classes: int
) -> tuple[dict[str, Any] | None, NDArray[np.int64] | None]:
    """Error and confusion matrix of the held-out rows whose class is known."""
    if test is None or test.y is None:
        return None, None
    known = test.y >= 0
    y, said = test.y[known], predicted[known]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (y, said), 1)
    return {"error": float(np.mean(y != said)), "samples": len(y)}, confusion


def _report(answers: _Answers, listener: _Listener) -> dict[str, Any]:
    figures, metrics = listener.report(), answers.status["metrics"]
    return {
        "samples": answers.saved["rows_learned"],
        "seconds": answers.seconds,
        "samples_per_s": answers.saved["rows_learned"] / answers.seconds,
        "prequential": {name: figures[name] for name in ("error", "error_recent")},
        "trivial": {name: figures[name] for name in ("majority_error", "repeat_error")},
        "digest": answers.saved["digest"],
        "latency_ms": listener.latency_ms(),
        "dropped": _total(metrics, "samples_dropped_total"),
        "missed": _total(metrics, "samples_missed_total") + answers.missed,
    }


def _total(metrics: dict[str, Any], name: str) -> int:
    """Sum of a counter over its labels."""
    return int(sum(value for key, value in metrics.items() if key.startswith(PREFIX + name)))
