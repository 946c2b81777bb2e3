"""Starts the program with a way to look at its memory from inside: `probed.py SOCKET run FILE`.

Whoever connects to the Unix socket is told, as JSON, what the C library, SQLite and Python hold.
A word does something before: `gc` collects garbage, `gc of all` with what was set aside for good.
"""

import _sqlite3
import ctypes
import gc
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from streamlearn import garbage

_LIBC: Final = ctypes.CDLL(None)
_MALLINFO: Final = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)
"""Fields of struct mallinfo2 in <malloc.h>, glibc from 2.33 on."""


class Inside(NamedTuple):
    """What a process holds."""

    arenas_bytes: int
    """What malloc has from the system, for all threads together; single large pieces aside."""
    used_bytes: int
    """The part of it that is in use, SQLite's among it."""
    sqlite_bytes: int
    """What SQLite holds: pages of its files, mostly."""
    blocks: int
    """Python's own small pieces; all objects lie in them."""
    objects: int
    """That a collection of garbage looks at; what was set aside does not count."""
    collecting_s: float
    """How long the collection took that was asked for."""


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO]


def inside(collecting_s: float = 0.0) -> Inside:
    """What this process holds now."""
    mallinfo2 = _LIBC.mallinfo2
    mallinfo2.restype = _Mallinfo2
    sqlite = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    sqlite.restype = ctypes.c_int64
    info = mallinfo2()
    blocks, objects = sys.getallocatedblocks(), len(gc.get_objects())
    return Inside(info.arena, info.uordblks, sqlite(), blocks, objects, collecting_s)


def _collected_s(*, everything: bool) -> float:
    """Collect garbage; seconds that all threads stood still."""
    if everything:
        gc.unfreeze()
    began = time.perf_counter()
    gc.collect()
    seconds = time.perf_counter() - began
    if everything:
        garbage.settle()
    return seconds


def _answer(link: socket.socket) -> None:
    word = link.recv(64)
    seconds = _collected_s(everything=word == b"gc of all") if word.startswith(b"gc") else 0.0
    link.sendall(json.dumps(inside(seconds)).encode())


def listen(path: str) -> None:
    """Answer at a Unix socket, from a thread, until the process ends."""
    ear = socket.socket(socket.AF_UNIX)
    ear.bind(path)
    ear.listen()

    def serve() -> None:
        while True:
            link, _ = ear.accept()
            with link:
                _answer(link)

    threading.Thread(target=serve, name="probe", daemon=True).start()


def ask(path: Path, word: str = "look") -> Inside:
    """Ask a process that listens there."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        link.sendall(word.encode())
        return Inside(*json.loads(link.recv(4096)))


if __name__ == "__main__":
    listen(sys.argv[1])
    from streamlearn.cli import main

    main(sys.argv[2:])
