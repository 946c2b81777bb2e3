"""The journal: what was acknowledged and is not yet safe in a checkpoint.

::

    DIR/journal.sqlite      one table of records, numbered without gaps over the learner's life
    DIR/journal.sqlite-wal  the transactions that are not yet copied into it

A record is a message as it came over the wire, under a CRC-32 of its own, so that replay decodes
the very frames and damage is seen. One connection writes and reads it: SQLite before 3.51.3 can
lose transactions with two. It has a write-ahead log and synchronous = FULL: when `append` returns,
the records are on the disk.

For one thread at a time. Its size is bounded by whoever appends: look at `free_bytes` first.
"""

import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from streamlearn.errors import DamagedError, StateError
from streamlearn.failpoints import reach
from streamlearn.store import atomic
from streamlearn.store.database import (
    connect_sound,
    has_tables,
    transaction,
    translated,
    typed,
    way_out,
)

NAME: Final = "journal.sqlite"
FORMAT: Final = 1
"""Version of what is written; another one is refused, never guessed at."""
MESSAGE: Final = 0
"""A record that is learned from: rows, or late labels."""
SKIPPED: Final = 1
"""Rows that can never be learned: their numbers are settled, there is nothing to learn."""
DREAM: Final = 2
"""Rows that stood for silence; `header` says how many."""

_OVERHEAD_BYTES: Final = 40
"""What a record takes on the disk beside its frames, about."""
_CHUNK_RECORDS: Final = 256
_TRIM_RECORDS: Final = 4096
"""Removed in one transaction, so that nobody waits long for it."""
_WAL_BYTES: Final = 16 << 20
"""The log is copied into the table when it is that long: seldom, as each time costs two fsync."""
_META: Final = "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
_RECORD: Final = """
CREATE TABLE record (
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, rows INTEGER NOT NULL,
    stream BLOB NOT NULL, header BLOB NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL
)
"""
_SUMS: Final = """
SELECT count(*), min(id), max(id), ifnull(sum(rows), 0),
    ifnull(sum(length(stream) + length(header) + length(payload)), 0)
FROM record WHERE id <= ?
"""
_AFTER: Final = """
SELECT id, kind, rows, stream, header, payload, crc FROM record WHERE id >= ? ORDER BY id LIMIT ?
"""
_MOST: Final = (1 << 63) - 1


class Record(NamedTuple):
    """One message."""

    id: int
    """Number over the learner's life, from 1."""
    kind: int
    """`MESSAGE`, `SKIPPED` or `DREAM`."""
    rows: int
    """Rows whose numbers it settles; 0 for labels and dreams."""
    stream: bytes
    header: bytes
    payload: bytes
    """Empty where the message has none."""

    @property
    def frames(self) -> list[bytes]:
        """The message as it came."""
        return [self.stream, self.header, *([self.payload] if self.payload else [])]

    @property
    def size_bytes(self) -> int:
        """What it counts for towards `journal.max_bytes`."""
        return size_of(self.stream, self.header, self.payload)

    @property
    def crc(self) -> int:
        """The checksum over all of it."""
        lengths = (self.id, self.kind, self.rows, len(self.stream), len(self.header))
        head = struct.pack("<5q", *lengths) + self.stream + self.header
        return zlib.crc32(self.payload, zlib.crc32(head))


def size_of(*frames: bytes) -> int:
    """Bytes that a message of these frames takes in the journal."""
    return _OVERHEAD_BYTES + sum(map(len, frames))


def checked(values: Sequence[Any]) -> Record | None:
    """A record from its columns; None where they are not what was written."""
    *fields, crc = values
    if not typed(fields, int, int, int, bytes, bytes, bytes):
        return None
    record = Record(*fields)
    return record if record.crc == crc else None


class Journal:
    """The journal of a state folder.

    Parameters
    ----------
    folder
        The state folder; it must be there, and held by this process.
    max_bytes
        Most bytes of records; `free_bytes` tells what is left of it.

    Attributes
    ----------
    first, last
        Numbers of the oldest and the newest record; `last` = `first` - 1 where there is none.
    size_bytes, rows
        Of the records that are there.
    commit_s, commits, failures
        Time of the last `append`, how many there were, how many the disk refused.

    Raises
    ------
    StateError
        It cannot be opened; `DamagedError` where it is not what was written.

    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path = folder / NAME
        self.max_bytes = max_bytes
        self.commit_s, self.commits, self.failures = 0.0, 0, 0
        self._db = connect_sound(self.path)
        try:
            with translated(self.path):
                self._prepare(folder)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, folder: Path) -> None:
        db = self._db
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // page_bytes}")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            with transaction(db):
                db.execute(_META)
                db.execute(_RECORD)
                self._put("format", FORMAT)
            atomic.sync(folder)
        if (found := self.get("format")) != FORMAT:
            raise StateError(
                f"{self.path}: format {found}, and this version reads {FORMAT}: go on with the "
                "version that wrote it"
            )
        if not has_tables(db, _META, _RECORD):
            raise self._damaged(f"{self.path}: its tables are not those that were made")
        count, first, last, self.rows, total = db.execute(_SUMS, (_MOST,)).fetchone()
        self.size_bytes: int = total + count * _OVERHEAD_BYTES
        self.first: int = first if count else 1
        self.last: int = last if count else 0
        if not count and (begin := self.get("begin")):
            self.first, self.last = begin, begin - 1

    @property
    def free_bytes(self) -> int:
        """What may still be appended."""
        return max(0, self.max_bytes - self.size_bytes)

    def begin_at(self, first: int) -> None:
        """Number the next record `first`, where the records before it are in a checkpoint."""
        with transaction(self._db):
            self._db.execute("DELETE FROM record")
            self._put("begin", first)
        self.first, self.last, self.rows, self.size_bytes = first, first - 1, 0, 0

    def get(self, key: str) -> Any:
        """What `put` kept under a key, None where there is nothing."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        try:
            return None if found is None else msgspec.json.decode(found[0])
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise self._damaged(f"{self.path}: {key}: {error}") from error

    def put(self, key: str, value: Any) -> None:
        """Keep a plain value under a key."""
        with translated(self.path), transaction(self._db):
            self._put(key, value)

    def _put(self, key: str, value: Any) -> None:
        pair = (key, msgspec.json.encode(value))
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", pair)

    def append(self, records: Sequence[Record]) -> None:
        """Put records on the disk, all or none; they are there when it returns.

        Parameters
        ----------
        records
            Numbered from `last` + 1 on without gaps.

        Raises
        ------
        NoSpaceError
            The disk is full; it may be tried again.
        StateError
            The disk failed.

        """
        assert [record.id - self.last for record in records] == [*range(1, len(records) + 1)]
        began = time.perf_counter()
        reach("journal.before_write")
        values = [(*record, record.crc) for record in records]
        try:
            with translated(self.path), transaction(self._db):
                self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", values)
                reach("journal.after_write")
                reach("journal.before_commit")
        except StateError:
            self.failures += 1
            raise
        reach("journal.after_commit")
        self.last += len(records)
        self.rows += sum(record.rows for record in records)
        self.size_bytes += sum(record.size_bytes for record in records)
        self.commit_s = time.perf_counter() - began
        self.commits += 1

    def after(self, number: int) -> Iterator[Record]:
        """Records above a number, in order, each compared with its checksum.

        Raises
        ------
        DamagedError
            One is missing or not what was written; those before it were given.

        """
        expected = number + 1
        while expected <= self.last:
            with translated(self.path):
                found = self._db.execute(_AFTER, (expected, _CHUNK_RECORDS)).fetchall()
            for values in found:
                yield self._checked(values, expected)
                expected += 1
            if not found:
                raise self._damaged(f"{self.path}: records {expected}…{self.last} are missing")

    def rows_after(self, number: int) -> int:
        """Rows in the records above a number."""
        with translated(self.path):
            found = self._db.execute("SELECT sum(rows) FROM record WHERE id > ?", (number,))
            return int(found.fetchone()[0] or 0)

    def _checked(self, values: tuple[Any, ...], expected: int) -> Record:
        if values[0] != expected:
            raise self._damaged(f"{self.path}: records {expected}…{values[0] - 1} are missing")
        if (record := checked(values)) is None:
            raise self._damaged(f"{self.path}: record {expected}: its checksum differs")
        return record

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{what}; {way_out(self.path)}")

    def trim(self, upto: int) -> bool:
        """Remove records up to a number, some thousand at once; whether more are left to remove."""
        upto = min(upto, self.last)
        if upto < self.first:
            return False
        reach("journal.before_trim")
        until = min(upto, self.first + _TRIM_RECORDS - 1)
        with translated(self.path), transaction(self._db):
            count, _, _, rows, total = self._db.execute(_SUMS, (until,)).fetchone()
            self._db.execute("DELETE FROM record WHERE id <= ?", (until,))
            self._put("begin", until + 1)
        self.first = until + 1
        self.rows -= rows
        self.size_bytes -= total + count * _OVERHEAD_BYTES
        reach("journal.after_trim")
        return until < upto

    def close(self) -> None:
        """Let go of the file; again is harmless."""
        self._db.close()


def configured(journal: Journal, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration that its records were taken in under; `config` where there is none."""
    if (found := journal.get("config")) is None or journal.last < journal.first:
        journal.put("config", dict(config))
        return config
    known: Mapping[str, Any] = found
    return known
