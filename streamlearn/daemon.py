"""The daemon: build → recover → run → drain.

::

    main thread     waits for orders: signals, control, time for a checkpoint, a failed stage
    ingest          sockets in → ring
    stages-0, …     ring → prepare → layers → heads → figures → publish
    control         questions and orders
    http            /metrics /livez /readyz

The first SIGTERM or SIGINT drains and saves, the second ends at once; SIGHUP reads the file again.
"""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from streamlearn import __version__, garbage, growth, live, precompile, signals
from streamlearn.change_over import change_over
from streamlearn.commands import Commands
from streamlearn.config import Config, learner_part, load
from streamlearn.durable import Durable, replay_schema
from streamlearn.errors import NoAnswerError, StageError, StateError
from streamlearn.failpoints import reach
from streamlearn.instruments import News, build_board, build_outlet, connect, show
from streamlearn.learner import Learner, Pending, schema_of
from streamlearn.observe import logs
from streamlearn.observe.access import Access
from streamlearn.observe.http import start_http
from streamlearn.observe.metrics import PREFIX
from streamlearn.orders import Order, Orders
from streamlearn.pipeline.outlet import Outlet
from streamlearn.plan import CATALOGUE, Plan, check
from streamlearn.saver import Saver
from streamlearn.store.checkpoint import Checkpoints, Snapshot
from streamlearn.wire.control import Control
from streamlearn.wire.gate import Gate
from streamlearn.wire.ingest import Ingest
from streamlearn.wire.publish import Publisher

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_STOP_READING_S = 1.0
_DRAIN_S = 25.0
"""How long the rows in the ring may take at the end; nearly always it is a fraction of a second."""
_SNAPSHOT_S = 30.0


class StoppedEarly(BaseException):
    """A signal came before there was anything to drain."""


def run(path: Path, settings: Sequence[str] = ()) -> None:
    """Check a configuration file and serve it until told to stop.

    Raises
    ------
    ConfigError
        With a line for everything that is wrong with the file.
    StartError
        A port is taken, the state is locked or cannot be written.
    StateError
        No checkpoint in the state folder can be used.
    StageError
        A stage failed while it ran; nothing of its state was saved.

    """
    config = load(path, CATALOGUE, settings)
    plan = check(config, str(path))
    lines = logs.configure(config.observe.log, config.observe.log_level)
    try:
        Daemon(plan, path, settings, lines).run()
    finally:
        logs.unconfigure(lines)


class Daemon:
    """One daemon from its configuration; `run` returns when it has stopped.

    Parameters
    ----------
    plan
        The parts of a checked configuration.
    path, settings
        Its file and overrides, read again at SIGHUP.
    lines
        Where the log goes; its counts are on the metrics page.

    """

    def __init__(self, plan: Plan, path: Path, settings: Sequence[str], lines: logs.Lines) -> None:
        self._plan = plan
        self.config = plan.config
        self.state = "compiling"
        self.started = time.time()
        self._source = (path, tuple(settings))
        self._lines = lines
        self._orders = Orders()
        self._failure: StageError | None = None
        self._saved_s = self._looked_s = time.monotonic()

    def run(self) -> None:
        """Build, recover, serve, drain; see the function `run` for what it raises."""
        with ExitStack() as stack:
            signals.catch(stack, self._on_stop_signal, self._on_reload_signal)
            try:
                self._build(stack)
                self._recover()
                self._open(stack)
            except StoppedEarly:
                log.info("stopped before it was ready")
                return
            self._serve()
            self._orders.refuse()
            self._drain()

    # Build, recover, open.

    def _build(self, stack: ExitStack) -> None:
        config = self.config
        store = Checkpoints(config.store.dir, config.store.keep)
        stack.enter_context(store.lock())
        self.durable = Durable(config) if Durable.wanted(config) else None
        if self.durable:
            stack.callback(self.durable.close)
        config = self.config = growth.resumed(self.config, store.newest_manifest())
        self._plan = check(config, str(self._source[0]))
        self.gate = Gate(config.security)
        self.access = Access(config.observe, self.gate.refuse)
        self.board = build_board(config)
        self.board.supply("log_lines_total", lambda: self._lines.counts)
        if config.observe.bind:
            page = start_http(config.observe.bind, self.board, self._why_not_ready, self.access)
            stack.callback(page.close)
        precompile.ensure_and_tell(config)
        self._context = zmq.Context()
        stack.callback(self._context.term)
        self.gate.open(self._context)
        stack.callback(self.gate.close)
        self.publisher = Publisher(self._context, config.publish, self.gate)
        stack.callback(self.publisher.close)
        self.learner, self.outlet = self._assembled(self._plan)
        self.board.latency.warm()
        connect(self.board, self.learner, self.publisher, self.gate)
        self.board.supply("anomalies_total", lambda: self.outlet.anomalies)
        self.saver = Saver(store, self.board, self.outlet.events)
        if self.durable:
            self.durable.supply(self.board, self._credit_bytes)
        self._news = News(self.learner.intake.counts, self.gate)

    def _assembled(self, plan: Plan) -> tuple[Learner, Outlet]:
        learner = Learner(plan.config, self._on_failure, plan)
        outlet = build_outlet(learner, self.publisher, self._on_learned, self._figures)
        learner.assemble(outlet)
        learner.warm()
        return learner, outlet

    def _recover(self) -> None:
        self.state = "recovering"
        snapshot = self.saver.store.newest(learner_part(self.config))
        if self.durable:
            self.durable.resume(snapshot)
        if snapshot is None:
            return
        self.learner.restore(snapshot)
        self.publisher.step = snapshot.rows_learned
        self.saver.note(snapshot)
        log.info("recovered", extra={"rows_learned": snapshot.rows_learned})

    def _open(self, stack: ExitStack) -> None:
        config, learner = self.config, self.learner
        schema = schema_of(config)
        acknowledged = (self.durable, self.durable.limits) if self.durable else None
        self.ingest = Ingest(
            self._context, config.ingest, schema, learner.intake, acknowledged, self.gate
        )
        stack.callback(self.ingest.close)
        self.publisher.open()
        learner.pipeline.start()
        stack.callback(lambda: self.learner.pipeline.close())  # noqa: PLW0108  it may be another
        if self.durable:
            schema = replay_schema(schema)
            self.durable.replay(learner.intake, schema, learner.pipeline.check)
        self.ingest.open()
        # From here on rows may be learned: a signal drains them.
        self.state = "opening"
        self._reader = threading.Thread(target=self._read, name="ingest", daemon=True)
        self._reader.start()
        stack.callback(self._stop_reading, 0.0)
        if config.control.bind:
            verbs = Commands(self).handlers()
            control = Control(self._context, config.control.bind, verbs, self.gate)
            stack.callback(control.close)
            control.start()
        self._ready()

    def _ready(self) -> None:
        garbage.settle()
        self.state = "ready"
        self.outlet.events.append(
            {"name": "started", "version": __version__, "rows_learned": self.learner.learned()}
        )
        log.info("ready", extra={"rows_learned": self.learner.learned()})

    # Run.

    def _serve(self) -> None:
        """Carry out orders until one of them is to stop."""
        while self.state != "draining" and self._failure is None:
            self._orders.carry_out(_LOOK_S)
            if time.monotonic() - self._looked_s >= _LOOK_S:
                self._looked_s = time.monotonic()
                self._look()

    def _look(self) -> None:
        """Once a second or so: tell what happened, and save when it is time."""
        self.show()
        self._news.tell(self.outlet.events)
        ingest = self.config.ingest
        if ingest.dream_after_s and self.learner.dreams and self.state == "ready":
            intake = self.learner.intake
            dream = partial(self.durable.dream, intake) if self.durable else intake.dream
            self.ingest.call(partial(dream, ingest.dream_rows, ingest.dream_after_s))
        every_s = self.config.store.checkpoint_every_s
        if every_s and time.monotonic() - self._saved_s >= every_s:
            self._saved_s = time.monotonic()
            if self.saver.is_behind(self.learner.ring.head):
                self._save_or_log()
        elif self.durable and self.durable.wants_checkpoint:
            self._save_or_log()

    def show(self) -> None:
        """Bring the board up to date."""
        show(self.board, self.learner)

    def _credit_bytes(self) -> int:
        return self.ingest.credit_bytes() if self.state in ("ready", "paused") else 0

    def _figures(self) -> dict[str, Any]:
        self.board.show_figures(self.learner.reports())
        return dict(self.board.flat(PREFIX))

    def _on_learned(self, rows: int, latency_s: NDArray[np.float64]) -> None:
        self.board.add("samples_learned_total", rows)
        self.board.observe_block(latency_s)

    # What control asks for.

    def on_main(self, order: Order) -> "Future[Any]":
        """Run a function on the main thread; the future tells what it gave or raised."""
        return self._orders.give(order)

    def hold(self, held: bool) -> None:  # noqa: FBT001  it is the state that is asked for
        """Stop or go on reading from the sockets."""
        self._held = held
        (self.ingest.pause if held else self.ingest.resume)()
        if self.state in ("ready", "paused"):
            self.state = "paused" if held else "ready"

    def add_layer(self, added: growth.Addition) -> dict[str, Any]:
        """Put a layer on top of the last; main thread. `UsageError` where it cannot be built."""
        self._plan = check(growth.grown(self.config, added), "add_layer")
        done = self.ingest.call(partial(change_over, self, self._assembled(self._plan), added))
        told: dict[str, Any] = done.result(_SNAPSHOT_S)
        self._apply(self._plan.config)
        self.keep()
        garbage.settle(anew=True)
        self.outlet.events.append({"name": "layer_added"} | told)
        log.info("layer added", extra=told)
        return told

    def stop(self) -> None:
        """Drain and end."""
        self.on_main(self._begin_drain)

    def _begin_drain(self) -> None:
        self.state = "draining"

    def change(self, key: str, value: Any) -> None:
        """Change one live setting; main thread."""
        self._apply(live.changed(self.config, key, value))

    def _apply(self, config: Config) -> None:
        self.config = config
        self.outlet.embeddings_every_rows = config.publish.embeddings_every_rows
        self.outlet.metrics_every_s = config.publish.metrics_every_s
        self.outlet.anomaly_above = config.publish.anomaly_above
        self.saver.store.keep = config.store.keep
        logs.set_level(config.observe.log_level)

    def _reload(self) -> None:
        """Read the file and the list of clients again; take what can change live."""
        self.gate.reload()
        self.access.reload()
        for key, value in growth.reread(*self._source, self.config, self.learner.added):
            self.change(key, value)
            log.info("changed", extra={"key": key})

    def save(self) -> Snapshot:
        """Write a checkpoint of the rows taken in so far; main thread.

        Raises
        ------
        StateError
            It could not be written; the checkpoints before are as they were.

        """
        reach("checkpoint.before_copy")
        pending = self.ingest.call(self._begin_snapshot).result(_SNAPSHOT_S)
        snapshot = self.learner.finish_snapshot(pending, _SNAPSHOT_S)
        reach("checkpoint.after_copy")
        self.saver.write(snapshot)
        if self.durable:
            self.durable.saved(self.config.store.keep)
            self.durable.trim(self.saver.read_back())
        return snapshot

    def _begin_snapshot(self) -> Pending:
        """Ingest thread, or main where that has ended."""
        pending = self.learner.begin_snapshot()
        if self.durable:
            pending.meta["journal"] = self.durable.mark()
        return pending

    def keep(self) -> None:
        """Write a checkpoint of a change that the journal does not hold; main thread."""
        if self.durable:
            self.save()

    def _save_or_log(self) -> None:
        try:
            self.save()
        except (StateError, NoAnswerError, TimeoutError) as error:
            text = str(error) or "ingest did not answer"
            log.error("no checkpoint; learning goes on", extra={"error": text})  # noqa: TRY400
            self.outlet.events.append({"name": "checkpoint_failed", "error": text})

    # Drain.

    def _drain(self) -> None:
        """Learn what is in the ring, save, say goodbye; a failed stage is raised instead."""
        if self._failure is not None:
            raise self._failure
        self.state = "draining"
        log.info("draining", extra={"rows_learned": self.learner.learned()})
        self.outlet.events.append({"name": "stopping", "rows_learned": self.learner.learned()})
        self._stop_reading(_STOP_READING_S)
        pipeline = self.learner.pipeline
        pending = self._begin_snapshot()
        try:
            self.saver.write(self.learner.finish_snapshot(pending, _DRAIN_S))
        except NoAnswerError:
            pipeline.abandon()
            raise
        log.info("stopped", extra={"rows_learned": self.learner.learned()})

    def _read(self) -> None:
        try:
            self.ingest.run()
        except Exception as error:  # noqa: BLE001  a daemon that hears nothing must not look well
            failure = StageError(f"ingest failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._on_failure(failure)

    def _stop_reading(self, drain_s: float) -> None:
        self.ingest.stop(drain_s)
        self._reader.join()

    # Signals and failures; these only leave orders for the main thread.

    def _on_stop_signal(self, number: int) -> None:
        if self.state in ("compiling", "recovering"):
            raise StoppedEarly(signal.Signals(number).name)
        self.on_main(self._begin_drain)

    def _on_reload_signal(self) -> None:
        self.on_main(self._reload)

    def _on_failure(self, failure: StageError) -> None:
        log.critical("stage failed", exc_info=failure.__cause__)
        self._failure = failure
        self.on_main(lambda: None)

    def _why_not_ready(self) -> str:
        rows = self.durable.progress if self.durable else None
        if self.state == "recovering" and rows and rows.total:
            return f"recovering: {rows.done} of {rows.total} rows of the journal"
        return "" if self.state == "ready" else self.state
