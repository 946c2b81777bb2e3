"""`fsck` without --repair: whatever lies in a folder, no byte changes, and all of it is seen."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from store.helpers import content, files_at_most, names, not_root, records, state_folder

from streamlearn.errors import StartError, StateError
from streamlearn.store import dead, journal
from streamlearn.store.dead import DeadLetters
from streamlearn.store.fsck import examine
from streamlearn.store.journal import Journal
from streamlearn.store.lock import Lock, holder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with something of everything in it."""
    (folder := tmp_path / "state").mkdir()
    return state_folder(folder)


LOG = f"{journal.NAME}-wal"


def stopped(folder: Path) -> None:
    """Leave all as a daemon does that was told to stop."""
    assert not (folder / LOG).exists()


def killed(folder: Path) -> None:
    """Leave the journal as a process that was killed does: five records more are in its log."""
    one = Journal(folder, 1 << 30)
    one.append(records(41, 5))
    files = {name: (folder / name).read_bytes() for name in (journal.NAME, LOG)}
    one.close()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def damaged_log(folder: Path) -> None:
    """A bit is flipped in the log, before its last transaction."""
    killed(folder)
    data = bytearray((folder / LOG).read_bytes())
    data[100] ^= 1
    (folder / LOG).write_bytes(data)


def emptied(folder: Path) -> None:
    """The journal has no byte left, and its log is there."""
    killed(folder)
    (folder / journal.NAME).write_bytes(b"")


def rubbish(folder: Path) -> None:
    """Neither database is one."""
    for name in (journal.NAME, dead.NAME):
        (folder / name).write_bytes(b"\xa5" * 4096)


def like_a_log(folder: Path) -> None:
    """The header of the dead letters says that they have a log: SQLite would make one."""
    data = bytearray((folder / dead.NAME).read_bytes())
    data[18] = data[19] = 2
    (folder / dead.NAME).write_bytes(data)


def halfway(folder: Path) -> None:
    """Who wrote dead letters was killed in the middle: what was before is in a second file."""
    letters = DeadLetters(folder)
    db = letters._db
    assert db is not None
    db.execute("PRAGMA cache_size = 2")
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM dead")
    fill = (0.0, "shape", "", "p", b"\0" * 8, 1, b"cam0", b"h", bytes(1 << 20), 0)
    db.execute(dead._INSERT, fill)
    files = {path: path.read_bytes() for path in folder.glob(f"{dead.NAME}*")}
    assert len(files) == 2
    db.execute("ROLLBACK")
    letters.close()
    for path, data in files.items():
        path.write_bytes(data)


@pytest.mark.parametrize(
    "lies", [stopped, killed, damaged_log, emptied, rubbish, like_a_log, halfway]
)
@pytest.mark.parametrize("locked", [True, False], ids=["a daemon's", "a copy of one"])
def test_looking_changes_nothing(
    lies: Callable[[Path], None],
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    locked: bool,
) -> None:
    """Files, names and times stay, of leftovers too; the same is found twice; no copy is left."""
    lies(state)
    (state / ".tmp-checkpoint-00000003-ab").mkdir()
    (state / ".tmp-probe").write_bytes(b"x")
    if not locked:
        (state / "lock").unlink()
    (copies := state.parent / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    before, found = content(state), examine(state)
    assert examine(state) == found
    assert content(state) == before
    assert names(copies) == []


def test_what_is_in_the_logs_is_seen(state: Path) -> None:
    """The records of a journal's log are there, and the letters before one that was not written."""
    killed(state)
    halfway(state)
    found = {one.name: one for one in examine(state)}
    assert all(one.good for one in found.values())
    assert "records 6…45, 80 rows" in found[journal.NAME].text
    assert found[dead.NAME].text == "2 letters"
    one = Journal(state, 1 << 30)
    assert list(one.after(40)) == records(41, 5)
    one.close()


def test_letters_that_are_written_meanwhile(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person may purge or retry them: they are seen as of one moment, never half of each."""
    copies, copy = [], shutil.copyfile

    def copyfile(src: Path, dst: Path) -> None:
        copies.append(copy(src, dst))
        if len(copies) == 1:
            with closing(DeadLetters(state)) as person:
                person.remove([1])

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    found = {one.name: one for one in examine(state)}
    assert found[dead.NAME].text == "1 letter"
    assert len(copies) == 2


def test_a_folder_that_may_only_be_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user, or one whose disk is read-only, can look; what may not be read is no damage."""
    killed(state)
    for path in (state, *state.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    state.parent.chmod(0o755)
    monkeypatch.chdir(state.parent)
    with not_root():
        assert [one.good for one in examine("state")] == [True] * 4
    (state / LOG).unlink()
    (state / journal.NAME).chmod(0)
    with not_root(), pytest.raises(StateError, match="cannot be read: Permission denied"):
        examine("state")


def test_no_room_for_a_copy(state: Path) -> None:
    """That is no damage either, and the way out is told."""
    killed(state)
    with files_at_most(4096), pytest.raises(StateError, match=r"copied.*have TMPDIR name a folder"):
        examine(state)


def test_a_daemon_that_runs_is_left_alone(state: Path) -> None:
    """It has the folder: nothing is read."""
    with Lock(state), pytest.raises(StartError, match="stop that daemon first"):
        examine(state)
    assert holder(state) is None
