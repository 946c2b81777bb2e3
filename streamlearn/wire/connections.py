"""Whose connections are open on a socket, as far as that can be known.

ZeroMQ tells of a connection that comes or goes its descriptor; of a key that is proven, from which
place, but not by which connection; of a message both the handshake and the descriptor. So a
connection is known for sure from its first message on. Until then it is silent, and may be that of
any key proven from its place since it came, by a handshake that is not known to be another's.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Connection:
    """One connection.

    Attributes
    ----------
    place
        Where it comes from: an address, or one word for all programs of this machine.
    inode
        Of its descriptor, never used again while the machine runs; 0 where it could not be seen.
    accepted
        Whether the other side came to us; else we went there.
    succeeded
        Handshakes of the socket that had succeeded when it came.
    came
        When, by the socket's clock of connections and proofs.
    user
        The User-Id of its messages; "" while it is silent.
    key
        Whose it is; "" while it is silent.
    perhaps
        Keys that it may have proven → by how many handshakes.
    ended
        Whether we ended it, and wait to hear of that.

    """

    place: str
    inode: int = 0
    accepted: bool = True
    succeeded: int = 0
    came: int = 0
    user: str = ""
    key: str = ""
    perhaps: Counter[str] = field(default_factory=Counter)
    ended: bool = False


class Connections:
    """The open connections of one socket; opens and closes nothing.

    Attributes
    ----------
    unsure
        Whether `lost` found a silent connection that may be of a lost key, or of another.

    """

    def __init__(self) -> None:
        self.unsure = False
        self._clock = 0
        self._open: dict[int, Connection] = {}
        """By descriptor."""
        self._silent: dict[int, Connection] = {}
        """Those of them that have sent nothing yet."""
        self._accepted: Counter[str] = Counter()
        """Place → connections that came from there."""
        self._known: Counter[str] = Counter()
        """Key → connections that are known to be its."""

    def of(self, descriptor: int) -> Connection | None:
        """The connection that has a descriptor now."""
        return self._open.get(descriptor)

    def come(self, descriptor: int, one: Connection) -> None:
        """Note a new connection."""
        self.leave(descriptor)
        self._clock += 1
        one.came = self._clock
        self._open[descriptor] = self._silent[descriptor] = one
        self._accepted[one.place] += one.accepted

    def leave(self, descriptor: int) -> Connection | None:
        """Note that a connection ended; one that is not known changes nothing."""
        one = self._open.pop(descriptor, None)
        if one is None:
            return None
        self._silent.pop(descriptor, None)
        _take(self._accepted, one.place, int(one.accepted))
        _take(self._known, one.key, int(bool(one.key)))
        return one

    def prove(self, key: str, place: str) -> int:
        """Note that a connection from a place has proven a key; when, by the clock."""
        self._clock += 1
        for one in self._silent_at(place):
            one.perhaps[key] += 1
        return self._clock

    def speak(self, descriptor: int, user: str, key: str, when: int) -> bool:
        """Note that a message came over a connection.

        Parameters
        ----------
        descriptor
            Of the connection that it came over, which may have ended since.
        user
            Its User-Id.
        key
            That its sender has proven.
        when
            By the clock, as `prove` told it.

        Returns
        -------
        bool
            Whether the connection was silent and is known now. False also where another has the
            descriptor since, which can only have come after the proof.

        """
        one = self._silent.get(descriptor)
        if one is None or one.came > when or not one.perhaps[key]:
            return False
        del self._silent[descriptor]
        for other in self._silent_at(one.place):
            if other.came < when:
                _take(other.perhaps, key, 1)
        one.user, one.key = user, key
        one.perhaps.clear()
        self._known[key] += 1
        return True

    def known_as(self, user: str) -> list[tuple[int, Connection]]:
        """The connection of a User-Id with its descriptor; none where it has ended."""
        return [(where, one) for where, one in self._open.items() if one.user == user]

    def users(self) -> list[str]:
        """The User-Ids of those that have spoken."""
        return [one.user for one in self._open.values() if one.user]

    def _silent_at(self, place: str) -> Iterator[Connection]:
        return (one for one in self._silent.values() if one.place == place)

    @property
    def accepted(self) -> int:
        """How many have come to us."""
        return self._accepted.total()

    def accepted_from(self, place: str) -> int:
        """How many have come from a place."""
        return self._accepted[place]

    def count(self, key: str) -> int:
        """How many a key has; never too few, and too many only where it shares a place."""
        silent: Counter[str] = Counter()
        proofs: dict[str, int] = {}
        for one in self._silent.values():
            if one.perhaps[key]:
                silent[one.place] += 1
                proofs[one.place] = max(proofs.get(one.place, 0), one.perhaps[key])
        return self._known[key] + sum(min(silent[at], n) for at, n in proofs.items())

    def lost(self, may: Callable[[str], bool]) -> list[int]:
        """Descriptors of connections that are for sure of keys that may be here no longer.

        A silent one may also not have proven anything yet; whose it is, has then lost nothing.
        """
        self.unsure = False
        found = []
        for descriptor, one in self._open.items():
            rights = [may(key) for key in ([one.key] if one.key else one.perhaps)]
            if rights and not any(rights):
                found.append(descriptor)
            elif not all(rights):
                self.unsure = True
        return found


def _take(counts: Counter[str], key: str, number: int) -> None:
    """Count less; what comes to nothing is forgotten."""
    counts[key] -= number
    if counts[key] <= 0:
        del counts[key]
