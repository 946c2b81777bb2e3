"""What ROUTER has made durable and the learner does not have yet, in the journal's order."""

from collections import deque
from collections.abc import Sequence

from streamlearn.pipeline.joined import Run, joined
from streamlearn.wire.batch import Entry, Keeps
from streamlearn.wire.message import Message, Sample


class Backlog:
    """Entries that wait for room, and those whose rows are on their way.

    Parameters
    ----------
    keeps
        Is told what went to the learner.

    """

    def __init__(self, keeps: Keeps) -> None:
        self._keeps = keeps
        self._waiting: deque[tuple[Entry, Message | None]] = deque()
        self._going: deque[Entry] = deque()
        self._gone = 0
        """Rows of entries that were among those going, and are with the learner."""

    def __len__(self) -> int:
        """Entries that wait."""
        return len(self._waiting)

    def extend(self, entries: Sequence[tuple[Entry, Message | None]]) -> None:
        """Append what has become durable."""
        self._waiting.extend(entries)

    def take(self, *, joins: bool) -> Message | None:
        """What the learner gets next; None for rows that are settled without being learned.

        With `joins`, messages of one producer that follow each other come as one.
        """
        entry, message = self._waiting.popleft()
        self._going.append(entry)
        self._gone = 0
        if not isinstance(message, Sample):
            return message
        run = Run()
        run.add(message)
        while joins and self._waiting:
            entry, message = self._waiting[0]
            if not isinstance(message, Sample) or not run.takes(message):
                break
            run.add(message)
            self._going.append(entry)
            self._waiting.popleft()
        return joined(run.messages)

    def went(self, rows: int | None) -> None:
        """Note how many rows, or labels, of what was taken are with the learner; None: all."""
        going = self._going
        while going and (rows is None or (len(going) > 1 and self._gone + going[0].rows <= rows)):
            entry = going.popleft()
            self._gone += entry.rows
            self._keeps.delivered(entry, 0)
        if going and rows is not None and rows > self._gone:
            self._keeps.delivered(going[0], rows - self._gone)
