"""SQLite as the stores use it: durable commits, errors with a way out, damage told at the start."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from streamlearn.errors import DamagedError, NoSpaceError, StateError
from streamlearn.store import atomic, wal

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 20
_HEADING: Final = re.compile(r"\*\*\* in database main \*\*\*\n?")


def connect(path: Path, mode: str, *, damaged: bool = False) -> sqlite3.Connection:
    """Open a database whose commits are on the disk when they return.

    Parameters
    ----------
    path
        Its file; made where it is not there.
    mode
        "WAL", held by this process alone, or "DELETE", shared with others; "": read as a file that
        has no log and that nobody writes to, without a change to it or beside it.
    damaged
        Read as far as it goes what SQLite would refuse, such as a file shorter than it was.

    """
    name = str(path) if mode else f"{path.absolute().as_uri()}?immutable=1"
    more: Any = {"timeout": 5.0, "isolation_level": None, "check_same_thread": False}
    db: sqlite3.Connection = sqlite3.connect(name, uri=not mode, **more)
    try:
        if damaged:
            db.execute("PRAGMA writable_schema = ON")
        _set_mode(db, mode)
        db.execute("PRAGMA trusted_schema = OFF")
    except MemoryError:
        db.close()
        # A damaged log can make SQLite ask for no end of memory.
        damage = sqlite3.DatabaseError("asks for more memory than there is")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from None
    except BaseException:
        db.close()
        raise
    return db


def _set_mode(db: sqlite3.Connection, mode: str) -> None:
    if mode == "WAL":
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute(f"PRAGMA journal_mode = {mode}" if mode else "PRAGMA journal_mode")
    # Beside a log FULL is enough. Without one a commit is that the rollback journal is removed, and
    # FULL does not wait for that: https://www.sqlite.org/pragma.html#pragma_synchronous
    db.execute(f"PRAGMA synchronous = {'FULL' if mode == 'WAL' else 'EXTRA'}")


def connect_sound(path: Path, mend: str = "") -> sqlite3.Connection:
    """`connect` with a write-ahead log, where neither the log nor the file is seen to be damaged.

    Without this, damage could leave out the newest commits and nobody would know. Reads the whole
    file, at about the speed of the disk.

    Parameters
    ----------
    path
        Its file; made where it is not there.
    mend
        What to do where it is damaged; `streamlearn fsck` where not given.

    Raises
    ------
    DamagedError
        What is damaged; nothing was changed.
    StateError
        It cannot be opened.

    """
    found = wal.look(log_of(path))
    if found.fault:
        raise DamagedError(f"{found.fault}; {mend or way_out(path)}")
    if path.exists() and not path.stat().st_size and found.transactions:
        # SQLite would take the log for that of another file, and delete it.
        raise DamagedError(f"{path}: is empty, and its log is not; {mend or way_out(path)}")
    if found.cut:
        log.warning("a write was cut off", extra={"file": str(path), "pages": found.cut})
    with translated(path, mend):
        db = connect(path, "WAL")
        try:
            (fault,) = db.execute("PRAGMA quick_check(1)").fetchone()
        except BaseException:
            db.close()
            raise
    if fault != "ok":
        db.close()
        raise DamagedError(f"{path}: {one_line(fault)}; {mend or way_out(path)}")
    try:
        _write_anew(log_of(path))
    except BaseException:
        db.close()
        raise
    return db


def _write_anew(log: Path) -> None:
    """Write a log's own bytes over it: it may hold what never came to the disk.

    Whoever wrote it was killed before fsync, or fsync failed, after which Linux takes for written
    what is only in memory: it reads well, and would be told to be durable. A power cut meanwhile is
    harmless, as every sector is what it was or what it should be.
    """
    with atomic.translated(log), suppress(FileNotFoundError), log.open("r+b") as file:
        while data := file.read(_CHUNK_BYTES):
            os.pwrite(file.fileno(), data, file.tell() - len(data))
        os.fsync(file.fileno())
        atomic.sync(log.parent)


def has_tables(db: sqlite3.Connection, *statements: str) -> bool:
    """Whether the tables that these statements make are there, as they were made."""
    own = "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite_%'"
    found = db.execute(own).fetchall()
    return sorted(row[0] for row in found) == sorted(text.strip() for text in statements)


def log_of(path: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a database."""
    return path.with_name(f"{path.name}-wal")


def one_line(said: object) -> str:
    """What SQLite says in one line: of a broken tree it has a heading, and a line each."""
    return "; ".join(_HEADING.sub("", str(said)).split("\n"))


def way_out(path: Path) -> str:
    """What to do about a damaged file."""
    return f"see streamlearn fsck {path.parent}"


@contextmanager
def translated(path: Path, mend: str = "") -> Iterator[None]:
    """Turn SQLite's errors about a file into ours, with the way out; see `connect_sound`."""
    try:
        yield
    except UnicodeDecodeError as error:
        # SQLite's own message holds what it found.
        raise DamagedError(f"{path}: {error.object!r}; {mend or way_out(path)}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text = f"{path}: {one_line(error)}"
        if code == sqlite3.SQLITE_FULL:
            raise NoSpaceError(f"{text}: free some space on this disk") from error
        if code == sqlite3.SQLITE_BUSY:
            raise StateError(
                f"{path}: another process is using it; let that one end first"
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise DamagedError(f"{text}; {mend or way_out(path)}") from error
        again = "look at the folder and its disk, then start again; what was written is kept"
        raise StateError(f"{text}: {again}") from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is executed within, or nothing; on the disk at the end."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A commit that failed may have rolled back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def typed(values: Sequence[Any], *types: type) -> bool:
    """Whether columns have the types that were written: a damaged file gives any."""
    return tuple(map(type, values)) == types
