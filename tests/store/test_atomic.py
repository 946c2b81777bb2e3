"""A file or a folder is replaced whole, on the disk, or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from store.helpers import files_at_most, names

from streamlearn.errors import StateError
from streamlearn.store import atomic


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    """The new content stands under the name, and no temporary file beside it."""
    path = tmp_path / "file"
    for data in (b"one", b"two"):
        atomic.write_file(path, data)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["file"]


def test_a_refused_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A disk that takes no more leaves the old content, no leftovers, and says what to do."""
    path = tmp_path / "file"
    atomic.write_file(path, b"old")
    with files_at_most(1000), pytest.raises(StateError, match=r"file: .*raise the limit"):
        atomic.write_file(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("when", ["write", "fsync", "rename"])
def test_a_folder_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Whichever step the disk refuses, the folder is not there and nothing is left."""

    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        with atomic.new_folder(tmp_path / "folder") as unfinished:
            Path(unfinished, "a").write_bytes(b"a")
            if when == "write":
                refuse()

    with monkeypatch.context() as patch:
        if when == "fsync":
            patch.setattr(os, "fsync", refuse)
        if when == "rename":
            patch.setattr(os, "rename", refuse)
        with pytest.raises(StateError, match="free some space"):
            fill()
    assert names(tmp_path) == []
    when = "never"
    fill()
    assert (tmp_path / "folder" / "a").read_bytes() == b"a"


def test_everything_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is: the files, their folder, the rename, the folder that holds the name."""
    steps: list[str] = []
    sync, rename = os.fsync, os.rename

    def note_sync(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def note_rename(name: str, target: Path) -> None:
        steps.append("rename")
        rename(name, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    with atomic.new_folder(tmp_path / "folder") as unfinished:
        Path(unfinished, "a").write_bytes(b"a")
    assert steps == ["a", Path(unfinished).name, "rename", tmp_path.name]


def test_killed_half_way_nothing_has_the_name(tmp_path: Path) -> None:
    """A process that dies in the middle leaves only what the next sweep takes away."""
    code = (
        "import os, pathlib, signal; from streamlearn.store import atomic\n"
        f"with atomic.new_folder(pathlib.Path({str(tmp_path)!r}) / 'folder') as unfinished:\n"
        "    open(unfinished + '/a', 'w').close(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert died.returncode == -9
    assert not (tmp_path / "folder").exists()
    (left,) = names(tmp_path)
    assert atomic.sweep(tmp_path) == [left]
    assert names(tmp_path) == []


def test_sweep_takes_only_what_is_unfinished(tmp_path: Path) -> None:
    """Files, folders and links under a temporary name go; a link's target and all else stay."""
    (tmp_path / "kept").mkdir()
    (tmp_path / f"{atomic.TEMPORARY}file").write_bytes(b"")
    (tmp_path / f"{atomic.TEMPORARY}folder").mkdir()
    (tmp_path / f"{atomic.TEMPORARY}link").symlink_to(tmp_path / "kept")
    assert len(atomic.sweep(tmp_path)) == 3
    assert names(tmp_path) == ["kept"]


def test_a_removed_folder_is_never_seen_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses its name before its first file goes."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            atomic.remove_folder(folder)
    assert not folder.exists()
    assert len(atomic.sweep(tmp_path)) == 1
    assert names(tmp_path) == []
