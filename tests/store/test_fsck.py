"""`fsck`: damage is told, with what is lost; repair keeps the longest good part."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from store.helpers import records, state_folder

from streamlearn.cli import main
from streamlearn.errors import DamagedError, StartError, UsageError
from streamlearn.store.dead import DeadLetters
from streamlearn.store.fsck import Finding, examine
from streamlearn.store.journal import NAME, Journal
from streamlearn.store.lock import Lock


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder with two checkpoints, the newest at record 10, a journal to 40, two letters."""
    return state_folder(tmp_path)


def damage(path: Path, what: bytes, replace: bytes) -> None:
    """Change bytes of a file in one place, by what stands there."""
    data = path.read_bytes()
    assert data.count(what) == 1
    path.write_bytes(data.replace(what, replace))


def by_name(found: list[Finding]) -> dict[str, Finding]:
    """Findings by what they are about."""
    return {one.name: one for one in found}


def test_a_good_folder_is_good(state: Path) -> None:
    """Everything is named."""
    found = examine(state)
    assert [one.good for one in found] == [True] * 4
    assert "records 6…40, 70 rows" in by_name(found)[NAME].text


def test_the_log_beside_an_emptied_journal_stays(state: Path) -> None:
    """SQLite removes the log of an empty file as it opens it: looking must not, repair keeps it."""
    log = state / f"{NAME}-wal"
    with contextlib.closing(sqlite3.connect(state / NAME)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("DELETE FROM record WHERE id = 6")
        db.commit()
        kept = log.read_bytes()
    (state / NAME).write_bytes(b"")
    log.write_bytes(kept)
    found = by_name(examine(state))[NAME]
    assert not found.good
    assert "is empty" in found.text
    assert log.read_bytes() == kept
    examine(state, repair=True)
    assert (state / f"damaged-{log.name}").read_bytes() == kept
    assert not log.exists()
    assert by_name(examine(state))[NAME].good


def test_a_damaged_record_ends_the_good_part(state: Path) -> None:
    """The text says which record, what is good and what is lost; repair keeps what is good."""
    damage(state / NAME, b"h21", b"H21")
    found = by_name(examine(state))[NAME]
    assert not found.good
    assert "record 21: its checksum differs" in found.text
    assert "good: records 6…20, 30 rows" in found.text
    assert "lost: 40 rows in 20 records" in found.text
    examine(state, repair=True)
    assert all(one.good for one in examine(state))
    journal = Journal(state, 1 << 30)
    assert list(journal.after(5)) == records(6, 15)
    journal.close()
    assert b"H21" in (state / f"damaged-{NAME}").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.6, 0.85, 0.999])
def test_a_page_of_rubbish(state: Path, share: float) -> None:
    """Wherever it is broken, repair leaves a journal that is a part of what was there."""
    data = bytearray((state / NAME).read_bytes())
    place = int(share * len(data)) // 4096 * 4096
    data[place : place + 4096] = b"\xa5" * 4096
    (state / NAME).write_bytes(data)
    first = by_name(examine(state))[NAME]
    examine(state, repair=True)
    again = by_name(examine(state))
    if not first.good:
        assert (state / f"damaged-{NAME}").exists()
    journal = Journal(state, 1 << 30)
    kept = list(journal.after(journal.first - 1))
    assert kept == records(journal.first, len(kept))
    assert again[NAME].good or not kept
    journal.close()


def test_what_sqlite_says_of_a_broken_tree_is_one_line(state: Path) -> None:
    """It has a heading, and a line each; a finding is one line, and so is a daemon's error."""
    path = state / NAME
    data, told = path.read_bytes(), []
    for place in range(0, len(data), 4096):
        path.write_bytes(data[:place] + b"\xa5" * 4096 + data[place + 4096 :])
        told.append(by_name(examine(state))[NAME].text)
        try:
            Journal(state, 1 << 30).close()
        except DamagedError as error:
            told.append(str(error))
    assert [text for text in told if "\n" in text or "***" in text] == []
    assert any("freelist" in text and "; Page" in text for text in told)
    assert any(f"{path}: Page 3: " in text for text in told)


def test_what_a_checkpoint_has_is_not_lost(state: Path) -> None:
    """Damage below the newest checkpoint costs nothing."""
    damage(state / NAME, b"h8", b"H8")
    found = by_name(examine(state, repair=True))[NAME]
    assert "record 8: its checksum differs; good: records 11…40, 60 rows" in found.text
    assert "lost: nothing" in found.text
    journal = Journal(state, 1 << 30)
    assert list(journal.after(10)) == records(11, 30)
    journal.close()


def test_damaged_checkpoints_and_letters_are_put_aside(state: Path) -> None:
    """The checkpoint is renamed, the letter removed; the others stay."""
    newest = max(state.glob("checkpoint-*"))
    (newest / "manifest.json").write_text("{}")
    dead = DeadLetters(state)
    dead._db.execute("UPDATE dead SET rows = 7 WHERE id = 1")  # type: ignore[union-attr]
    dead.close()
    found = by_name(examine(state, repair=True))
    assert not found[newest.name].good
    assert (state / f"damaged-{newest.name}").is_dir()
    assert not newest.exists()
    assert "damaged: 1; removed" in found["dead.sqlite"].text
    assert [one.good for one in examine(state)] == [True] * 3


def test_the_verb(state: Path, config_file: Callable[..., Path]) -> None:
    """Exit 0 where all is good or was repaired, 1 where not, 2 and 3 where it cannot look."""
    run = CliRunner()
    assert run.invoke(main, ["fsck", str(state)]).exit_code == 0
    damage(state / NAME, b"h21", b"H21")
    told = run.invoke(main, ["fsck", str(state)])
    assert told.exit_code == 1
    assert "DAMAGED" in told.output
    assert told.output.endswith(f"damaged; streamlearn fsck {state} --repair keeps what is good\n")
    assert run.invoke(main, ["fsck", str(state), "--repair"]).exit_code == 0
    assert '"good":true' in run.invoke(main, ["fsck", str(state), "--json"]).output
    with pytest.raises(UsageError):
        examine(state / "nowhere")
    with Lock(state), pytest.raises(StartError, match="in use"):
        examine(state)


def test_damage_in_the_log_is_told_until_it_is_repaired(tmp_path: Path) -> None:
    """Looking does not use the sign up; repair keeps what lies before, and a copy of all."""
    journal = Journal(tmp_path, 1 << 30)
    for number in range(1, 41):
        journal.append(records(number, 1))
    main, log = tmp_path / NAME, tmp_path / f"{NAME}-wal"
    base, whole = main.read_bytes(), bytearray(log.read_bytes())
    journal.close()
    whole[len(whole) // 2] ^= 1
    main.write_bytes(base)
    log.write_bytes(whole)
    for _ in range(2):
        found = by_name(examine(tmp_path))
        assert not found[log.name].good
        assert "is damaged" in found[log.name].text
    examine(tmp_path, repair=True)
    assert (tmp_path / f"damaged-{log.name}").read_bytes() == whole
    assert [one.good for one in examine(tmp_path)] == [True]
    again = Journal(tmp_path, 1 << 30)
    kept = list(again.after(0))
    again.close()
    assert 0 < len(kept) < 40
    assert kept == records(1, len(kept))


def test_a_journal_that_was_cut_keeps_what_comes_before(state: Path) -> None:
    """A file shorter than it was is read as far as it goes."""
    path = state / NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1])
    assert not by_name(examine(state))[NAME].good
    examine(state, repair=True)
    journal = Journal(state, 1 << 30)
    kept = list(journal.after(journal.first - 1))
    journal.close()
    assert kept
    assert kept == records(kept[0].id, len(kept))


def test_a_journal_that_was_being_made_is_good(state: Path, tmp_path: Path) -> None:
    """Power went before it had a table; once a checkpoint knows of its records, that is damage."""
    (young := tmp_path / "young").mkdir()
    for folder in (young, state):
        (folder / NAME).write_bytes(b"")
    assert by_name(examine(young))[NAME] == Finding(NAME, good=True, text="none")
    assert not by_name(examine(state))[NAME].good


def test_a_write_that_was_cut_off_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is damaged, but a person should know that the last transaction is not whole."""
    journal = Journal(tmp_path, 1 << 30)
    for number in (1, 2, 3):
        journal.append(records(number, 1))
    main, log = tmp_path / NAME, tmp_path / f"{NAME}-wal"
    base, whole = main.read_bytes(), bytearray(log.read_bytes())
    journal.close()
    whole[-1] ^= 1
    main.write_bytes(base)
    log.write_bytes(whole)
    found = by_name(examine(tmp_path))[NAME]
    assert found.good
    assert "records 1…2, 4 rows; its log ends with" in found.text
    main.write_bytes(base)
    log.write_bytes(whole)
    Journal(tmp_path, 1 << 30).close()
    assert "a write was cut off" in caplog.text
