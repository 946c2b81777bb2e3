"""What a producer in acknowledged mode has not been told to be durable, stream by stream. No I/O.

Rows and late labels lie in the order in which they were sent, and go again in that order: a label
means nothing before its row. Rows leave when an answer's `next_seq` is above them; a label leaves
with the first row behind it, or at the welcome to a hello that came after it.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from streamlearn.errors import RejectedError
from streamlearn.wire.acknowledged import Answer, Hello


class Parcel(NamedTuple):
    """One message that is kept until it is settled."""

    number: int
    """Counted up over the stream's messages; where there is a spool, its number there."""
    seq: int
    """Its first row; of a label, the row that came next when it was sent."""
    rows: int
    """0 for a label."""
    size_bytes: int
    frames: tuple[bytes, ...]
    """Empty where the spool has them."""


class Outbox:
    """The messages of one stream.

    Parameters
    ----------
    stream, producer
        Whose they are.
    forget
        Called with the number below which messages are settled.

    Attributes
    ----------
    credit, in_flight
        Bytes that may be on their way, and that are.
    next_seq
        Rows below it are durable or settled, as far as we were told; -1: not told yet.
    rejected, lost
        Rows that the daemon will never learn; rows that it had and has no more.
    refused
        Why it takes nothing of this stream at all, "" where it does.

    """

    def __init__(self, stream: str, producer: str, forget: Callable[[int], None]) -> None:
        self.stream, self.producer = stream, producer
        self.parcels: deque[Parcel] = deque()
        self.credit = self.in_flight = self.kept_bytes = 0
        self.next_seq = -1
        self.rejected = self.lost = 0
        self.refused = ""
        self.welcomed = False
        self._forget = forget
        self._sent = 0
        self._hellos = 0
        self._sync = -1
        self._asked = False
        self._first: int | None = None

    def refusal(self) -> RejectedError:
        """What to raise where nothing of this stream is taken."""
        who = f"stream {self.stream!r} of producer {self.producer!r}"
        if self.refused == "auth":
            text = f"{who}: this client's file in the daemon's list does not allow it"
            return RejectedError("auth", text)
        return RejectedError("stream", f"{who}: refused under {self.refused}")

    def add(self, parcel: Parcel) -> None:
        """Keep a message, to be sent when its turn comes."""
        self.parcels.append(parcel)
        self.kept_bytes += parcel.size_bytes

    def take_back(self, parcel: Parcel) -> bool:
        """Give up the newest message, if it was not sent; whether it was given up."""
        if not self.parcels or self.parcels[-1] is not parcel or self._sent == len(self.parcels):
            return False
        self.parcels.pop()
        self.kept_bytes -= parcel.size_bytes
        return True

    @property
    def unsent(self) -> bool:
        """Whether a message waits to be sent."""
        return self._sent < len(self.parcels)

    @property
    def waits(self) -> bool:
        """Whether an answer should come."""
        return not self.welcomed or self._sent > 0

    def due(self) -> Parcel | None:
        """The next message to send, None where there is none or credit is used up."""
        if not self.welcomed or not self.unsent or self.in_flight >= self.credit:
            return None
        return self.parcels[self._sent]

    def sent(self) -> None:
        """Note that the message that was due is on its way."""
        self.in_flight += self.parcels[self._sent].size_bytes
        self._sent += 1

    def hello(self, *, anew: bool = False) -> Hello:
        """The hello to say now.

        Parameters
        ----------
        anew
            The connection is new: nothing that was sent before counts.

        """
        if anew:
            self._begin_anew()
        self._hellos += 1
        self._sync = self.parcels[self._sent - 1].number if self._sent else -1
        self._asked = True
        first, self._first = self._first, None
        return Hello(self.stream, self.producer, self._hellos, first)

    @property
    def wants_sync(self) -> bool:
        """Whether only labels are left, of which nobody tells unless asked by a hello."""
        if self._asked or not self.welcomed or self.unsent or not self.parcels:
            return False
        return all(parcel.rows == 0 for parcel in self.parcels)

    def heard(self, answer: Answer) -> bool:
        """Take an answer in; whether a hello must be said before anything else is sent."""
        if answer.kind == "reject":
            self.rejected += answer.n
            if not answer.n:
                self.refused = answer.reason
            return False
        self.credit = answer.credit
        self.next_seq = max(self.next_seq, answer.next_seq)
        self._settle(answer.next_seq)
        return answer.kind == "welcome" and self._welcome(answer)

    def _welcome(self, answer: Answer) -> bool:
        if answer.id is None:
            # Something was lost on the way. What else is on its way cannot be told from what would
            # be sent again, so a hello comes between them.
            self._begin_anew()
            return True
        if answer.id != self._hellos:
            return False
        self._asked = False
        self._drop_labels()
        left = next((parcel for parcel in self.parcels if parcel.rows), None)
        if left and left.seq > answer.next_seq:
            self.lost += left.seq - answer.next_seq
            self._first = left.seq
            return True
        if left and left.number <= self._sync:
            self._begin_anew()
            return True
        self.welcomed = True
        return False

    def _begin_anew(self) -> None:
        self._sent = self.in_flight = 0
        self.welcomed = False

    def _settle(self, next_seq: int) -> None:
        """Drop rows below `next_seq`, and the labels before them."""
        done = 0
        for i, parcel in enumerate(self.parcels):
            if parcel.rows and parcel.seq + parcel.rows > next_seq:
                break
            if parcel.rows:
                done = i + 1
        for _ in range(done):
            self._drop()

    def _drop_labels(self) -> None:
        while self.parcels and not self.parcels[0].rows and self.parcels[0].number <= self._sync:
            self._drop()

    def _drop(self) -> None:
        parcel = self.parcels.popleft()
        self.kept_bytes -= parcel.size_bytes
        if self._sent:
            self._sent -= 1
            self.in_flight -= parcel.size_bytes
        self._forget(parcel.number)
