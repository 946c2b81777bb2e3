"""The spool: a producer's messages that are not acknowledged yet, on its own disk.

One file a producer, `DIR/spool.sqlite`, for one process at a time. A message is on the disk when
`add` returns, and so is the number of the row that comes after it, so that a producer that starts
anew numbers on where it ended, whether or not the daemon can be reached.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from streamlearn.client.outbox import Parcel
from streamlearn.errors import ArgumentError, DamagedError
from streamlearn.store import atomic
from streamlearn.store.database import connect_sound, has_tables, transaction, translated, typed

NAME: Final = "spool.sqlite"

_PLACE: Final = (
    "CREATE TABLE place (stream TEXT PRIMARY KEY, next_seq BLOB NOT NULL, crc INTEGER NOT NULL)"
)
_WHO: Final = "CREATE TABLE who (producer TEXT NOT NULL)"
_PARCEL: Final = """
CREATE TABLE parcel (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, seq BLOB NOT NULL,
    rows INTEGER NOT NULL, header BLOB NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL
)
"""
_ADD: Final = """
INSERT INTO parcel (stream, seq, rows, header, payload, crc) VALUES (?, ?, ?, ?, ?, ?)
"""
_ONE: Final = "SELECT stream, seq, rows, header, payload, crc FROM parcel WHERE number = ?"
_LIST: Final = """
SELECT number, stream, seq, rows, length(stream) + length(header) + length(payload) FROM parcel
ORDER BY number
"""
_MEND: Final = "move the file away and lose what it holds"


def _crc(stream: str, seq: bytes, rows: int, header: bytes = b"", payload: bytes = b"") -> int:
    """The checksum over all of a message, or over a place."""
    crc = zlib.crc32(f"{stream} {rows} {len(header)} ".encode())
    for part in (seq, header, payload):
        crc = zlib.crc32(part, crc)
    return crc


class Spool:
    """The spool of one producer.

    Parameters
    ----------
    folder
        Where it lies; made where it is not there.
    producer
        Whose it is.

    Raises
    ------
    UsageError
        It is another producer's.
    StateError
        It cannot be opened; another process may have it.

    """

    def __init__(self, folder: str | Path, producer: str) -> None:
        folder = Path(folder)
        atomic.make_folders(folder)
        self.path = folder / NAME
        self._db = connect_sound(self.path, _MEND)
        try:
            with translated(self.path, _MEND):
                self._prepare(folder, producer)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, folder: Path, producer: str) -> None:
        db = self._db
        with transaction(db):
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in (_PLACE, _WHO, _PARCEL):
                    db.execute(statement)
                db.execute("INSERT INTO who VALUES (?)", (producer,))
        atomic.sync(folder)
        if not has_tables(db, _PLACE, _WHO, _PARCEL):
            raise self._damaged("the layout")
        owner = db.execute("SELECT producer FROM who").fetchone()[0]
        if owner != producer:
            raise ArgumentError(
                "spool",
                f"{self.path}: belongs to producer {owner!r}, not {producer!r}; "
                "give each producer a spool of its own",
            )

    def next_seqs(self) -> dict[str, int]:
        """Stream → number of its next row; raises `DamagedError`."""
        with translated(self.path, _MEND):
            found = self._db.execute("SELECT stream, next_seq, crc FROM place").fetchall()
        for stream, seq, crc in found:
            if not typed((stream, seq), str, bytes) or _crc(stream, seq, 0) != crc:
                raise self._damaged(f"the place in stream {stream!r}")
        return {stream: int.from_bytes(seq, "big") for stream, seq, _ in found}

    def parcels(self) -> Iterator[tuple[str, Parcel]]:
        """(stream, message) of all that is kept, in order, without their frames.

        Raises
        ------
        DamagedError
            One is not what was written.

        """
        with translated(self.path, _MEND):
            found = self._db.execute(_LIST).fetchall()
        for number, stream, seq, rows, size in found:
            self.frames(number)
            yield stream, Parcel(number, int.from_bytes(seq, "big"), rows, size, ())

    def add(self, stream: str, seq: int, rows: int, frames: Sequence[bytes]) -> int:
        """Keep a message; its number. It is on the disk when this returns."""
        _, header, *rest = frames
        payload = rest[0] if rest else b""
        number, after = seq.to_bytes(8, "big"), (seq + rows).to_bytes(8, "big")
        message = (stream, number, rows, header, payload)
        place = (stream, after, _crc(stream, after, 0))
        with translated(self.path, _MEND), transaction(self._db):
            cursor = self._db.execute(_ADD, (*message, _crc(*message)))
            self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", place)
        return int(cursor.lastrowid or 0)

    def frames(self, number: int) -> tuple[bytes, ...]:
        """The frames of a message; raises `DamagedError` where they are not what was written."""
        with translated(self.path, _MEND):
            found = self._db.execute(_ONE, (number,)).fetchone()
        values: list[Any]
        *values, crc = found or [None] * 6
        if not typed(values, str, bytes, int, bytes, bytes) or _crc(*values) != crc:
            raise self._damaged(f"message {number}")
        stream, _, _, header, payload = values
        return (stream.encode(), header, *([payload] if payload else []))

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{self.path}: {what} is not what was written; {_MEND}")

    def forget(self, stream: str, number: int) -> None:
        """Remove messages of a stream up to a number."""
        with translated(self.path, _MEND):
            self._db.execute(
                "DELETE FROM parcel WHERE stream = ? AND number <= ?", (stream, number)
            )

    def close(self) -> None:
        """Let go of the file; again is harmless."""
        self._db.close()
