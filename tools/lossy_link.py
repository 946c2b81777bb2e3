"""A bad network in one process: two TUN devices, and a relay that loses and delays packets.

::

    this host ── TUN ── relay ── TUN ── a network namespace of its own

Whoever runs in the namespace (`Link.inside`) reaches this host at `Link.here` only through the
relay. Needs root and /dev/net/tun, and no queueing discipline or firewall of the kernel's.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from contextlib import suppress
from typing import Final, NamedTuple, Self

from streamlearn.errors import StreamlearnError

_TUNSETIFF: Final = 0x400454CA
_PLAIN_TUN: Final = 0x0001 | 0x1000
"""IFF_TUN and IFF_NO_PI: packets as they are."""
_MTU_BYTES: Final = 1500


class MissingError(StreamlearnError):
    """What a mishap needs is not to be had by this user on this machine; the text says what."""


class Weather(NamedTuple):
    """What happens to a packet, on its way there as on its way back."""

    loss: float
    """Probability that it is gone."""
    delay_s: float


class Link:
    """A link with weather; `with` brings it up and takes it away.

    Parameters
    ----------
    weather
        What happens to packets.
    seed
        Of the draws which packets are lost.

    Attributes
    ----------
    here
        This host's address on the link.
    passed, lost
        Packets so far.

    Raises
    ------
    MissingError
        By `with`: no root, no TUN, no namespaces.

    """

    def __init__(self, weather: Weather, seed: int = 1) -> None:
        # Addresses set aside for tests of networks (RFC 2544); four a process.
        pid = os.getpid() % (1 << 14)
        net = f"198.18.{pid >> 6}"
        self.here, self._there = f"{net}.{pid % 64 * 4 + 1}", f"{net}.{pid % 64 * 4 + 2}"
        self._name = f"slbad{pid}"
        self._weather, self._draw = weather, random.Random(seed)  # noqa: S311  no secret
        self.passed = self.lost = 0
        self._ends: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._relay, name="lossy link")

    def inside(self, *command: str) -> list[str]:
        """A command line that runs in the namespace."""
        return ["ip", "netns", "exec", self._name, *command]

    def __enter__(self) -> Self:
        near, far = f"{self._name}a", f"{self._name}b"
        try:
            self._ends = [_tun(near), _tun(far)]
            _ip("netns", "add", self._name)
            _ip("link", "set", far, "netns", self._name)
            _ip("addr", "add", f"{self.here}/30", "dev", near)
            _ip("link", "set", near, "up")
            _ip("-n", self._name, "addr", "add", f"{self._there}/30", "dev", far)
            _ip("-n", self._name, "link", "set", far, "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self._take_away()
            raise MissingError(f"a network namespace and a TUN device: {error}") from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._take_away()

    def _take_away(self) -> None:
        for end in self._ends:
            os.close(end)
        with suppress(OSError, subprocess.CalledProcessError):
            _ip("netns", "del", self._name)

    def _relay(self) -> None:
        """Bring packets over, in order, those that are not lost."""
        near, far = self._ends
        across = {near: far, far: near}
        waiting: list[tuple[float, int, int, bytes]] = []
        number = 0
        while not self._over.is_set():
            due_s = waiting[0][0] - time.monotonic() if waiting else 0.1
            for end in select.select(self._ends, [], [], min(0.1, max(0.0, due_s)))[0]:
                number += 1
                packet = os.read(end, 2 * _MTU_BYTES)
                if self._draw.random() < self._weather.loss:
                    self.lost += 1
                else:
                    at_s = time.monotonic() + self._weather.delay_s
                    heapq.heappush(waiting, (at_s, number, across[end], packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(waiting)
                self.passed += 1
                with suppress(OSError):
                    os.write(end, packet)


def _tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _PLAIN_TUN))
    except OSError:
        os.close(end)
        raise
    return end


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)  # noqa: S607
