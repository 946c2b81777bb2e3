"""The last stage: what leaves the ring for subscribers, and the count of what was learned."""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32
from streamlearn.pipeline.ring import DREAM, FRESH, Block, Ring
from streamlearn.pipeline.stage import Stage

Learned = Callable[[int, NDArray[np.float64]], None]
"""Called once a block with the fresh rows in it and each row's seconds since it came in."""


_LISTEN_S: Final = 0.005
_LOOK_S: Final = 1.0
"""How long an event or a changed setting may wait while no row comes."""
_MOST_EVENTS: Final = 1000


class Publishes(Protocol):
    """What the outlet needs of a publisher; see `streamlearn.wire.publish.Publisher`."""

    step: int
    """Rows learned so far, for figures and events."""

    def wanted(self, topic: str) -> bool:
        """Whether anyone listens to topics that begin like this."""

    def prediction(self, head: "Header", y_pred: I32, y: I32, scores: F32) -> None:
        """Publish predictions [n] and scores [n, K] made before the rows were learned."""

    def embedding(self, head: "Header", layer: str, values: F32) -> None:
        """Publish activities [n, H]."""

    def surprise(self, head: "Header", layers: list[str], values: F32) -> None:
        """Publish how unexpected rows were [n, L]."""

    def metrics(self, figures: dict[str, Any]) -> None:
        """Publish all figures."""

    def event(self, event: dict[str, Any]) -> None:
        """Publish that something happened."""

    def listen(self) -> None:
        """Take in who subscribed and who left."""


class Header:
    """What stands before the rows of a message: where they come from and how far we are."""

    __slots__ = ("n", "seq", "step", "stream", "t")

    def __init__(self, stream: str, seq: int, n: int, t: float, step: int) -> None:
        self.stream, self.seq, self.n, self.t, self.step = stream, seq, n, t, step


class Outlet(Stage):
    """Publishes predictions, embeddings and figures; owns no column.

    Parameters
    ----------
    ring
        Where the rows are.
    publisher
        Where messages go; used from this stage's thread alone.
    sources
        (stream, producer) by number; grows while it runs.
    learned
        Called once a block.
    figures
        Gives the map of the `metrics` topic.

    """

    name = "publish"

    def __init__(
        self,
        ring: Ring,
        publisher: Publishes,
        sources: Callable[[], Sequence[tuple[str, str]]],
        learned: Learned,
        figures: Callable[[], dict[str, Any]],
    ) -> None:
        self.embeddings_every_rows = 0
        self.metrics_every_s = 1.0
        self.events: deque[dict[str, Any]] = deque(maxlen=_MOST_EVENTS)
        """What happened and is not published yet; any thread may append."""
        self.anomaly_above, self.anomaly_rows = 0.0, 1
        self.anomalies = 0
        """Times a stream rose above the bound and stayed there for so many rows."""
        self._above: dict[int, int] = {}
        """Source → rows since it rose above the bound; only of those that are."""
        self._surprise: tuple[list[str], list[F32]] = ([], [])
        self._publisher = publisher
        self._sources, self._learned, self._figures = sources, learned, figures
        self._scores: F32 | None = None
        self._embedding: tuple[str, list[F32]] = ("", [])
        self._kind, self._y, self._source, self._seq, self._sample, self._t, self._received = (
            ring.column(name) for name in ("kind", "y", "source", "seq", "sample", "t", "received")
        )
        self._figures_s, self._listen_due_s = -math.inf, 0.0

    def publish_scores(self, scores: F32) -> None:
        """Set the column [R, K] that predictions come from."""
        self._scores = scores

    def publish_embedding(self, layer: str, columns: list[F32]) -> None:
        """Set the columns [R, H] that embeddings come from, and what they are called."""
        self._embedding = (layer, columns)

    def publish_surprise(self, layers: list[str], columns: list[F32]) -> None:
        """Set the columns [R, 1] that tell how unexpected rows are, and their layers' names."""
        self._surprise = (layers, columns)

    def work(self, block: Block) -> None:
        """Publish what is wanted of the block and count it."""
        here = slice(block.start, block.stop)
        self._listen(time.monotonic())
        if self._surprise[1] and (self.anomaly_above or self._publisher.wanted("surprise/")):
            self._publish_surprise(block)
        if self._scores is not None and self._publisher.wanted("prediction/"):
            self._publish_predictions(block)
        if self.embeddings_every_rows and self._publisher.wanted("embedding/"):
            self._publish_embeddings(here)
        fresh = int(np.count_nonzero(self._kind[here] == FRESH))
        self._publisher.step += fresh
        came = self._received[here][self._kind[here] < DREAM]
        self._learned(fresh, time.monotonic() - came)

    def _listen(self, now_s: float) -> None:
        """Look who subscribed: not for every block, as looking costs more than a small block."""
        if now_s >= self._listen_due_s:
            self._listen_due_s = now_s + _LISTEN_S
            self._publisher.listen()

    def _publish_predictions(self, block: Block) -> None:
        assert self._scores is not None
        for start, stop in self._runs(block):
            scores = self._scores[start:stop]
            said = scores.argmax(axis=1).astype(np.int32)
            self._publisher.prediction(self._header(start, stop), said, self._y[start:stop], scores)

    def _publish_surprise(self, block: Block) -> None:
        layers, columns = self._surprise
        for start, stop in self._runs(block):
            values = np.hstack([column[start:stop] for column in columns])
            if self._publisher.wanted("surprise/"):
                self._publisher.surprise(self._header(start, stop), layers, values)
            if self.anomaly_above:
                self._tell_anomalies(start, values)

    def _tell_anomalies(self, start: int, values: F32) -> None:
        """Append an event for each row with which a stream has been above the bound long enough."""
        source = int(self._source[start])
        for i, most in enumerate(values.max(axis=1).tolist()):
            if most < self.anomaly_above:
                self._above.pop(source, None)
                continue
            self._above[source] = self._above.get(source, 0) + 1
            if self._above[source] == self.anomaly_rows:
                layer = self._surprise[0][int(values[i].argmax())]
                stream = self._sources()[source][0]
                told = {"stream": stream, "seq": int(self._seq[start + i]), "layer": layer}
                self.events.append({"name": "anomaly", "surprise": most, **told})
                self.anomalies += 1

    def _runs(self, block: Block) -> list[tuple[int, int]]:
        """Cut a block into fresh rows of one source with consecutive seq."""
        here = slice(block.start, block.stop)
        source, seq, other = self._source[here], self._seq[here], self._kind[here] != FRESH
        same = (source[1:] == source[:-1]) & (seq[1:] == seq[:-1] + np.uint64(1))
        cuts = np.flatnonzero(~same | other[1:] | other[:-1]) + 1
        edges = [0, *cuts.tolist(), block.stop - block.start]
        return [
            (block.start + a, block.start + b) for a, b in itertools.pairwise(edges) if not other[a]
        ]

    def _header(self, start: int, stop: int) -> Header:
        stream, _ = self._sources()[int(self._source[start])]
        t = float(self._t[start])
        step = int(self._sample[start])
        return Header(stream, int(self._seq[start]), stop - start, t, step)

    def _publish_embeddings(self, here: slice) -> None:
        every = self.embeddings_every_rows
        chosen = (self._sample[here] % every == 0) & (self._kind[here] == FRESH)
        layer, columns = self._embedding
        for i in np.flatnonzero(chosen).tolist():
            slot = here.start + i
            parts = [column[slot : slot + 1] for column in columns]
            values = parts[0] if len(parts) == 1 else np.hstack(parts)
            self._publisher.embedding(self._header(slot, slot + 1), layer, values)

    def tick(self, now_s: float) -> float | None:
        """Publish events that wait, and figures when they are due."""
        self._listen(now_s)
        while self.events:
            self._publisher.event(self.events.popleft())
        if now_s >= self._figures_s + self.metrics_every_s:
            self._figures_s = now_s
            if self._publisher.wanted("metrics"):
                self._publisher.metrics(self._figures())
        return min(self._figures_s + self.metrics_every_s, now_s + _LOOK_S)
