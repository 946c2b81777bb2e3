"""A way to the daemon on which producers die in the middle of a message, again and again."""

import random
import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Final, Self

from streamlearn.bench.process import LOOPBACK

_DEATHS: Final = ("closed", "reset", "silent")
_LEAST_BYTES, _MOST_BYTES = 400, 4000
"""How much comes through before one dies: more than the handshake, seldom a whole message."""


class Cutter:
    """Passes connections on, and ends the first of them after some bytes.

    By turns the daemon sees a connection closed, reset, or one on which nothing comes any more.

    Parameters
    ----------
    port
        Where the daemon listens on the loopback.
    cuts
        How many connections die; later ones live.
    seed
        Of the draws after how many bytes.

    Attributes
    ----------
    port
        Where producers connect.
    done
        Connections that died so far.

    """

    def __init__(self, port: int, cuts: int, seed: int = 1) -> None:
        self._to, self._cuts = port, cuts
        self._draw = random.Random(seed)  # noqa: S311  no secret
        self._door = socket.create_server((LOOPBACK, 0))
        self.port: int = self._door.getsockname()[1]
        self.done = 0
        self._silent: list[socket.socket] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="cutter")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._door.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connections on which nothing comes any more."""
        while self._silent:
            self._silent.pop().close()

    def _serve(self) -> None:
        """One connection after the other: the producer has one at a time."""
        while not self._over.is_set():
            if not select.select([self._door], [], [], 0.1)[0]:
                continue
            client = self._door.accept()[0]
            try:
                daemon = socket.create_connection((LOOPBACK, self._to))
            except OSError:
                client.close()
                continue
            self._pass_on(client, daemon)

    def _pass_on(self, client: socket.socket, daemon: socket.socket) -> None:
        last = self.done >= self._cuts
        left = 1 << 62 if last else self._draw.randrange(_LEAST_BYTES, _MOST_BYTES)
        with suppress(OSError):
            while left and not self._over.is_set():
                ready = select.select([client, daemon], [], [], 0.1)[0]
                if daemon in ready:
                    if not (answer := daemon.recv(1 << 16)):
                        break
                    client.sendall(answer)
                if client in ready:
                    if not (said := client.recv(min(left, 1 << 16))):
                        break
                    daemon.sendall(said)
                    left -= len(said)
        if left:
            daemon.close()
        else:
            self._die(daemon)
        client.close()

    def _die(self, daemon: socket.socket) -> None:
        death = _DEATHS[self.done % len(_DEATHS)]
        self.done += 1
        if death == "silent":
            self._silent.append(daemon)
            return
        if death == "reset":
            daemon.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        daemon.close()
