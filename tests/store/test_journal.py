"""The journal: what it took is there, to the byte, after any end; what is not is told."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamlearn.errors import ChangedError, DamagedError, NoSpaceError, StateError
from streamlearn.store import recovery
from streamlearn.store.journal import MESSAGE, NAME, Journal, Record, configured

EVERY_BYTE = int(os.environ.get("STREAMLEARN_CUT_STEP", "101"))
"""Cut at every so manieth byte; 1 for all of them, which takes a minute."""


def records(first: int, count: int, size: int = 200) -> list[Record]:
    """Records that can be told apart."""
    return [
        Record(i, MESSAGE, 2, b"cam0", b"header %d" % i, bytes([i % 251]) * size)
        for i in range(first, first + count)
    ]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal of six records in three transactions."""
    one = Journal(tmp_path, 1 << 20)
    for first in (1, 3, 5):
        one.append(records(first, 2))
    return one


def test_what_was_appended_is_read_in_order(journal: Journal, tmp_path: Path) -> None:
    """Now and after it was closed, from any record on."""
    assert list(journal.after(0)) == records(1, 6)
    journal.close()
    again = Journal(tmp_path, 1 << 20)
    assert list(again.after(4)) == records(5, 2)
    assert (again.first, again.last, again.rows) == (1, 6, 12)
    assert again.size_bytes == journal.size_bytes == sum(r.size_bytes for r in records(1, 6))
    again.close()


def test_cut_anywhere_in_the_last_transaction(journal: Journal, tmp_path: Path) -> None:
    """A log that ends in the middle: whole transactions are there, of the last all or nothing."""
    folder = tmp_path / "cut"
    main, log = (tmp_path / name for name in (NAME, f"{NAME}-wal"))
    before = log.stat().st_size
    journal.append(records(7, 3))
    whole, base = log.read_bytes(), main.read_bytes()
    journal.close()
    assert len(whole) > before
    for end in (*range(before, len(whole), EVERY_BYTE), len(whole)):
        folder.mkdir()
        (folder / NAME).write_bytes(base)
        (folder / f"{NAME}-wal").write_bytes(whole[:end])
        one = Journal(folder, 1 << 20)
        found = list(one.after(0))
        one.close()
        assert found == records(1, 9 if end == len(whole) else 6), end
        shutil.rmtree(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(place=0.7066700157360226, bit=0)  # bytes become text
@example(place=0.1331, bit=7)  # no UTF-8 in SQLite's own message
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen_or_harmless(place: float, bit: int, tmp_path: Path) -> None:
    """All that was written is given, or the damage is told, wherever the file is damaged."""
    folder = tmp_path / "flip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    one = Journal(folder, 1 << 20)
    one.append(records(1, 40))
    one.close()
    data = bytearray((folder / NAME).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (folder / NAME).write_bytes(data)
    found: list[Record] = []
    try:
        one = Journal(folder, 1 << 20)
        try:
            found.extend(one.after(0))
        finally:
            one.close()
    except StateError:
        assert found == records(1, len(found))
    else:
        assert found == records(1, 40)


def test_a_missing_record_is_seen(journal: Journal, tmp_path: Path) -> None:
    """Numbers have no gaps: a record that somebody removed is named."""
    journal.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute("DELETE FROM record WHERE id = 4")
    db.close()
    one = Journal(tmp_path, 1 << 20)
    with pytest.raises(DamagedError, match="records 4…4 are missing"):
        list(one.after(0))
    assert list(one.after(4)) == records(5, 2)
    one.close()


def test_trimmed_records_are_gone_and_numbers_go_on(journal: Journal, tmp_path: Path) -> None:
    """Also where nothing is left: a journal never numbers anew."""
    assert not journal.trim(4)
    assert (journal.first, journal.last, journal.rows) == (5, 6, 4)
    assert journal.size_bytes == sum(r.size_bytes for r in records(5, 2))
    assert not journal.trim(99)
    assert (journal.first, journal.last, journal.size_bytes) == (7, 6, 0)
    journal.close()
    again = Journal(tmp_path, 1 << 20)
    assert (again.first, again.last) == (7, 6)
    again.append(records(7, 1))
    assert list(again.after(6)) == records(7, 1)
    again.close()


def test_the_file_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    """Room of trimmed records is used again."""
    one = Journal(tmp_path, 1 << 20)
    sizes = []
    for round_ in range(160):
        one.append(records(1 + 100 * round_, 100, 3000))
        one.trim(100 * round_)
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    one.close()
    assert max(sizes[80:]) <= max(sizes[:80]) < 32 << 20


def test_a_full_disk_loses_nothing_and_can_be_tried_again(journal: Journal) -> None:
    """An append that finds no room leaves all as it was, says so, and works once there is room."""
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NoSpaceError, match="full"):
        journal.append(records(7, 50, 4000))
    assert (journal.last, journal.failures) == (6, 1)
    assert list(journal.after(0)) == records(1, 6)
    journal._db.execute("PRAGMA max_page_count = 1000000")
    journal.append(records(7, 50, 4000))
    assert list(journal.after(6)) == records(7, 50, 4000)
    journal.close()


def test_one_process_has_it(journal: Journal, tmp_path: Path) -> None:
    """A second connection is refused, as two could lose transactions."""
    other = sqlite3.connect(tmp_path / NAME, timeout=0.05)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT count(*) FROM record").fetchone()
    other.close()
    journal.close()


def test_it_belongs_to_a_configuration(journal: Journal) -> None:
    """What it was begun under is kept, so that rows of another learner are not learned."""
    assert configured(journal, {"seed": 1}) == {"seed": 1}
    with pytest.raises(ChangedError, match="seed: saved 1, now 2"):
        recovery.refuse_changed("it", configured(journal, {"seed": 2}), {"seed": 2})
    journal.trim(6)
    assert configured(journal, {"seed": 2}) == {"seed": 2}
    journal.close()


def test_another_format_is_refused(journal: Journal, tmp_path: Path) -> None:
    """A later version's file is left alone."""
    journal.put("format", 99)
    journal.close()
    with pytest.raises(StateError, match="format 99"):
        Journal(tmp_path, 1 << 20)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_power_cut_while_the_log_is_copied(data: st.DataObject, tmp_path: Path) -> None:
    """Of the pages on their way into the file any may be there, or half there: the log has them."""
    folder = tmp_path / "power"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    one = Journal(folder, 1 << 20)
    one.append(records(1, 20))
    one._db.execute("PRAGMA wal_checkpoint(FULL)")
    one.append(records(21, 20))
    one.trim(7)
    main, log = folder / NAME, folder / f"{NAME}-wal"
    before, whole = main.read_bytes(), log.read_bytes()
    one._db.execute("PRAGMA wal_checkpoint(FULL)")
    after = main.read_bytes()
    one.close()
    size = data.draw(st.integers(0, len(after)))
    mixed = bytearray(before.ljust(size, b"\0"))
    for page in range(0, len(mixed), 512):  # a disk writes sectors
        if data.draw(st.booleans()):
            mixed[page : page + 512] = after[page : page + 512]
    main.write_bytes(mixed)
    log.write_bytes(whole)
    again = Journal(folder, 1 << 20)
    found = list(again.after(7))
    again.close()
    assert found == records(8, 33)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_damage_in_the_log_before_a_later_transaction_is_told(share: float, tmp_path: Path) -> None:
    """SQLite would leave out what was durable, and not say so; we do not open it."""
    one = Journal(tmp_path, 1 << 20)
    for first in range(1, 30):
        one.append(records(first, 1))
    main, log = tmp_path / NAME, tmp_path / f"{NAME}-wal"
    base, whole = main.read_bytes(), bytearray(log.read_bytes())
    one.close()
    whole[int(share * len(whole)) + 8] ^= 1
    main.write_bytes(base)
    log.write_bytes(whole)
    for _ in range(2):
        with pytest.raises(DamagedError, match="see streamlearn fsck"):
            Journal(tmp_path, 1 << 20)
    assert log.read_bytes() == whole


@pytest.mark.parametrize(
    ("what", "replace"),
    [
        (b"id INTEGER PRIMARY KEY", b"hd INTEGER PRIMARY KEY"),
        (b"kind INTEGER NOT", b"kimd INTEGER NOT"),
    ],
)
def test_another_layout_is_damage(
    what: bytes, replace: bytes, journal: Journal, tmp_path: Path
) -> None:
    """A table that SQLite reads otherwise than it was made does not look empty."""
    journal.close()
    data = (tmp_path / NAME).read_bytes()
    assert data.count(what) == 1
    (tmp_path / NAME).write_bytes(data.replace(what, replace))
    with pytest.raises(DamagedError, match="tables"):
        Journal(tmp_path, 1 << 20)


def test_an_emptied_file_beside_its_log_is_refused(tmp_path: Path) -> None:
    """SQLite would delete the log, and what was acknowledged with it."""
    one = Journal(tmp_path, 1 << 20)
    one.append(records(1, 3))
    log = tmp_path / f"{NAME}-wal"
    whole = log.read_bytes()
    one.close()
    (tmp_path / NAME).write_bytes(b"")
    log.write_bytes(whole)
    with pytest.raises(DamagedError, match="is empty, and its log is not; see streamlearn fsck"):
        Journal(tmp_path, 1 << 20)
    assert log.read_bytes() == whole
