"""What a producer keeps, against a daemon that dies at any moment and connections that break."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from streamlearn.client.outbox import Outbox, Parcel
from streamlearn.wire.acknowledged import GAP, Answer, Hello, Place, judge, resume

STEPS = st.lists(
    st.sampled_from(["rows", "label", "send", "hear", "take", "commit", "cut", "kill", "lose"]),
    max_size=120,
)


class Daemon:
    """The daemon's side in its simplest form: a journal, a batch, and the rules of `Router`."""

    def __init__(self) -> None:
        self.journal: list[tuple[str, int]] = []
        self.die()

    def die(self) -> None:
        """Lose all but the journal."""
        self.batch: list[tuple[str, int]] = []
        self.due: list[tuple[bool, int | None]] = []
        next_seq = sum(1 for kind, _ in self.journal if kind == "row")
        self.place, self.greeted = Place("s", "p", next_seq), False

    def take(self, message: Hello | Parcel) -> None:
        """Take one message in."""
        if isinstance(message, Hello):
            self.greeted = True
            resume(self.place, message.first)
            self.due.append((True, message.id))
        elif not self.greeted:
            self.greeted = True
            self.astray()
        elif message.rows:
            self.rows(message)
        elif message.seq > self.place.next_seq:
            self.astray()
        elif not self.place.astray:
            self.batch.append(("label", message.number))
            self.due.append((False, None))

    def rows(self, message: Parcel) -> None:
        """Take rows that follow; drop those that are there; say where there is a gap."""
        there = judge(self.place, message.seq, message.rows)
        if there == GAP:
            self.astray()
        elif there < message.rows:
            new = range(message.seq + there, message.seq + message.rows)
            self.batch += [("row", seq) for seq in new]
            self.place.next_seq += len(new)
            self.place.astray = False
            self.due.append((False, None))

    def astray(self) -> None:
        """Say once that rows are missing."""
        if not self.place.astray:
            self.place.astray = True
            self.due.append((True, None))

    def commit(self) -> list[Answer]:
        """Make the batch durable and answer."""
        self.journal += self.batch
        due, self.batch, self.due = self.due, [], []
        kinds = {True: "welcome", False: "ack"}
        n = self.place.next_seq
        return [Answer(1, kinds[w], "s", n, 100, id=number) for w, number in due]  # type: ignore[arg-type]


class World:
    """A producer, a daemon, and the line between them."""

    def __init__(self) -> None:
        self.box = Outbox("s", "p", lambda _: None)
        self.daemon = Daemon()
        self.order: list[tuple[str, int]] = []
        self.seq = self.number = 0
        self.connect()

    def connect(self) -> None:
        """A new connection, with nothing on its way but a hello."""
        self.there: deque[Hello | Parcel] = deque([self.box.hello(anew=True)])
        self.back: deque[Answer] = deque()
        self.daemon.greeted = False

    def step(self, what: str) -> None:
        """One thing happens, if it can."""
        getattr(self, f"_{what}")()
        if self.box.wants_sync:
            self.there.append(self.box.hello())

    def _rows(self) -> None:
        self.add(1 + (self.number + 1) % 3)

    def _label(self) -> None:
        self.add(0)

    def _send(self) -> None:
        if (parcel := self.box.due()) is not None:
            self.there.append(parcel)
            self.box.sent()

    def _take(self) -> None:
        if self.there:
            self.daemon.take(self.there.popleft())

    def _commit(self) -> None:
        self.back += self.daemon.commit()

    def _hear(self) -> None:
        if self.back and self.box.heard(self.back.popleft()):
            self.there.append(self.box.hello())

    def _lose(self) -> None:
        """ROUTER drops what a client does not read, and the client's patience ends."""
        if self.back:
            self.back.popleft()
            self.connect()

    def _cut(self) -> None:
        self.connect()

    def _kill(self) -> None:
        self.daemon.die()
        self.connect()

    def add(self, rows: int) -> None:
        """The producer sends rows, or a label of rows that it sent before."""
        self.number += 1
        self.box.add(Parcel(self.number, self.seq, rows, 10, ()))
        self.order += [("row", self.seq + i) for i in range(rows)] or [("label", self.number)]
        self.seq += rows

    def settle(self) -> None:
        """Let everything come through, without faults."""
        for _ in range(10 * (len(self.box.parcels) + 10)):
            for what in ("send", "take", "commit", "hear"):
                self.step(what)


def without_repeats(journal: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The journal as it is learned: a label that comes again means nothing."""
    return list(dict.fromkeys(journal))


@given(STEPS)
def test_all_comes_once_and_in_order(steps: list[str]) -> None:
    """Whatever breaks when, rows are journaled once, and rows and labels in the order sent."""
    world = World()
    for what in steps:
        world.step(what)
        assert world.box.in_flight <= 110
        assert world.box.in_flight >= 0
    world.settle()
    assert without_repeats(world.daemon.journal) == world.order
    rows = [seq for kind, seq in world.daemon.journal if kind == "row"]
    assert rows == list(range(world.seq))
    assert not world.box.parcels
    assert world.box.kept_bytes == world.box.lost == 0
    assert world.box.next_seq == world.seq


def test_what_is_told_to_be_durable_is_in_the_journal() -> None:
    """An answer never runs ahead of the journal, and rows leave only when it tells of them."""
    world = World()
    for what in ("take", "commit", "hear", "rows", "send", "take"):
        world.step(what)
    assert len(world.box.parcels) == 1
    assert world.box.next_seq == 0
    world.step("commit")
    world.step("hear")
    assert not world.box.parcels
    assert len(world.daemon.journal) == world.box.next_seq == 2


def test_a_daemon_that_lost_rows_is_told_where_to_go_on() -> None:
    """Its state came from an old backup: what is gone is counted, the rest comes through."""
    world = World()
    for what in ("rows", "rows", "rows"):
        world.step(what)
    world.settle()
    world.step("rows")
    del world.daemon.journal[2:]
    world.step("kill")
    world.settle()
    assert world.box.lost == 4
    assert world.daemon.journal[2:] == [("row", 6), ("row", 7)]


def test_credit_stops_the_sending() -> None:
    """At most as many bytes are on their way as were granted, and one message more."""
    world = World()
    for what in ("take", "commit", "hear"):
        world.step(what)
    for _ in range(50):
        world.step("rows")
        world.step("send")
    assert world.box.in_flight == 100
    assert len(world.there) == 10
