"""What a state folder is worth: every checksum looked at, and, where asked, the good part kept.

Nothing is thrown away: what is damaged is renamed to `damaged-…` beside what replaces it.
"""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from streamlearn.errors import DamagedError, StateError, UsageError
from streamlearn.store import atomic, dead, journal, wal
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.store.database import log_of, one_line
from streamlearn.store.dead import DeadLetters
from streamlearn.store.journal import Journal, Record
from streamlearn.store.lock import Lock, shared
from streamlearn.store.untouched import read, untouched

_ASIDE: Final = "damaged-"
_NO_BOUND: Final = 1 << 62
_NEXT: Final = """
SELECT id, kind, rows, stream, header, payload, crc FROM record WHERE id > ? ORDER BY id LIMIT 1
"""
_REST: Final = "SELECT count(*), ifnull(sum(rows), 0) FROM record WHERE id > ?"


class Finding(NamedTuple):
    """What was found out about one thing."""

    name: str
    good: bool
    text: str


class Salvage(NamedTuple):
    """How much of a journal is good."""

    after: int
    """Number above which was looked."""
    first: int
    """Number of its first record; 0 where there is none."""
    last: int
    """Number of the last one before the damage."""
    rows: int
    fault: str
    """What is wrong with what comes after, "" where nothing is."""


def examine(folder: str | Path, *, repair: bool = False) -> list[Finding]:
    """Look at all that a state folder holds.

    Parameters
    ----------
    folder
        The state folder; no daemon may be using it.
    repair
        Keep the longest good part of what is damaged; without it no byte of the folder changes.

    Raises
    ------
    UsageError
        There is no such folder.
    StartError
        A daemon is using it.
    StateError
        It cannot be read, or there is no room for a copy of what can only be read so.

    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder: name the store.dir of a daemon")
    with Lock(folder) if repair else shared(folder):
        covered = -1
        found = []
        for finding, position in _checkpoints(folder, repair=repair):
            found.append(finding)
            covered = max(covered, position)
        found += _journal(folder, covered, repair=repair)
        found += _dead(folder, repair=repair)
    return found


def _checkpoints(folder: Path, *, repair: bool) -> Iterator[tuple[Finding, int]]:
    """Every checkpoint, newest first, with the last record of the journal that it has; else -1."""
    store = Checkpoints(folder)
    for name in store.names():
        try:
            manifest = store.check(name)
        except DamagedError as error:
            text = str(error) + (_moved(folder / name) if repair else "")
            yield Finding(name, good=False, text=text), -1
        else:
            position = int(manifest.meta.get("journal", {}).get("id", 0))
            yield Finding(name, good=True, text=f"{manifest.rows_learned} rows learned"), position


def _journal(folder: Path, covered: int, *, repair: bool) -> Iterator[Finding]:
    path = folder / journal.NAME
    if path.exists():
        with nullcontext(path) if repair else untouched(path) as where:
            yield from _journal_at(where, folder, covered, repair=repair)


def _journal_at(where: Path, folder: Path, covered: int, *, repair: bool) -> Iterator[Finding]:
    """What is found out about a folder's journal; `where` is the file or a copy of it."""
    path = folder / journal.NAME
    log = wal.look(log_of(path))
    if log.fault:
        # To open it would drop what comes after the damage, and with it the sign that it was there.
        copied = _copied(log_of(path)) if repair else ""
        text = f"{log.fault}; good: what was written before; lost: what comes after"
        yield Finding(log_of(path).name, good=False, text=text + copied)
        if not repair:
            return
    if not path.stat().st_size and (covered >= 0 or log_of(path).exists()):
        # To open it would have SQLite remove its log, which may hold what was acknowledged.
        text = "is empty; good: none; lost: what comes after, how much cannot be told"
        aside = _emptied(folder, covered) if repair else ""
        yield Finding(path.name, good=False, text=f"{text}; producers tell by their numbers{aside}")
        return
    if covered < 0 and _is_blank(where):
        # Power went while it was made: nothing was acknowledged yet.
        yield Finding(path.name, good=True, text="none")
        return
    found = salvage(where)
    if found.fault and found.last < covered:
        # The newest checkpoint needs only what comes after it.
        rest = salvage(where, covered)
        found = rest._replace(
            fault="; ".join(dict.fromkeys(filter(None, (found.fault, rest.fault))))
        )
    after = f"records {found.first}…{found.last}, {found.rows} rows" if found.first else "none"
    if log.cut:
        after += f"; its log ends with {log.cut} pages of a write that is not whole"
        after += ", as after a power cut"
    if not found.fault:
        good = covered + 1 >= found.first or found.first in (0, 1)
        gap = "" if good else f"; no checkpoint here reaches to record {found.first - 1}"
        yield Finding(path.name, good=good, text=after + gap)
        return
    text = f"{found.fault}; good: {after}; {_loss(where, found, covered)}"
    if repair:
        text += _keep_prefix(folder, found)
    yield Finding(path.name, good=False, text=text)


def _emptied(folder: Path, covered: int) -> str:
    """Put a journal of no records in the place of an emptied one, and its log aside with it."""
    log = log_of(folder / journal.NAME)
    kept = _moved(log) if log.exists() else ""
    return kept + _keep_prefix(folder, Salvage(covered, 0, 0, 0, "is empty"))


def _is_blank(path: Path) -> bool:
    try:
        with closing(read(path)) as db:
            return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.Error:
        return False


def _loss(path: Path, found: Salvage, covered: int) -> str:
    """What is lost with the damaged part."""
    above = max(found.last, covered)
    try:
        with closing(read(path)) as db:
            count, rows = db.execute(_REST, (above,)).fetchone()
    except sqlite3.Error:
        return "lost: what comes after, how much cannot be told; producers tell by their numbers"
    return f"lost: {rows} rows in {count} records" if count else "lost: nothing"


def salvage(path: Path, after: int = -1) -> Salvage:
    """How far a journal is good above a number, record by record."""
    first = last = rows = 0
    try:
        for record in good_records(path, after):
            first, last, rows = first or record.id, record.id, rows + record.rows
    except (sqlite3.Error, DamagedError) as error:
        return Salvage(after, first, last, rows, one_line(error))
    return Salvage(after, first, last, rows, "")


def good_records(path: Path, after: int = -1) -> Iterator[Record]:
    """Records above a number, in order; at damage `DamagedError` or SQLite's own error."""
    with closing(read(path)) as db:
        number = after
        while (values := db.execute(_NEXT, (number,)).fetchone()) is not None:
            if number >= 0 and values[0] != number + 1:
                raise DamagedError(f"records {number + 1}…{values[0] - 1} are missing")
            if (record := journal.checked(values)) is None:
                raise DamagedError(f"record {values[0]}: its checksum differs")
            number = record.id
            yield record
        if after >= 0:
            return
        faults = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
        if faults != ["ok"]:
            raise DamagedError(faults[0])


def _keep_prefix(folder: Path, found: Salvage) -> str:
    """Put a journal of the good records in the place of the damaged one."""
    path = folder / journal.NAME
    fresh = folder / f"{atomic.TEMPORARY}journal"
    with atomic.translated(fresh):
        fresh.mkdir()
    new = Journal(fresh, _NO_BOUND)
    try:
        if found.first:
            new.begin_at(found.first)
        batch: list[Record] = []
        for record in good_records(path, found.after):
            batch.append(record)
            if len(batch) == 256 or record.id == found.last:
                new.append(batch)
                batch = []
            if record.id == found.last:
                break
    except (sqlite3.Error, DamagedError):
        new.append(batch)
    finally:
        new.close()
    text = _moved(path)
    for more in ("-wal", "-shm"):
        if (rest := folder / f"{journal.NAME}{more}").exists():
            _moved(rest)
    with atomic.translated(path):
        (fresh / journal.NAME).rename(path)
        atomic.sync(folder)
        fresh.rmdir()
    return text


def _aside(path: Path) -> Path:
    """A name that nothing reads, for something damaged."""
    aside = path.with_name(f"{_ASIDE}{path.name}")
    return path.with_name(f"{aside.name}-{time.time_ns()}") if aside.exists() else aside


def _copied(path: Path) -> str:
    """Keep a copy of something damaged."""
    aside = _aside(path)
    with atomic.translated(path):
        shutil.copy2(path, aside)
        atomic.sync(aside)
        atomic.sync(path.parent)
    return f"; copied to {aside.name}"


def _moved(path: Path) -> str:
    """Put something damaged aside."""
    aside = _aside(path)
    with atomic.translated(path):
        path.rename(aside)
        atomic.sync(path.parent)
    return f"; moved to {aside.name}"


def _dead(folder: Path, *, repair: bool) -> Iterator[Finding]:
    path = folder / dead.NAME
    if not path.exists():
        return
    with nullcontext(path) if repair else untouched(path, shared=True) as where:
        try:
            with closing(DeadLetters(folder, copy=where)) as letters:
                count, bad = _letters(letters)
                if bad and repair:
                    letters.remove(bad)
        except (StateError, sqlite3.Error) as error:
            text = one_line(error) + (_moved(path) if repair else "")
            yield Finding(path.name, good=False, text=text)
            return
    gone = "; removed" if repair else "; lost: these"
    text = f"{count} letter{'s' * (count != 1)}" + (
        f", damaged: {', '.join(map(str, bad))}{gone}" if bad else ""
    )
    yield Finding(path.name, good=not bad, text=text)


def _letters(letters: DeadLetters) -> tuple[int, list[int]]:
    """How many letters there are, and the numbers of those that are damaged."""
    numbers, bad = letters.numbers(), []
    for number in numbers:
        try:
            letters.letter(number)
        except StateError:
            bad.append(number)
    return len(numbers), bad
