"""From messages to rows of the ring: order, positions, gaps, late labels, limits."""

import numpy as np
import pytest
from pipeline.parts import Collector

from streamlearn.errors import RejectedError
from streamlearn.pipeline.intake import Intake
from streamlearn.pipeline.ring import DREAM, FRESH, LATE, Ring
from streamlearn.pipeline.threads import Pipeline
from streamlearn.wire.message import Heartbeat, Label, Sample

NAN = float("nan")


def build(keep_rows: int = 8, max_sources: int = 3, ring_rows: int = 64) -> Intake:
    """An intake over a ring whose stages are never started, so that what it wrote stays."""
    ring = Ring(ring_rows, {"x": 2})
    return Intake(Pipeline(ring, [Collector(ring, "x")], 1, 4), 2, "<f4", keep_rows, max_sources)


def rows(stream: str, seq: int, values: list[float], y: list[int] | None = None) -> Sample:
    """A message of rows (v, -v)."""
    x = np.array([[v, -v] for v in values], np.float32)
    labels = None if y is None else np.array(y, np.int32)
    return Sample(stream, "", seq, len(values), NAN, x, labels)


def label(stream: str, seq: int, *y: int) -> Label:
    """A message of late labels."""
    return Label(stream, "", seq, np.array(y, np.int32))


def written(intake: Intake, name: str) -> list:
    """A column's committed rows."""
    ring = intake._ring
    return ring.column(name)[: ring.head].tolist()


def test_rows_stand_in_the_ring_in_order_of_arrival():
    """Law 1: whichever stream they come from, rows are numbered as they arrive."""
    intake = build()
    intake.sample(rows("a", 10, [1, 2], [0, -1]), 0, 2)
    intake.sample(rows("b", 0, [3]), 0, 1)
    assert written(intake, "x") == [[1, -1], [2, -2], [3, -3]]
    assert written(intake, "y") == [0, -1, -1]
    assert written(intake, "seq") == [10, 11, 0]
    assert written(intake, "sample") == [0, 1, 2]
    assert [intake.sources[i][0] for i in written(intake, "source")] == ["a", "a", "b"]


def test_a_message_may_come_in_pieces_and_across_the_ring_s_end():
    """A message larger than the room left is written as room appears; nothing is lost or twice."""
    intake = build(ring_rows=4)
    ring = intake._ring
    message = rows("a", 0, [1, 2, 3, 4, 5, 6])
    intake.sample(message, 0, 3)
    ring.cursors[0] = 3
    intake.sample(message, 3, 6)
    assert ring.head == 6
    assert ring.column("x")[:, 0].tolist() == [5, 6, 3, 4]
    assert ring.column("seq").tolist() == [4, 5, 2, 3]
    assert intake.counts.messages == 1
    assert intake.counts.received == 6


def test_gaps_in_seq_are_counted_as_missed_and_a_restart_is_not():
    """What a producer numbered and we never saw is counted; numbering anew is no gap."""
    intake = build()
    intake.sample(rows("a", 0, [1, 2]), 0, 2)
    intake.sample(rows("a", 5, [3]), 0, 1)
    intake.heartbeat(Heartbeat("a", "", 8))
    intake.sample(rows("a", 0, [4]), 0, 1)
    assert intake.counts.missed == 3 + 2


def test_a_late_label_brings_its_row_again():
    """The kept row comes with its label, its own seq and the number of its first visit."""
    intake = build()
    intake.sample(rows("a", 100, [1, 2, 3]), 0, 3)
    intake.label(label("a", 101, 4), 0, 1)
    assert written(intake, "kind") == [FRESH, FRESH, FRESH, LATE]
    assert written(intake, "x")[3] == [2, -2]
    assert (written(intake, "y")[3], written(intake, "seq")[3]) == (4, 101)
    assert written(intake, "sample")[3] == 1
    assert intake.counts.labels_late == 1


def test_labels_that_cannot_be_joined_are_counted_and_dropped():
    """Too late, never seen, already known: counted, and nothing reaches the ring."""
    intake = build(keep_rows=2)
    intake.sample(rows("a", 0, [1, 2, 3], [-1, -1, 2]), 0, 3)
    for late in (label("a", 0, 1), label("a", 9, 1), label("b", 1, 1), label("a", 2, 1)):
        intake.label(late, 0, 1)
    intake.label(label("a", 1, -1), 0, 1)
    assert intake.counts.labels_dropped == {"too_late": 3, "known": 1}
    assert intake._ring.head == 3


def test_too_many_sources_are_refused():
    """Law 4: a message of one stream more than allowed is refused before a row is written."""
    intake = build(max_sources=2)
    intake.sample(rows("a", 0, [1]), 0, 1)
    intake.sample(rows("b", 0, [1]), 0, 1)
    with pytest.raises(RejectedError, match="max_streams = 2"):
        intake.sample(rows("c", 0, [1]), 0, 1)
    assert intake._ring.head == 2


def test_a_snapshot_goes_on_where_it_ended():
    """Positions, sources and kept rows survive: gaps and late labels are known after a restart."""
    intake = build()
    intake.sample(rows("a", 0, [1, 2]), 0, 2)
    arrays, positions = intake.snapshot()
    other = build()
    other.restore(arrays, positions)
    other.sample(rows("a", 4, [5]), 0, 1)
    other.label(label("a", 1, 7), 0, 1)
    assert other.counts.missed == 2
    assert written(other, "sample") == [2, 1]
    assert written(other, "x")[1] == [2, -2]


def test_silence_becomes_rows_to_dream_on():
    """They are zeros without a label, as many as there is room for, and count as nothing."""
    intake = build(ring_rows=4)
    intake.sample(rows("a", 0, [1, 2]), 0, 2)
    assert intake.dream(5, quiet_s=3600.0) == 0, "a row has just come"
    assert intake.dream(5, quiet_s=0.0) == 2
    assert written(intake, "kind") == [FRESH, FRESH, DREAM, DREAM]
    assert written(intake, "x")[2:] == [[0, 0], [0, 0]]
    assert written(intake, "y") == [-1, -1, -1, -1]
    assert intake.samples == intake.counts.received == 2
    assert intake.dream(5, quiet_s=0.0) == 0, "there is no room"
