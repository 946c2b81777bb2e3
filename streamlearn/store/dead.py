"""Dead letters: messages that can never be learned, set aside with the reason for a person.

They lie in `DIR/dead.sqlite`, bounded in bytes: the oldest make room. The daemon and a command line
may open it at the same time, so it keeps a rollback journal, not a write-ahead log. The same rows
set aside again replace those before.
"""

import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamlearn.errors import StateError
from streamlearn.store.database import connect, transaction, translated, typed

NAME: Final = "dead.sqlite"

_LAYOUT: Final = """
CREATE TABLE IF NOT EXISTS dead (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, producer TEXT NOT NULL, seq BLOB NOT NULL, rows INTEGER NOT NULL,
    stream BLOB NOT NULL, header BLOB NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL,
    UNIQUE (stream, producer, seq)
)
"""
_INSERT: Final = """
INSERT OR REPLACE INTO dead
    (time, reason, detail, producer, seq, rows, stream, header, payload, crc)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SUMS: Final = """
SELECT count(*), ifnull(sum(length(stream) + length(header) + length(payload) + 512), 0) FROM dead
"""
_OLDEST: Final = """
SELECT id, length(stream) + length(header) + length(payload) + 512 FROM dead ORDER BY id LIMIT 1
"""
_ONE: Final = """
SELECT id, time, reason, detail, producer, seq, rows, stream, header, payload, crc
FROM dead WHERE id = ?
"""
_THERE: Final = "SELECT 1 FROM dead WHERE stream = ? AND producer = ? AND seq = ?"
_CUT_SHARE: Final = 4
"""A payload above this part of the bound is not kept, only its header."""


class Letter(NamedTuple):
    """One message that was set aside."""

    id: int
    time: float
    """When, in seconds since 1970."""
    reason: str
    """The word that it is counted under; see docs/wire.md."""
    detail: str
    """What was expected and what was found."""
    producer: str
    seq: int
    rows: int
    stream: bytes
    header: bytes
    payload: bytes
    """As it came; empty where it was too large to keep."""

    @property
    def crc(self) -> int:
        """The checksum over the message and its numbers."""
        head = f"{self.reason} {self.detail} {self.producer} {self.seq} {self.rows}".encode()
        crc = zlib.crc32(struct.pack("<2q", len(self.stream), len(self.header)))
        for part in (head, self.stream, self.header, self.payload):
            crc = zlib.crc32(part, crc)
        return crc

    @property
    def whole(self) -> bool:
        """Whether the payload was kept, so that it can be sent again."""
        return bool(self.payload)


def _checked(values: tuple[Any, ...]) -> Letter | None:
    """A letter from its columns; None where they are not what was written."""
    *fields, crc = values
    if not typed(fields, int, float, str, str, str, bytes, int, bytes, bytes, bytes):
        return None
    fields[5] = int.from_bytes(fields[5], "big")
    letter = Letter(*fields)
    return letter if letter.crc == crc else None


class DeadLetters:
    """The dead letters of a state folder; for one thread at a time.

    Parameters
    ----------
    folder
        The state folder; the file is made when the first letter comes.
    max_bytes
        Most bytes kept.
    copy
        Where to read them instead, of what must stay untouched.

    Attributes
    ----------
    added, dropped
        Letters set aside by this process, each once; letters that made room for newer ones.

    """

    def __init__(
        self, folder: Path, max_bytes: int = 16 << 20, *, copy: Path | None = None
    ) -> None:
        self.path = folder / NAME
        self.max_bytes = max_bytes
        self.added = self.dropped = 0
        with translated(self.path):
            self._db = connect(copy or self.path, "DELETE") if self.path.exists() else None

    def add(self, letters: Sequence[Letter]) -> None:
        """Set messages aside, all or none; they are on the disk when it returns.

        Raises
        ------
        StateError
            The disk is full (`NoSpaceError`) or failed.

        """
        values = [self._values(letter) for letter in letters]
        with translated(self.path):
            db = self._db = self._db or connect(self.path, "DELETE")
            with transaction(db):
                db.execute(_LAYOUT)
                known = sum(self._has(letter) for letter in letters)
                db.executemany(_INSERT, values)
                dropped = self._make_room()
        self.added += len(letters) - known
        self.dropped += dropped

    def _has(self, letter: Letter) -> bool:
        """Whether these rows were set aside before, as of a batch that is written once more."""
        assert self._db is not None
        which = (letter.stream, letter.producer, letter.seq.to_bytes(8, "big"))
        return self._db.execute(_THERE, which).fetchone() is not None

    def _values(self, letter: Letter) -> tuple[object, ...]:
        if len(letter.payload) > self.max_bytes // _CUT_SHARE:
            letter = letter._replace(payload=b"")
        _, when, reason, detail, producer, seq, *rest = letter
        # SQLite's own integers end at 2^63 - 1.
        number = seq.to_bytes(8, "big")
        return (when or time.time(), reason, detail, producer, number, *rest, letter.crc)

    def _make_room(self) -> int:
        """Drop the oldest until the rest is within the bound; how many."""
        assert self._db is not None
        _, total = self._db.execute(_SUMS).fetchone()
        dropped = 0
        while total > self.max_bytes:
            oldest, size = self._db.execute(_OLDEST).fetchone()
            self._db.execute("DELETE FROM dead WHERE id = ?", (oldest,))
            total -= size
            dropped += 1
        return dropped

    def count(self) -> tuple[int, int]:
        """Letters that are there, and their bytes."""
        if self._db is None or not self._made():
            return 0, 0
        with translated(self.path):
            count, total = self._db.execute(_SUMS).fetchone()
        return int(count), int(total)

    def _made(self) -> bool:
        assert self._db is not None
        with translated(self.path):
            found = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'dead'")
            return bool(found.fetchone()[0])

    def numbers(self) -> list[int]:
        """Numbers of all letters, oldest first."""
        if self._db is None or not self._made():
            return []
        with translated(self.path):
            return [row[0] for row in self._db.execute("SELECT id FROM dead ORDER BY id")]

    def letters(self) -> Iterator[Letter]:
        """Every letter, oldest first, each compared with its checksum; raises `StateError`."""
        for number in self.numbers():
            if (letter := self.letter(number)) is not None:
                yield letter

    def letter(self, number: int) -> Letter | None:
        """One letter by its number, None where it is not there; `StateError` where damaged."""
        if self._db is None or not self._made():
            return None
        with translated(self.path):
            found = self._db.execute(_ONE, (number,)).fetchone()
        if found is None:
            return None
        if (letter := _checked(found)) is None:
            raise StateError(
                f"{self.path}: letter {number}: its checksum differs; "
                f"remove it with streamlearn dead purge {self.path.parent} {number}"
            )
        return letter

    def remove(self, numbers: Iterable[int]) -> int:
        """Forget letters; returns how many were there."""
        if self._db is None or not self._made():
            return 0
        with translated(self.path):
            before = self._db.total_changes
            self._db.executemany("DELETE FROM dead WHERE id = ?", [(number,) for number in numbers])
            return self._db.total_changes - before

    def close(self) -> None:
        """Let go of the file; again is harmless."""
        if self._db is not None:
            self._db.close()
            self._db = None
