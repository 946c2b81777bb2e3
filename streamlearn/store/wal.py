"""Whether SQLite would leave out transactions of a write-ahead log that were on the disk.

SQLite takes a log up to the first frame whose checksum differs, and drops the rest without a word:
after a power cut that is the end of a transaction nobody was told of. Damage in the middle looks
the same to it. Here it is told apart: a transaction is written only when the one before it is on
the disk, so one that is followed by another was durable.

Layout and checksum: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES: Final = 32
_FRAME_WORDS: Final = 6
_MAGIC: Final = 0x377F0682
"""The lowest bit says whether checksums are over big-endian words."""
_PAGE_BYTES: Final = 4096
"""SQLite's default, where the header does not say."""
_NATIVE: Final = "<" if sys.byteorder == "little" else ">"
"""What SQLite writes here, where the header does not say."""
_CHUNK: Final = 1024
"""Frames looked at in one go."""

Words = NDArray[np.uint32]


class _Header(NamedTuple):
    good: bool
    order: str
    page_bytes: int
    salts: Words
    sums: Words


class _Frames(NamedTuple):
    """Frames of a log, one row each."""

    commits: NDArray[np.bool_]
    """Whether it ends a transaction."""
    ours: NDArray[np.bool_]
    """Whether it belongs to this log, not to one that was written over."""
    good: NDArray[np.bool_]
    """Whether its checksum goes on from the frame before."""


class Log(NamedTuple):
    """What a log holds, in SQLite's eyes and in ours."""

    fault: str
    """What is damaged, "" where SQLite will take all that was durable."""
    transactions: int
    """How many SQLite will take."""
    cut: int
    """Frames at its end that SQLite drops, as they make no whole transaction.

    A kill or a power cut in the middle of a write leaves some, and so does damage to the last
    transaction; which of them it was cannot be told.
    """


def look(log: Path) -> Log:
    """Read a log once, before SQLite opens it.

    Parameters
    ----------
    log
        Its file; it need not be there.

    """
    if not log.exists() or log.stat().st_size <= _HEADER_BYTES:
        return Log("", 0, 0)
    with log.open("rb") as file:
        header = _header(file.read(_HEADER_BYTES))
    frames = _frames(log, header)
    taken = frames.ours & frames.good
    end = _first(~taken) if header.good else 0
    whole = np.flatnonzero(frames.commits[:end])
    cut = int(frames.ours[whole[-1] + 1 if len(whole) else 0 :].sum()) if header.good else 0
    return Log(_fault(log, header, frames, end), len(whole), cut)


def _fault(log: Path, header: _Header, frames: _Frames, end: int) -> str:
    """What is damaged in a log that SQLite takes up to a frame."""
    taken = frames.ours & frames.good
    # A frame that is as it was written, after one that ended a transaction that SQLite drops.
    ended = np.cumsum(frames.commits & frames.ours & (np.arange(len(taken)) >= end))
    later = taken[1:] & (ended[:-1] > 0)
    if not later.any():
        return ""
    what = f"frame {end + 1}" if header.good else "its header"
    return f"{log}: {what} is damaged, with {ended[-1]} transactions that were on the disk"


def _first(flags: NDArray[np.bool_]) -> int:
    """Where the first one is, their number where there is none."""
    found = np.flatnonzero(flags)
    return int(found[0]) if len(found) else len(flags)


def _header(data: bytes) -> _Header:
    plain = np.frombuffer(data, ">u4").astype(np.uint32)
    order = ">" if plain[0] & 1 else "<"
    words = np.frombuffer(data, f"{order}u4").astype(np.uint32)
    weights, _ = _weights(6)
    sums = words[:6] @ weights
    if plain[0] & ~np.uint32(1) == _MAGIC and (sums == plain[6:]).all():
        return _Header(True, order, int(plain[2]), plain[4:6], sums)
    return _Header(False, _NATIVE, _PAGE_BYTES, plain[4:6], plain[6:])


def _frames(log: Path, header: _Header) -> _Frames:
    step = _FRAME_WORDS + header.page_bytes // 4
    count = (log.stat().st_size - _HEADER_BYTES) // (4 * step)
    shape = (count, step)
    words: Any = (
        np.memmap(log, ">u4", "r", _HEADER_BYTES, shape) if count else np.empty(shape, ">u4")
    )
    summed = words.view(f"{header.order}u4")
    weights, carried = _weights(step - 4)
    good = np.zeros(count, np.bool_)
    before = header.sums
    for begin in range(0, count, _CHUNK):
        part = words[begin : begin + _CHUNK]
        pages = summed[begin : begin + _CHUNK]
        added = pages[:, :2] @ weights[:2] + pages[:, _FRAME_WORDS:] @ weights[2:]
        sums = part[:, 4:6].astype(np.uint32)
        chain = np.concatenate([before[None], sums[:-1]])
        good[begin : begin + _CHUNK] = (added + chain @ carried == sums).all(axis=1)
        before = sums[-1]
    same = words[:, 2:4] == header.salts
    # Where the header is what is damaged, its salts may be too, but not both.
    return _Frames(words[:, 1] > 0, same.all(axis=1) if header.good else same.any(axis=1), good)


def _weights(count: int) -> tuple[Words, Words]:
    """What each of so many words adds to a checksum, and what is left of the checksum before.

    SQLite's checksum takes two words a step: first += word + second, second += word + first, all
    modulo 2^32. That is linear, so a page is one product; each step's matrix comes from the one
    after it.

    """
    step = np.array([[1, 1], [1, 2]], np.uint32)
    words = np.array([[1, 1], [0, 1]], np.uint32)
    weights = np.empty((count, 2), np.uint32)
    left = np.eye(2, dtype=np.uint32)
    for at in range(count - 2, -1, -2):
        weights[at : at + 2] = words @ left
        left = step @ left
    return weights, left
