"""Which streams are kept, and where one begins anew."""

import math

import numpy as np
from pipeline.parts import Collector

from streamlearn.part import I32, UNLABELLED
from streamlearn.pipeline.intake import Intake, Looks
from streamlearn.pipeline.rehearsal import Rehearsal, Shape
from streamlearn.pipeline.ring import AGAIN, FRESH, LATE, Ring
from streamlearn.pipeline.streams import Streams
from streamlearn.pipeline.threads import Pipeline
from streamlearn.prepare.window import Window
from streamlearn.wire.message import Heartbeat, Label, Sample

NAN = math.nan


def build(looks: Looks, width: int = 1, ring_rows: int = 64) -> Intake:
    """An intake that looks back, on a ring."""
    ring = Ring(ring_rows, {"x": width})
    return Intake(Pipeline(ring, [Collector(ring, "x")], 1, 4), width, "<f4", 20, 100, looks)


def sample(stream: str, seq: int, values: list[float], t: float = NAN, y: int = -1) -> Sample:
    """A message of rows of one number."""
    labels: I32 = np.full(len(values), y, np.int32)
    return Sample(stream, "", seq, len(values), t, np.array(values, np.float32)[:, None], labels)


def column(intake: Intake, name: str) -> list[int]:
    """A column's committed rows."""
    ring = intake._ring
    values: list[int] = ring.column(name)[: ring.head].tolist()
    return values


def play(intake: Intake, *messages: Sample) -> None:
    """Messages in order."""
    for message in messages:
        intake.sample(message, 0, message.n)


def test_each_stream_has_a_slot_and_says_where_it_begins() -> None:
    """Rows of a stream that go on say nothing; new streams, gaps and jumps of the clock do."""
    intake = build(Looks(Streams(4, gap_s=5.0)))
    play(
        intake,
        sample("d1/a", 0, [1, 2], t=10.0),
        sample("d1/b", 0, [3], t=10.0),
        sample("d1/a", 2, [4], t=11.0),
        sample("d1/a", 9, [5], t=12.0),
        sample("d1/a", 10, [6], t=11.5),
        sample("d1/a", 11, [7], t=16.0),
        sample("d1/a", 12, [8], t=30.0),
    )
    assert column(intake, "slot") == [0, 0, 1, 0, 0, 0, 0, 0]
    assert column(intake, "begins") == [1, 0, 1, 0, 1, 1, 0, 1]
    assert intake.counts.begun == {"new": 2, "gap": 1, "clock": 2}
    stream, device = column(intake, "stream"), column(intake, "device")
    assert len(set(stream)) == 2
    assert len(set(device)) == 1


def test_the_stream_silent_longest_makes_room() -> None:
    """Ten thousand names take no more places than there are; who comes back begins anew."""
    intake = build(Looks(Streams(2, 0.0)))
    play(intake, sample("a", 0, [1]), sample("b", 0, [2]), sample("a", 1, [3]))
    play(intake, sample("c", 0, [4]), sample("b", 1, [5]))
    assert column(intake, "slot") == [0, 1, 0, 1, 0]
    assert column(intake, "begins") == [1, 1, 0, 1, 1]


def test_windows_have_the_seq_of_their_last_sample() -> None:
    """Late labels find them by it; a label for another sample is too late or never was."""
    window = Window(Window.Options(step="window", rows=3, hop=2), 2, 1, "<f4")
    intake = build(Looks(Streams(2, 0.0), window), width=3)
    play(intake, sample("a", 10, [1, 2]), sample("a", 12, [3, 4, 5, 6, 7]))
    assert column(intake, "seq") == [12, 14, 16]
    assert column(intake, "x") == [[1, 2, 3], [3, 4, 5], [5, 6, 7]]
    assert column(intake, "begins") == [1, 0, 0]
    labels = Label("a", "", 13, np.array([1, 2, 3], np.int32))
    intake.label(labels, 0, 3)
    assert column(intake, "kind") == [FRESH, FRESH, FRESH, LATE]
    assert column(intake, "y")[-1] == 2
    assert intake.counts.labels_dropped == {"too_late": 2, "known": 0}


def test_a_late_label_brings_the_rows_before_its_row() -> None:
    """They stand aside, in a slot of their own, and none of them is fresh."""
    intake = build(Looks(Streams(2, 0.0), reach=3))
    play(intake, sample("a", 0, [1, 2]), sample("b", 0, [9]), sample("a", 2, [3, 4]))
    intake.label(Label("a", "", 2, np.array([1], np.int32)), 0, 1)
    assert column(intake, "kind") == [FRESH] * 5 + [AGAIN, AGAIN, LATE]
    assert column(intake, "x")[5:] == [[1], [2], [3]]
    assert column(intake, "y")[5:] == [UNLABELLED, UNLABELLED, 1]
    assert column(intake, "slot")[5:] == [2, 2, 2]
    assert column(intake, "begins")[5:] == [1, 0, 0]
    assert intake.samples == 5


def test_rows_are_shown_again_at_the_same_place_however_messages_are_cut() -> None:
    """After every third fresh row one of the past comes aside; room never leads past it."""

    def told(sizes: list[int]) -> list[tuple[int, float]]:
        again = Rehearsal(3, Shape(4, 2, 2, 1), np.float32, seed=1)
        intake = build(Looks(Streams(2, 0.0), None, 2, again))
        seq = 0
        for size in sizes:
            message, start = sample("a", seq, list(range(seq, seq + size)), y=1), 0
            while start < size:
                room = min(intake.room(), size - start)
                intake.sample(message, start, start + room)
                start += room
            seq += size
        intake.room()
        x = intake._ring.column("x")[: intake._ring.head, 0].tolist()
        return list(zip(column(intake, "kind"), x, strict=True))

    whole = told([12])
    assert [kind for kind, _ in whole].count(FRESH) == 12
    assert [kind for kind, _ in whole].count(AGAIN) == 8
    assert told([1] * 12) == whole
    assert told([5, 4, 3]) == whole


def test_a_snapshot_goes_on_where_it_ended() -> None:
    """Slots, windows, clocks and what is to be shown again are part of the checkpoint."""

    def fresh() -> Intake:
        window = Window(Window.Options(step="window", rows=3, hop=1), 2, 1, "<f4")
        again = Rehearsal(2, Shape(4, 2, 2, 3), np.float32, seed=1)
        return build(Looks(Streams(2, 0.0), window, 2, again), width=3)

    one, other = fresh(), fresh()
    play(one, sample("a", 0, [1, 2, 3, 4], 1.0, y=1), sample("b", 0, [5, 6], 2.0))
    other.restore(*one.snapshot())
    for intake in (one, other):
        intake.room()
        play(intake, sample("b", 2, [7], 1.0), sample("a", 4, [8], 3.0))
    ahead = one._ring.head - other._ring.head
    assert ahead == 2
    for name in ("x", "slot", "begins", "stream", "device", "kind", "y"):
        assert column(one, name)[ahead:] == column(other, name)
    assert other.counts.begun["clock"] == 1


def test_messages_that_come_in_pieces_in_turn_keep_their_places() -> None:
    """Where two sockets deliver by turns, each piece goes to its own stream's window."""
    window = Window(Window.Options(step="window", rows=2, hop=2), 2, 1, "<f4")
    intake = build(Looks(Streams(2, 0.0), window), width=2)
    one, other = sample("a", 0, [1, 2, 3, 4]), sample("b", 0, [5, 6, 7, 8])
    for start, stop in ((0, 1), (1, 3), (3, 4)):
        intake.sample(one, start, stop)
        intake.sample(other, start, stop)
    assert column(intake, "x") == [[1, 2], [5, 6], [3, 4], [7, 8]]
    assert column(intake, "slot") == [0, 1, 0, 1]
    assert intake.counts.begun["new"] == 2


def test_a_snapshot_of_one_that_looked_at_nothing_can_be_taken_up() -> None:
    """Streams then begin anew, as after a layer was added that looks back."""
    before = Ring(64, {"x": 1})
    plain = Intake(Pipeline(before, [Collector(before, "x")], 1, 4), 1, "<f4", 20, 100)
    plain.sample(sample("a", 0, [1, 2]), 0, 2)
    intake = build(Looks(Streams(2, 0.0), reach=3))
    intake.restore(*plain.snapshot())
    play(intake, sample("a", 2, [3]))
    assert intake.samples == 3
    assert column(intake, "begins") == [1]


def test_rows_known_to_be_lost_cut_the_stream() -> None:
    """Told by a heartbeat, or dropped as the daemon was behind: seq goes on, windows begin anew."""
    window = Window(Window.Options(step="window", rows=3, hop=1), 2, 1, "<f4")
    intake = build(Looks(Streams(2, 0.0), window), width=3)
    play(intake, sample("a", 0, [1, 2]))
    intake.heartbeat(Heartbeat("a", "", 4))
    play(intake, sample("a", 4, [3, 4, 5, 6]))
    intake.heartbeat(Heartbeat("a", "", 8))
    play(intake, sample("a", 8, [7]))
    assert column(intake, "x") == [[3, 4, 5], [4, 5, 6], [5, 6, 7]]
    intake.dropped("behind", 2, sample("a", 9, [8, 9]))
    other = build(Looks(Streams(2, 0.0), window), width=3)
    other.restore(*intake.snapshot())
    for one in (intake, other):
        play(one, sample("a", 11, [10, 11]), sample("a", 13, [12]))
        assert column(one, "x")[-1] == [10, 11, 12]
        assert column(one, "begins")[-1] == 1
    play(intake, sample("a", 14, [13]))
    intake.dropped("stopping", 1, sample("a", 13, [12, 13]))
    play(intake, sample("a", 15, [14, 15, 16]))
    assert column(intake, "x")[3:] == [[10, 11, 12], [11, 12, 13], [14, 15, 16]]
    assert intake.counts.begun == {"new": 1, "gap": 3, "clock": 0}
    assert intake.counts.missed == 2
