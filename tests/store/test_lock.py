"""One daemon a state folder, and a clear word at the start when nothing can be saved there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from store.helpers import files_at_most, names, not_root

from streamlearn.errors import StartError
from streamlearn.store import atomic
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.store.lock import holder, shared

HOLD = "import sys; from streamlearn.store.checkpoint import Checkpoints\n"


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """While one process holds the folder another gets an error with its number, exit code 3."""
    code = HOLD + "held = Checkpoints(sys.argv[1]).lock(); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert holder(tmp_path) == child.pid
        with pytest.raises(
            StartError, match=f"store.dir: .*in use by process {child.pid}"
        ) as caught:
            Checkpoints(tmp_path).lock()
        child.kill()
    assert caught.value.exit_code == 3
    assert holder(tmp_path) is None
    Checkpoints(tmp_path).lock().close()


def test_who_only_looks_keeps_daemons_out(tmp_path: Path) -> None:
    """A daemon that starts meanwhile is told, not of a process that ended; others may look, too."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with Checkpoints(tmp_path).lock():
        pass
    (tmp_path / "lock").write_text(f"{ended.pid}\n")
    with shared(tmp_path), shared(tmp_path):
        assert holder(tmp_path) is None
        with pytest.raises(
            StartError, match="in use by another process, which may be streamlearn fsck"
        ):
            Checkpoints(tmp_path).lock()
    with Checkpoints(tmp_path).lock():
        with pytest.raises(StartError, match=f"in use by process {os.getpid()}: stop that daemon"):
            shared(tmp_path).__enter__()
        assert holder(tmp_path) == os.getpid()


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    """It is free again when its block ends; closing twice is harmless; the folder is made."""
    folder = tmp_path / "a" / "b"
    with Checkpoints(folder).lock() as held:
        assert holder(folder) == os.getpid()
    held.close()
    assert holder(folder) is None
    assert names(folder) == ["lock"]


def test_leftovers_of_a_crash_are_swept(tmp_path: Path) -> None:
    """What a crash left unfinished is no checkpoint, and is gone once the folder is taken."""
    (tmp_path / f"{atomic.TEMPORARY}checkpoint-00000007-ab").mkdir()
    store = Checkpoints(tmp_path)
    assert store.names() == []
    with store.lock():
        assert names(tmp_path) == ["lock"]


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    """A path through a file is a start error that names the key and the path."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartError, match=r"store\.dir: .*file/state: Not a directory"):
        Checkpoints(tmp_path / "file" / "state").lock()


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to write, the start fails with exit code 3 and says what to do."""
    folder = tmp_path / "state"
    with Checkpoints(folder).lock():
        pass
    folder.chmod(0o555)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with (
        not_root(),
        pytest.raises(StartError, match=r"store\.dir: state.*give this user") as caught,
    ):
        Checkpoints("state").lock()
    assert caught.value.exit_code == 3


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A full disk is found when the folder is taken, not at the first checkpoint."""
    with files_at_most(4096), pytest.raises(StartError, match="raise the limit"):
        Checkpoints(tmp_path).lock()
    assert holder(tmp_path) is None
    Checkpoints(tmp_path).lock().close()
