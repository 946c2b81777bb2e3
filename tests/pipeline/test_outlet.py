"""What leaves the ring: runs of rows as they came, every n-th embedding, events and figures."""

from typing import Any

import numpy as np
import pytest

from streamlearn.part import F32, I32
from streamlearn.pipeline.outlet import Header, Outlet
from streamlearn.pipeline.ring import LATE, Block, Ring


class Kept:
    """A publisher that keeps what it is given."""

    def __init__(self, *topics: str) -> None:
        self.step = 0
        self.topics = topics
        self.said: list[tuple[Any, ...]] = []

    def wanted(self, topic: str) -> bool:
        """Whether the test asked for it."""
        return topic in self.topics

    def prediction(self, head: Header, y_pred: I32, y: I32, scores: F32) -> None:
        """Keep rows."""
        assert len(scores) == len(y)
        self.said.append((head.stream, head.seq, head.step, y_pred.tolist(), y.tolist()))

    def embedding(self, head: Header, layer: str, values: F32) -> None:
        """Keep rows."""
        self.said.append((layer, head.seq, values.tolist()))

    def surprise(self, head: Header, layers: list[str], values: F32) -> None:
        """Keep rows."""
        self.said.append((head.seq, layers, values.tolist()))

    def metrics(self, figures: dict[str, Any]) -> None:
        """Keep figures."""
        self.said.append(("metrics", figures))

    def event(self, event: dict[str, Any]) -> None:
        """Keep an event."""
        self.said.append(("event", event))

    def listen(self) -> None:
        """Nobody comes or goes."""


def build(*topics: str) -> tuple[Outlet, Kept, Ring]:
    """An outlet over six rows: four of stream a with a gap in seq, a late one, one of stream b."""
    ring = Ring(8, {"x": 1, "scores": 3, "layer/one": 2})
    ring.column("source")[:6] = [0, 0, 0, 0, 0, 1]
    ring.column("seq")[:6] = [5, 6, 9, 10, 5, 0]
    ring.column("sample")[:6] = [0, 1, 2, 3, 0, 4]
    ring.column("kind")[4] = LATE
    ring.column("y")[:6] = [0, -1, 2, 1, 1, 0]
    ring.column("scores")[:6] = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    ring.column("layer/one")[:6, 0] = np.arange(6)
    kept = Kept(*topics)
    sources = [("a", ""), ("b", "")]
    learned: list[int] = []
    outlet = Outlet(ring, kept, lambda: sources, lambda n, _: learned.append(n), lambda: {"n": 1})
    outlet.publish_scores(ring.column("scores"))
    outlet.publish_embedding("one", [ring.column("layer/one")])
    return outlet, kept, ring


def test_predictions_go_out_in_runs_of_one_source_and_consecutive_seq() -> None:
    """One message a run; a late row was published when it was fresh, so not again."""
    outlet, kept, _ = build("prediction/")
    outlet.work(Block(0, 6, 0))
    assert kept.said == [
        ("a", 5, 0, [0, 1], [0, -1]),
        ("a", 9, 2, [2, 0], [2, 1]),
        ("b", 0, 4, [2], [0]),
    ]
    assert kept.step == 5


@pytest.mark.parametrize(("every", "seqs"), [(1, [5, 6, 9, 10, 0]), (2, [5, 9, 0]), (0, [])])
def test_every_nth_fresh_row_s_embedding_goes_out(every: int, seqs: list[int]) -> None:
    """Counted over the stream, not over blocks: cut anywhere, the same rows go out."""
    for cut in (1, 3, 6):
        outlet, kept, _ = build("embedding/")
        outlet.embeddings_every_rows = every
        outlet.work(Block(0, cut, 0))
        outlet.work(Block(cut, 6, cut))
        assert [seq for _, seq, _ in kept.said] == seqs


def test_nothing_is_made_for_nobody() -> None:
    """Without a subscriber rows are only counted."""
    outlet, kept, _ = build()
    outlet.embeddings_every_rows = 1
    outlet.work(Block(0, 6, 0))
    assert kept.said == []


def test_events_and_figures_go_out_by_the_clock() -> None:
    """Events at once, figures when they are due and wanted."""
    outlet, kept, _ = build("metrics")
    outlet.metrics_every_s = 10.0
    outlet.events.append({"name": "started"})
    assert outlet.tick(100.0) == 101.0
    assert outlet.tick(109.5) == 110.0
    assert kept.said == [("event", {"name": "started"}), ("metrics", {"n": 1})]
    outlet.tick(110.0)
    assert len(kept.said) == 3


def test_surprise_goes_out_and_an_anomaly_is_told_once() -> None:
    """One event where a stream rises above the bound, another only after it was below it."""
    outlet, kept, ring = build("surprise/")
    column = np.zeros((8, 1), np.float32)
    column[:6, 0] = [5, 6, 1, 7, 9, 4]
    outlet.publish_surprise(["one"], [column])
    outlet.anomaly_above = 5.0
    outlet.work(Block(0, 6, 0))
    assert kept.said == [
        (5, ["one"], [[5], [6]]),
        (9, ["one"], [[1], [7]]),
        (0, ["one"], [[4]]),
    ]
    told = [(event["name"], event["stream"], event["seq"]) for event in outlet.events]
    assert told == [("anomaly", "a", 5), ("anomaly", "a", 10)]
    assert outlet.anomalies == 2
    assert ring.rows == 8


def test_an_anomaly_may_have_to_last() -> None:
    """With `anomaly_rows` the event comes with the row that makes them full, once a time."""
    outlet, _, ring = build()
    column = np.zeros((8, 1), np.float32)
    ring.column("kind")[:] = ring.column("source")[:] = 0
    ring.column("seq")[:] = np.arange(8)
    column[:, 0] = [6, 6, 1, 6, 6, 6, 6, 1]
    outlet.publish_surprise(["one"], [column])
    outlet.anomaly_above, outlet.anomaly_rows = 5.0, 3
    outlet.work(Block(0, 4, 0))
    outlet.work(Block(4, 8, 4))
    assert [event["seq"] for event in outlet.events] == [5]
    assert outlet.anomalies == 1
