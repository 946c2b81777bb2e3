"""What control can ask of the daemon: one method a verb, each a map in and a map out.

They run on the control thread; whatever touches the learner is handed to the thread that owns it.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamlearn import __version__, precompile
from streamlearn.config import Config
from streamlearn.errors import NoAnswerError, UsageError
from streamlearn.growth import Addition, addition, check_turn, grown
from streamlearn.learner import Learner
from streamlearn.observe.board import Board
from streamlearn.observe.metrics import PREFIX
from streamlearn.saver import Saver
from streamlearn.schema import nearest
from streamlearn.store.checkpoint import Snapshot

Map = dict[str, Any]
_PATIENCE_S = 60.0
_MOST_ROWS = 4096


class Commanded(Protocol):
    """What the verbs need of a daemon."""

    config: Config
    learner: Learner
    board: Board
    saver: Saver
    state: str
    started: float

    def on_main(self, order: Callable[[], Any]) -> "Future[Any]":
        """Run a function on the main thread."""

    def save(self) -> Snapshot:
        """Write a checkpoint; main thread."""

    def change(self, key: str, value: Any) -> None:
        """Change a live setting; main thread."""

    def add_layer(self, added: Addition) -> dict[str, Any]:
        """Put a layer on top; main thread."""

    def keep(self) -> None:
        """Write a checkpoint of a change that the journal does not hold; main thread."""

    def hold(self, held: bool) -> None:  # noqa: FBT001  it is the state that is asked for
        """Stop or go on reading from the sockets."""

    def stop(self) -> None:
        """Drain and end."""

    def show(self) -> None:
        """Bring the board up to date."""


class Commands:
    """The verbs of control.

    Parameters
    ----------
    daemon
        Whom they command.

    """

    def __init__(self, daemon: Commanded) -> None:
        self._daemon = daemon

    def handlers(self) -> dict[str, Callable[[Map], Map]]:
        """Verb → what answers it."""
        return {
            "ping": self.ping,
            "status": self.status,
            "infer": self.infer,
            "checkpoint": self.checkpoint,
            "pause": self.pause,
            "resume": self.resume,
            "freeze": self.freeze,
            "thaw": self.thaw,
            "add_layer": self.add_layer,
            "set": self.set,
            "stop": self.stop,
        }

    def ping(self, _: Map) -> Map:
        """Say that we are here."""
        return {"version": __version__, "state": self._daemon.state}

    def status(self, _: Map) -> Map:
        """Say how things stand; the digest is that of the last checkpoint."""
        daemon = self._daemon
        daemon.show()
        saved = daemon.saver.last
        head = daemon.learner.head()
        report = daemon.board.reports.get(head or "", {})
        return {
            "state": daemon.state,
            "version": __version__,
            "started": daemon.started,
            "uptime_s": time.time() - daemon.started,
            "rows_learned": daemon.learner.learned(),
            "digest": saved.digest if saved else None,
            "checkpoint": saved and {"rows_learned": saved.rows_learned, "digest": saved.digest},
            "prequential": {name: report.get(name) for name in ("error", "error_recent")},
            "frozen": daemon.learner.frozen(),
            "streams": len(daemon.learner.intake.sources),
            "metrics": daemon.board.flat(PREFIX),
        }

    def infer(self, request: Map) -> Map:
        """Respond to rows without learning from them."""
        daemon = self._daemon
        samples = rows_of(request, daemon.config.stream.shape)
        x, _ = daemon.learner.rows_of(samples)
        if not len(x):
            raise UsageError(f"rows: {len(samples)} samples make no window; send more of them")
        values = daemon.learner.infer(x)
        head = daemon.learner.head()
        scores = values[f"head/{head}"] if head else np.zeros((len(x), 0), np.float32)
        said = scores.argmax(axis=1).tolist() if head else []
        pack = _lists if request.get("as") == "lists" else _bytes
        embedding = pack("embedding", daemon.learner.embedding(values))
        return {"n": len(x), "y_pred": said, **pack("scores", scores), **embedding}

    def checkpoint(self, _: Map) -> Map:
        """Write a checkpoint now and say when it is on the disk."""
        saved = self._main(self._daemon.save)
        return {"rows_learned": saved.rows_learned, "digest": saved.digest}

    def pause(self, _: Map) -> Map:
        """Stop reading; producers wait. Already paused is fine."""
        self._main(lambda: self._daemon.hold(True))
        return {"state": self._daemon.state}

    def resume(self, _: Map) -> Map:
        """Read on. Not paused is fine."""
        self._main(lambda: self._daemon.hold(False))
        return {"state": self._daemon.state}

    def freeze(self, request: Map) -> Map:
        """Let a layer respond without learning."""
        return self._set_frozen(request, frozen=True)

    def thaw(self, request: Map) -> Map:
        """Let a layer learn again."""
        return self._set_frozen(request, frozen=False)

    def _set_frozen(self, request: Map, *, frozen: bool) -> Map:
        learner = self._daemon.learner
        known = [layer.name for layer in learner.config.layer]
        name = request.get("layer")
        if name not in known:
            hint = nearest(str(name), known)
            raise UsageError(f"layer: expected one of {', '.join(known)}, got {name!r}{hint}")
        index = next(i for i, s in enumerate(learner.parts) if s.name == f"layer/{name}")
        stage = learner.parts[index]
        errand = learner.pipeline.call(index, lambda: setattr(stage, "frozen", frozen))
        errand.result(_PATIENCE_S)
        self._main(self._daemon.keep)
        return {"layer": name, "frozen": stage.frozen}

    def add_layer(self, request: Map) -> Map:
        """Put a layer on top of the last while everything runs; rows wait for a moment."""
        added = addition(request)
        config = grown(self._daemon.config, added)
        check_turn(config, self._daemon.learner.learned())
        precompile.ensure(config)
        began = time.perf_counter()
        told: Map = self._main(lambda: self._daemon.add_layer(added))
        return {**told, "seconds": time.perf_counter() - began}

    def set(self, request: Map) -> Map:
        """Change one live setting."""
        key, value = request.get("key"), request.get("value")
        if "value" not in request:
            raise UsageError("value: missing; give the setting's new value")
        if not isinstance(key, str):
            raise UsageError(f"key: expected a setting's path such as store.keep, got {key!r}")
        self._main(lambda: self._daemon.change(key, value))
        return {"key": key, "value": value}

    def stop(self, _: Map) -> Map:
        """Drain, save and end; the answer comes first."""
        self._daemon.stop()
        return {"state": "draining"}

    def _main(self, order: Callable[[], Any]) -> Any:
        try:
            return self._daemon.on_main(order).result(_PATIENCE_S)
        except TimeoutError:
            raise NoAnswerError(f"not done within {_PATIENCE_S:g} s; ask status") from None


def rows_of(request: Map, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The rows [n, D] of an infer request, from bytes with dtype and shape, or from lists.

    Raises
    ------
    UsageError
        With the key, what is expected there and what was found.

    """
    rows, width = request.get("rows"), math.prod(shape)
    try:
        array = _from_bytes(rows, request) if isinstance(rows, bytes) else np.asarray(rows, "<f8")
        with np.errstate(over="ignore"):  # infinite then, and refused below
            x = array.reshape(-1, width).astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"rows: expected rows of shape {list(shape)}, as lists or as bytes with dtype and shape"
        ) from None
    if not 1 <= len(x) <= _MOST_ROWS or not np.isfinite(x).all():
        raise UsageError(f"rows: expected 1…{_MOST_ROWS} rows of finite numbers, got {len(x)} rows")
    return x


def _from_bytes(rows: bytes, request: Map) -> NDArray[Any]:
    dtype, shape = request.get("dtype"), request.get("shape")
    if dtype not in ("|u1", "|i1", "<i2", "<u2", "<i4", "<f2", "<f4", "<f8"):
        raise UsageError(f"dtype: expected a wire type such as <f4, got {dtype!r}")
    if not isinstance(shape, list | tuple) or not all(isinstance(n, int) for n in shape):
        raise UsageError(f"shape: expected a list [n, …], got {shape!r}")
    return np.frombuffer(rows, dtype).reshape(shape)


def _bytes(name: str, values: NDArray[np.float32]) -> Map:
    return {name: values.astype("<f4").tobytes(), f"{name}_shape": list(values.shape)}


def _lists(name: str, values: NDArray[np.float32]) -> Map:
    return {name: values.tolist()}
