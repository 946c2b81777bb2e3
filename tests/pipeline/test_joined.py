"""Messages that become rows together: the same rows as one by one, and which ones may."""

import numpy as np
from numpy.typing import NDArray
from pipeline.parts import Collector

from streamlearn.pipeline.intake import Intake
from streamlearn.pipeline.joined import Run, fitting, joined
from streamlearn.pipeline.ring import Ring
from streamlearn.pipeline.threads import Pipeline
from streamlearn.wire.message import I32, Label, Sample

NAN = float("nan")
COLUMNS = ("x", "y", "kind", "source", "seq", "sample", "t")


def build(ring_rows: int = 32) -> Intake:
    """An intake over a ring whose stages are never started, so that what it wrote stays."""
    ring = Ring(ring_rows, {"x": 2})
    return Intake(Pipeline(ring, [Collector(ring, "x")], 1, 4), 2, "<f4", 8, 3)


def rows(seq: int, n: int, t: float = NAN, y: I32 | None = None, dtype: str = "|u1") -> Sample:
    """A message of n rows, all numbers of which tell the row."""
    x = np.repeat(np.arange(seq, seq + n), 2).reshape(n, 2).astype(dtype)
    return Sample("s", "p", seq, n, t, x, y)


def labels(*y: int) -> NDArray[np.int32]:
    """Labels of a message."""
    return np.array(y, np.int32)


MESSAGES = [rows(5, 1, 1.5, labels(2)), rows(6, 3), rows(9, 2, 2.5, labels(0, -1)), rows(11, 1)]


def test_rows_written_together_are_those_written_one_by_one() -> None:
    """Every column, what is counted, missed rows before them, and labels that come late."""
    one_by_one, together = build(), build()
    for intake in (one_by_one, together):
        intake.sample(rows(0, 2), 0, 2)
    for message in MESSAGES:
        one_by_one.sample(message, 0, message.n)
    whole = joined(MESSAGES)
    together.sample(whole, 0, whole.n)
    for intake in (one_by_one, together):
        intake.label(Label("s", "p", 7, labels(1)), 0, 1)
        intake.sample(rows(12, 2), 0, 2)
    for name in COLUMNS:
        expected, found = (i._ring.column(name)[: i._ring.head] for i in (one_by_one, together))
        np.testing.assert_array_equal(found, expected, err_msg=name)
    counts = [vars(intake.counts) for intake in (one_by_one, together)]
    assert counts[0] == counts[1]
    assert counts[0]["missed"] == 3
    kept, positions = one_by_one.snapshot()
    assert positions == together.snapshot()[1]
    for name, array in together.snapshot()[0].items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)


def test_rows_may_go_across_the_end_of_the_ring() -> None:
    """Each keeps the time of its own message."""
    intake = build(ring_rows=10)
    intake.sample(rows(0, 5), 0, 5)
    intake._ring.cursors[0] = 5
    whole = joined(MESSAGES)
    intake.sample(whole, 0, whole.n)
    times, seq = intake._ring.column("t"), intake._ring.column("seq")
    assert seq.tolist() == [10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(times, [2.5, *[NAN] * 4, 1.5, *[NAN] * 3, 2.5])


def test_one_message_alone_stays_what_it_is() -> None:
    """Nothing is copied, and where no label is known there are none."""
    assert joined(MESSAGES[:1]) is MESSAGES[0]
    assert joined([rows(0, 1), rows(1, 1)]).y is None


def run_of(*messages: Sample) -> Run:
    """Messages that wait."""
    run = Run()
    for message in messages:
        assert run.takes(message)
        run.add(message)
    return run


def test_only_what_goes_on_is_taken() -> None:
    """The same producer and stream, the next number, the same type of numbers."""
    run = run_of(*MESSAGES)
    assert run.messages == MESSAGES
    run = run_of(rows(0, 2))
    assert not run.takes(rows(3, 1))
    assert not run.takes(rows(1, 1))
    assert not run.takes(rows(2, 2, dtype="<f4"))
    x = rows(2, 2).x
    for stream, producer in (("other", "p"), ("s", "other")):
        assert not run.takes(Sample(stream, producer, 2, 2, NAN, x, None))


def test_a_run_stays_small() -> None:
    """At most 256 messages or 1 MiB wait; a larger message waits alone."""
    run = run_of(*(rows(i, 1) for i in range(256)))
    assert not run.takes(rows(256, 1))
    run.cut(255)
    assert run.takes(rows(256, 1))
    large = 1 << 19
    run = run_of(rows(0, large + 1))
    assert not run.takes(rows(large + 1, 1))
    run.cut(1)
    assert run.takes(rows(7, large))


def test_as_many_fit_as_there_is_room_for() -> None:
    """Whole messages, in order."""
    assert [fitting(MESSAGES, room) for room in (0, 1, 3, 4, 6, 7, 100)] == [0, 1, 1, 2, 3, 4, 4]
