"""The spool: a producer's messages that are not acknowledged yet, on its own disk.

One file a producer, `DIR/spool.sqlite`, for one process at a time. A message is on the disk when
`add` returns, and so is the number of the row that comes after it, so that a producer that starts
anew numbers on where it ended, whether or not the daemon can be reached.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from streamlearn.client.outbox import Parcel
from streamlearn.errors import DamagedError, UsageError
from streamlearn.store import atomic
from streamlearn.store.journal import connect, translated

NAME: Final = "spool.sqlite"

_PLACE: Final = "CREATE TABLE place (stream TEXT PRIMARY KEY, next_seq BLOB NOT NULL)"
_WHO: Final = "CREATE TABLE who (producer TEXT NOT NULL)"
_PARCEL: Final = """
CREATE TABLE parcel (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, seq BLOB NOT NULL,
    rows INTEGER NOT NULL, header BLOB NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL
)
"""
_LIST: Final = """
SELECT number, stream, seq, rows, length(stream) + length(header) + length(payload) FROM parcel
ORDER BY number
"""


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
        with atomic.translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        with translated(self.path):
            self._db = connect(self.path, "WAL")
            try:
                self._prepare(folder, producer)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, folder: Path, producer: str) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in (_PLACE, _WHO, _PARCEL):
                db.execute(statement)
            db.execute("INSERT INTO who VALUES (?)", (producer,))
        db.execute("COMMIT")
        atomic.sync(folder)
        owner = db.execute("SELECT producer FROM who").fetchone()[0]
        if owner != producer:
            raise UsageError(
                f"{self.path}: belongs to producer {owner!r}, not {producer!r}; "
                "give each producer a spool of its own"
            )

    def next_seqs(self) -> dict[str, int]:
        """Stream → number of its next row."""
        with translated(self.path):
            found = self._db.execute("SELECT stream, next_seq FROM place").fetchall()
        return {stream: int.from_bytes(seq, "big") for stream, seq in found}

    def parcels(self) -> Iterator[tuple[str, Parcel]]:
        """(stream, message) of all that is kept, in order, without their frames."""
        with translated(self.path):
            found = self._db.execute(_LIST).fetchall()
        for number, stream, seq, rows, size in found:
            yield stream, Parcel(number, int.from_bytes(seq, "big"), rows, size, ())

    def add(self, stream: str, seq: int, rows: int, frames: Sequence[bytes]) -> int:
        """Keep a message; its number. It is on the disk when this returns."""
        _, header, *rest = frames
        payload = rest[0] if rest else b""
        crc = zlib.crc32(payload, zlib.crc32(header))
        with translated(self.path):
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                values = (stream, seq.to_bytes(8, "big"), rows, header, payload, crc)
                cursor = db.execute(
                    "INSERT INTO parcel (stream, seq, rows, header, payload, crc) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    values,
                )
                place = (stream, (seq + rows).to_bytes(8, "big"))
                db.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", place)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        return int(cursor.lastrowid or 0)

    def frames(self, number: int) -> tuple[bytes, ...]:
        """The frames of a message; raises `DamagedError` where they are not what was written."""
        with translated(self.path):
            found = self._db.execute(
                "SELECT stream, header, payload, crc FROM parcel WHERE number = ?", (number,)
            ).fetchone()
        if found is None or zlib.crc32(found[2], zlib.crc32(found[1])) != found[3]:
            raise DamagedError(
                f"{self.path}: message {number} is not what was written; move the file away and "
                "lose what it holds"
            )
        stream, header, payload, _ = found
        return (stream.encode(), header, *([payload] if payload else []))

    def forget(self, stream: str, number: int) -> None:
        """Remove messages of a stream up to a number."""
        with translated(self.path):
            self._db.execute(
                "DELETE FROM parcel WHERE stream = ? AND number <= ?", (stream, number)
            )

    def close(self) -> None:
        """Let go of the file; again is harmless."""
        self._db.close()
