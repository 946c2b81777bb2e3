"""Rubbish to throw at a daemon: mutated and random messages, and sockets of other protocols.

`messages` gives frames with the reason under which they must be counted, "" for the valid rows that
are mixed in, None where either may be right; `foreign` speaks to a port what is no ZMTP.
"""

import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np

from streamlearn.wire.message import DTYPES, Schema

Frames = list[bytes]
Fault = Callable[["Maker"], Frames]
VALID_EVERY = 5


class Maker:
    """Makes messages out of seeded chance.

    Parameters
    ----------
    seed
        The same seed gives the same messages.
    schema
        What valid rows are.

    """

    def __init__(self, seed: int, schema: Schema) -> None:
        self.chance = random.Random(seed)
        self.schema = schema
        self.seq = 0

    def valid(self) -> Frames:
        """The next valid row, numbered on, labelled where the stream has classes."""
        label = self.chance.randrange(-1, self.schema.classes)
        frames = self.row(seq=self.seq, y=label)
        self.seq += 1
        return frames

    def row(self, payload: bytes | None = None, **header: Any) -> Frames:
        """One row of a stream of its own; header keys replaced, `...` leaves one out."""
        dtype = self.schema.dtype or self.chance.choice(DTYPES)
        kind = np.dtype(dtype)
        values = [self.chance.randrange(100) for _ in range(self.schema.width)]
        whole: dict[str, Any] = {"v": 1, "kind": "sample", "seq": 1, "dtype": dtype}
        whole["shape"] = [1, *self.schema.shape]
        whole.update(header)
        packed = msgpack.packb({key: value for key, value in whole.items() if value is not ...})
        return [b"cam0", packed, np.array(values, kind).tobytes() if payload is None else payload]

    def short(self, **header: Any) -> Frames:
        """A label or a heartbeat."""
        return self.row(b"", **{"dtype": ..., "shape": ..., **header})[:2]

    def one(self, *options: Any) -> Any:
        """Any of the options."""
        return self.chance.choice(options)

    def bytes(self, most: int) -> bytes:
        """Random bytes."""
        return self.chance.randbytes(self.chance.randrange(most + 1))


def _frames(m: Maker) -> Frames:
    whole, n = m.row(), m.chance.randrange(1, 40)
    return m.one(whole[:1], whole[:2], [*whole, *[b"x"] * n], [*m.short(kind="heartbeat"), b""])


def _stream(m: Maker) -> Frames:
    name = m.one(b"", b"x" * 129, b"a b", b"\xff\xfe", b"a\n", b"x" * 5000, b"\0", b"caf\xc3\xa9")
    return [name, *m.row()[1:]]


def _size(m: Maker) -> Frames:
    rows = [m.schema.max_rows + 1, *m.schema.shape]
    return m.one(
        m.row(junk=m.chance.randbytes(4096)),
        m.row(b"", shape=rows),
        m.row(b"", shape=[2**64 - 1, *m.schema.shape]),
    )


def _header(m: Maker) -> Frames:
    frames = m.row()
    cut = m.chance.randrange(len(frames[1]))
    broken = m.one(
        b"",
        b"\xc1" + m.bytes(20),
        b"\x90",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1z" + b"\x91" * 4000 + b"\x01",
        frames[1][:cut],
        frames[1] + b"\0",
        msgpack.packb({1: 2}),
        msgpack.packb(m.chance.random()),
    )
    kind = m.row(kind=m.one("hello", "", 5, None, ["sample"]))
    producer = m.row(producer=m.one("p" * 65, 7, None, b"p"))
    return m.one([frames[0], broken, frames[2]], kind, producer, m.row(t=m.one("now", [1], True)))


def _version(m: Maker) -> Frames:
    return m.row(v=m.one(..., 0, 2, -1, 2**64 - 1, True, 1.0, "1", None, {"v": 1}))


def _seq(m: Maker) -> Frames:
    bad = m.one(..., -1, -(2**63), True, 0.5, "7", None, [1])
    late = m.short(kind="label", seq=2**64 - 1, y=[-1, -1])
    return m.one(m.row(seq=bad), m.short(kind="heartbeat", seq=bad), late)


def _dtype(m: Maker) -> Frames:
    return m.row(dtype=m.one(..., "", "f4", ">f4", "|O", "<i8", "float32", "<U4", 4, None))


def _shape(m: Maker) -> Frames:
    shape, big = list(m.schema.shape), 2**64 - 1
    bad = m.one(..., [], shape, [1, *shape, 1], [0, *shape], [-1, *shape], [1, *shape[:-1], big])
    return m.row(shape=m.one(bad, [1, big, big], ["1", *shape], [1.0, *shape], 5, None, [1] * 33))


def _length(m: Maker) -> Frames:
    dtype = m.schema.dtype or m.one(*DTYPES)
    payload = bytes(m.schema.width * np.dtype(dtype).itemsize)
    return m.row(m.one(b"", payload[:-1], payload + b"\0", payload * 2), dtype=dtype)


def _label(m: Maker) -> Frames:
    top = m.schema.classes
    bad = m.one(top, -2, 2**64 - 1, True, 1.0, "1", None, [], [0, 0], [top], [[0]], {})
    return m.one(m.row(y=bad), m.short(kind="label", y=m.one(..., top, [], [-2], None)))


def _nonfinite(m: Maker) -> Frames:
    dtype = np.dtype(m.schema.dtype or m.one("<f2", "<f4", "<f8"))
    if dtype.kind != "f":
        return m.row(t=m.one(float("nan"), float("inf")))
    x = np.zeros(m.schema.width, dtype)
    bad = [np.nan, np.inf, -np.inf] + ([1e39, -1e300] if dtype.itemsize == 8 else [])
    x[m.chance.randrange(len(x))] = m.one(*bad)
    return m.one(m.row(x.tobytes(), dtype=dtype.str), m.row(t=float("nan")))


FAULTS: dict[str, Fault] = {
    "frames": _frames,
    "stream": _stream,
    "size": _size,
    "header": _header,
    "version": _version,
    "seq": _seq,
    "dtype": _dtype,
    "shape": _shape,
    "length": _length,
    "label": _label,
    "nonfinite": _nonfinite,
}


def _random(m: Maker) -> Frames:
    return [m.bytes(60) for _ in range(m.chance.randrange(1, 6))]


def _flipped(m: Maker) -> Frames:
    """A row with a byte of its header or name flipped: mostly refused, rarely still valid."""
    frames = m.row(v=2, seq=2**64 - 1)
    place = m.chance.randrange(2)
    frame = bytearray(frames[place])
    frame[m.chance.randrange(len(frame))] ^= 1 << m.chance.randrange(8)
    frames[place] = bytes(frame)
    return [*frames, b"and one frame too many"]


def messages(seed: int, n: int, schema: Schema) -> Iterator[tuple[Frames, str | None]]:
    """Make n messages: valid rows of stream `cam0`, each kind of fault in turn, and noise.

    Parameters
    ----------
    seed
        The same seed gives the same messages.
    n
        How many; every fifth is a valid row, numbered from 0 without gaps.
    schema
        What valid rows are.

    Yields
    ------
    tuple[list[bytes], str | None]
        Frames, and the reason under which they are refused: "" for a valid row, None where it is
        only known that they are refused.

    """
    maker, reasons = Maker(seed, schema), list(FAULTS)
    for i in range(n):
        if i % VALID_EVERY == 0:
            yield maker.valid(), ""
        elif i % VALID_EVERY == 1:
            yield maker.one(_random, _flipped)(maker), None
        else:
            reason = reasons[maker.chance.randrange(len(reasons))] if i >= 60 else reasons[i % 11]
            yield FAULTS[reason](maker), reason


# ZMTP 3.0: signature, version, mechanism NULL, padding; then a READY command as PUSH.
_GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00NULL" + b"\0" * 48
_READY = b"\x04\x19\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH"

SPEECHES: dict[str, bytes] = {
    "http": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n" * 3,
    "tls": bytes.fromhex("16030102000100 01fc0303".replace(" ", "")) + bytes(range(256)) * 2,
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n" + bytes(range(256)),
    "zeros": b"\0" * 4096,
    "noise": random.Random(7).randbytes(65536),
    "wrong version": b"\xff" + b"\0" * 8 + b"\x7f\x09\x09CURVE" + b"\xff" * 47,
    "half a greeting": _GREETING[:20],
    "wrong socket type": _GREETING + _READY.replace(b"PUSH", b"DISH"),
    "endless command": _GREETING + b"\x06" + struct.pack(">Q", 2**62) + b"x" * 1000,
    "four gigabytes": _GREETING + _READY + b"\x02" + struct.pack(">Q", 2**32) + b"x" * 1000,
    "2^63 bytes": _GREETING + _READY + b"\x03" + struct.pack(">Q", 2**63) + b"x" * 1000,
    "cut off in a frame": _GREETING + _READY + b"\x01\x04cam0\x00\x40" + b"\x81" * 20,
}


def foreign(host: str, port: int, timeout_s: float = 1.0) -> list[str]:
    """Say each of `SPEECHES` to a port, on a connection of its own, and hang up.

    Returns
    -------
    list[str]
        The names of the speeches that found someone listening: all of them, from a daemon that
        lives.

    """
    heard = []
    for name, speech in SPEECHES.items():
        with suppress(OSError), socket.create_connection((host, port), timeout_s) as link:
            heard.append(name)
            link.sendall(speech)
            link.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):
                while link.recv(4096):
                    pass
    return heard
