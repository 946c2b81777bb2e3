"""How many bytes each client of the acknowledged socket may have on their way. Nothing is sent.

All share what the journal has room for. A client that is held to a rate gets none while it is ahead
of it: nothing is dropped, it waits.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from streamlearn.wire.acknowledged import Place, credit
from streamlearn.wire.batch import Keeps
from streamlearn.wire.door import Door

_NOT_TOLD: Final = -1


class Credits:
    """Who was told what.

    Parameters
    ----------
    keeps
        Knows what is free, and all places.
    most_bytes
        Most that one client may have on its way.

    Attributes
    ----------
    door
        Knows clients' rates; None where there are none.
    stopped
        The disk has no room: there is none for anybody.
    sharing
        Key → (stream, producer)s that it speaks for.
    due_s
        When who was too fast is to be told, by the monotonic clock.

    """

    def __init__(self, keeps: Keeps, most_bytes: int) -> None:
        self.door: Door | None = None
        self.stopped = False
        self.sharing: Counter[str] = Counter()
        self.due_s = math.inf
        self._keeps, self._most_bytes = keeps, most_bytes
        self._clients, self._last = 0, _NOT_TOLD
        self._dry: dict[int, Place] = {}

    @property
    def now(self) -> int:
        """What a client without a rate may have on its way."""
        if self.stopped:
            return 0
        return credit(self._keeps.free_bytes(), self._most_bytes, self._clients)

    def come(self, place: Place, peer: bytes) -> None:
        """Note who speaks for a place from now on."""
        self.leave(place)
        self._clients += 1
        place.peer = peer
        if self.door is not None:
            place.key = self.door.key
            self.sharing[place.key] += 1

    def is_of(self, place: Place, peer: bytes) -> bool:
        """Whether a place is spoken for by a peer, and by the key that sent this message."""
        return place.peer == peer and (self.door is None or place.key == self.door.key)

    def hold_back(self, place: Place) -> None:
        """Raise `RejectedError` where who speaks for a place sends on without credit."""
        if self.door is not None:
            self.door.hold_back(self.sharing[place.key])

    def leave(self, place: Place) -> None:
        """Note that nobody does any more; it takes no share."""
        if place.peer is not None:
            self._clients -= 1
            self.sharing[place.key] -= 1
            place.peer, place.key = None, ""

    def part(self, door: Door) -> None:
        """After a change of the list of clients: part with who may not speak any more."""
        self.due_s = 0.0
        for place in self._keeps.places.spoken_for():
            if not door.may_speak(place.key, place.stream, place.producer):
                self.leave(place)

    def granted(self, place: Place, now: int) -> int:
        """What of the credit that there is now a place is told; who gets none comes up later."""
        place.told = self._share(place, now)
        if now and not place.told:
            self._wait(place)
        return place.told

    def _share(self, place: Place, now: int) -> int:
        if self.door is None:
            return now
        return int(min(now, self.door.credit_bytes(place.key, self.sharing[place.key])))

    def _wait(self, place: Place) -> None:
        if self.door is not None and place.peer is not None:
            self._dry[id(place)] = place
            self.due_s = min(self.due_s, self.door.due_s(place.key))

    def to_tell(self) -> Iterator[Place]:
        """Places whose credit came to nothing, or came back, since they were told."""
        now = self.now
        if (now > 0) != (self._last > 0):
            self._last = now
            yield from self._changed(self._keeps.places.spoken_for(), now)
        if self.due_s != math.inf and time.monotonic() >= self.due_s:
            dry = list(self._dry.values())
            self._dry, self.due_s = {}, math.inf
            yield from self._changed(dry, now)

    def _changed(self, places: Iterable[Place], now: int) -> Iterator[Place]:
        for place in places:
            may = self._share(place, now) > 0
            if may != (place.told > 0):
                yield place
            elif now and not may:
                self._wait(place)
