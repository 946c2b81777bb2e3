"""Whose connections are open: never a wrong one for sure, never too few, and none for ever."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamlearn.wire.connections import Connection, Connections

KEYS = ("good", "bad")
DESCRIPTORS = 3


class World:
    """What really happens, and what a watch is told of it; messages may be read late."""

    def __init__(self) -> None:
        self.seen = Connections()
        self.open: dict[int, tuple[Connection, str]] = {}
        """Descriptor → connection, and the key that it has proven."""
        self.sent: list[tuple[int, str, str, int]] = []
        self.proven: dict[int, tuple[str, int]] = {}

    def step(self, what: str, descriptor: int, key: str, place: str) -> None:
        """Do one thing, where it can be done."""
        if what == "come" and descriptor not in self.open:
            one = Connection(place)
            self.open[descriptor] = (one, "")
            self.seen.come(descriptor, one)
        elif descriptor in self.open:
            one, proven = self.open[descriptor]
            if what == "prove" and not proven:
                self.open[descriptor] = (one, key)
                self.proven[descriptor] = (key, self.seen.prove(key, one.place))
            elif what == "die" and not proven:  # it asks, and is gone before it is answered
                del self.open[descriptor]
                self.seen.leave(descriptor)
                self.seen.prove(key, one.place)
            elif what == "send" and proven:
                named, when = self.proven[descriptor]
                self.sent.append((descriptor, f"{named}.{when}", named, when))
            elif what == "leave":
                del self.open[descriptor]
                self.seen.leave(descriptor)
        if what == "read" and self.sent:
            self.seen.speak(*self.sent.pop(0))

    def check(self) -> None:
        """Hold what is known against what is so."""
        truth = Counter(key for _, key in self.open.values() if key)
        for key in KEYS:
            assert self.seen.count(key) >= truth[key]
        for descriptor, (one, proven) in self.open.items():
            assert self.seen.of(descriptor) is one
            assert one.key in ("", proven)
        for descriptor in self.seen.lost(lambda key: key == "good"):
            assert self.open[descriptor][1] != "good"


steps = st.lists(
    st.tuples(
        st.sampled_from(["come", "prove", "send", "read", "leave", "die"]),
        st.integers(0, DESCRIPTORS - 1),
        st.sampled_from(KEYS),
        st.sampled_from("aab"),
    ),
    min_size=20,
    max_size=80,
)


@given(steps)
def test_no_order_of_things_deceives(did: list[tuple[str, int, str, str]]) -> None:
    """Whatever comes, proves, speaks, is read late, goes, and has its descriptor used again.

    A connection is never taken for another key's, an allowed one never ended for another's sake, a
    key never counted too low; when all has gone, nothing is kept.
    """
    world = World()
    for one in did:
        world.step(*one)
        world.check()
    for descriptor in list(world.open):
        world.step("leave", descriptor, "", "")
    while world.sent:
        world.step("read", 0, "", "")
    assert not world.seen.accepted
    assert not any(world.seen.count(key) for key in KEYS)
    assert not world.seen._known
    assert not world.seen._accepted


@given(steps)
def test_who_has_spoken_is_known(did: list[tuple[str, int, str, str]]) -> None:
    """Once a message was read, its connection is known; all of a lost key that spoke are found."""
    world = World()
    for one in did:
        world.step(*one)
        if one[0] == "send":
            while world.sent:
                world.step("read", 0, "", "")
    lost = world.seen.lost(lambda key: key == "good")
    spoke = {where for where, (one, _) in world.open.items() if one.key == "bad"}
    assert spoke <= set(lost)
    for one, proven in world.open.values():
        assert not one.user or one.key == proven


def test_the_silent_are_told_apart_when_the_others_speak() -> None:
    """Two keys behind one address: the silent one is found as soon as the other has spoken."""
    seen = Connections()
    for descriptor in (1, 2):
        seen.come(descriptor, Connection("a"))
    good, bad = seen.prove("good", "a"), seen.prove("bad", "a")
    assert seen.lost(lambda key: key == "good") == []
    assert seen.unsure
    assert seen.speak(1, "u", "good", good)
    assert seen.lost(lambda key: key == "good") == [2]
    assert not seen.unsure
    assert seen.speak(2, "v", "bad", bad)
    assert seen.lost(lambda key: key == "good") == [2]


def test_late_words_bind_no_other_connection() -> None:
    """A message of a connection that has ended says nothing of the next one on its descriptor."""
    seen = Connections()
    seen.come(7, Connection("a"))
    bad = seen.prove("bad", "a")
    seen.leave(7)
    seen.come(7, Connection("a"))
    assert not seen.speak(7, "u", "bad", bad)
    seen.prove("good", "a")
    seen.come(8, Connection("a"))
    seen.prove("bad", "a")
    assert not seen.speak(7, "u", "bad", bad)
    assert seen.lost(lambda key: key == "good") == [8]


def test_who_comes_and_goes_in_silence_is_not_counted_on() -> None:
    """Beside a connection that stays, however often others of its key came and went."""
    seen = Connections()
    seen.come(1, Connection("a"))
    seen.prove("k", "a")
    for _ in range(10):
        seen.come(2, Connection("a"))
        seen.prove("k", "a")
        seen.leave(2)
    assert seen.count("k") == 1
