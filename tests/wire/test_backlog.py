"""What is durable goes to the learner in order, and every entry is told of when it is there."""

import numpy as np

from streamlearn.wire.backlog import Backlog
from streamlearn.wire.batch import Entry
from streamlearn.wire.message import Label, Message, Sample

NAN = float("nan")


class Told:
    """Writes down which entry went, or how much of it."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, int]] = []

    def delivered(self, entry: Entry, part: int) -> None:
        """An entry by the number of its next row."""
        self.parts.append((entry.next_seq, part))


def rows(seq: int, n: int) -> tuple[Entry, Message | None]:
    """A durable message of rows."""
    message = Sample("s", "p", seq, n, NAN, np.zeros((n, 2), np.uint8), None)
    return Entry(True, n, [], ("s", "p"), seq + n), message


def label(seq: int, n: int) -> tuple[Entry, Message | None]:
    """A durable message of late labels, which settles no rows."""
    return Entry(True, 0, [], ("s", "p"), seq), Label("s", "p", 0, np.zeros(n, np.int32))


SETTLED = Entry(learned=False, rows=2, frames=[], pair=("s", "p"), next_seq=9), None


def backlog(*entries: tuple[Entry, Message | None]) -> tuple[Backlog, Told]:
    """Entries that wait."""
    told = Told()
    waiting = Backlog(told)  # type: ignore[arg-type]  all that it asks of it
    waiting.extend(entries)
    return waiting, told


def test_messages_that_follow_each_other_come_as_one() -> None:
    """Up to what is no sample, or does not go on; each entry is told of, in order."""
    waiting, told = backlog(rows(0, 1), rows(1, 3), rows(4, 1), label(5, 2), rows(5, 1), rows(8, 1))
    taken = []
    while waiting:
        message = waiting.take(joins=True)
        taken.append((message.seq, len(message.y) if isinstance(message, Label) else message.n))
        waiting.went(None)
    assert taken == [(0, 5), (0, 2), (5, 1), (8, 1)]
    assert told.parts == [(1, 0), (4, 0), (5, 0), (5, 0), (6, 0), (9, 0)]


def test_without_leave_each_message_comes_alone() -> None:
    """Where something asks where a message begins."""
    waiting, _ = backlog(rows(0, 1), rows(1, 3))
    assert [waiting.take(joins=False).n for _ in range(2)] == [1, 3]


def test_a_part_that_went_is_told_by_the_entry_it_is_of() -> None:
    """Whole entries once, the one in the middle by its rows, as often as more of it went."""
    waiting, told = backlog(rows(0, 2), rows(2, 3), rows(5, 1))
    waiting.take(joins=True)
    for went in (0, 1, 2, 3, 4, 5):
        waiting.went(went)
    assert told.parts == [(2, 1), (2, 0), (5, 1), (5, 2), (5, 0)]
    waiting.went(None)
    assert told.parts[-1] == (6, 0)


def test_labels_in_parts_are_of_one_entry() -> None:
    """Though it settles no rows."""
    waiting, told = backlog(label(5, 3), rows(5, 1))
    waiting.take(joins=True)
    waiting.went(2)
    waiting.went(None)
    assert told.parts == [(5, 2), (5, 0)]


def test_rows_that_are_settled_are_told_of_and_not_learned() -> None:
    """The learner gets nothing."""
    waiting, told = backlog(SETTLED, rows(9, 1))
    assert waiting.take(joins=True) is None
    waiting.went(None)
    assert told.parts == [(9, 0)]
    assert len(waiting) == 1
