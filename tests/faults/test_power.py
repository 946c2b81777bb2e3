"""Power cuts after any call of a daemon, and calls that fail: what was promised is there.

The long version is tools/power.py. A short script is run under strace, and a model of a disk makes
power cuts of what it did.
"""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from faults import Script
from power_disk import FATES, SECTOR, Disk, Image, lay
from power_nursery import Nursery
from power_runs import After, Faults, Recording, compared, cuts, letters, record
from power_trace import Player, command, wait_written

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SETTINGS = ("journal.commit_ms=0", "pipeline.threads=2")
SCRIPT = Script(rows=210, label_delay=21, checkpoint_every=70, pause_s=0.002, refused_every=10)


@cache
def may_trace() -> bool:
    """Whether strace is there and the system lets it look."""
    look = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "true"]
    return bool(shutil.which("strace")) and not subprocess.run(look, check=False).returncode


@pytest.fixture
def strace() -> None:
    """Skip, by name, what needs it."""
    if not may_trace():
        pytest.skip("needs strace and the right to use it")


def after(fate: str, disk: Disk, seed: int = 0) -> Image:
    """A power cut."""
    return disk.after(fate, random.Random(seed))


# The model of the disk.


def test_data_is_there_after_fsync_and_names_after_that_of_the_folder() -> None:
    """Nothing less is promised, and nothing more."""
    disk = Disk()
    file = disk.make("a")
    disk.write(file, 0, b"12")
    assert after("lost", disk) == {}
    assert after("names", disk) == {"a": b""}
    assert after("grown", disk) == {"a": b"\0\0"}
    assert after("kept", disk) == {"a": b"12"}
    disk.root.sync(disk.count, failed=False)
    assert after("lost", disk) == {"a": b""}
    file.sync(disk.count, failed=False)
    disk.write(file, 1, b"34")
    disk.rename("a", "b")
    assert after("lost", disk) == {"a": b"12"}
    assert after("data", disk) == {"a": b"134"}
    assert after("names", disk) == {"b": b"12"}
    assert disk.seen() == {"b": b"134"}


def test_what_a_failed_fsync_was_to_write_is_gone() -> None:
    """A later one that succeeds does not bring it back, though programs read it."""
    disk = Disk({"a": b"old"})
    file = disk.at("a")
    disk.write(file, 0, b"new")
    file.sync(disk.count, failed=True)
    file.sync(disk.count, failed=False)
    assert disk.seen() == {"a": b"new"}
    assert {after(fate, disk)["a"] for fate in FATES} == {b"old"}


def test_writes_are_torn_at_sectors_and_harm_nothing_beside_them() -> None:
    """A mixture has old and new sectors; bytes that no write touched are as they were."""
    old, new = b"o" * 8 * SECTOR, b"n" * 3 * SECTOR
    disk = Disk({"a": old})
    disk.write(disk.at("a"), 100, new)
    found = {after("mixed", disk, seed)["a"] for seed in range(300)}
    assert old in found
    assert len(found) > 10
    for data in found:
        assert data[:100] == old[:100]
        assert data[100 + len(new) :] == old[100 + len(new) :]
        for begin in range(SECTOR, 3 * SECTOR, SECTOR):
            sector = data[begin : begin + SECTOR]
            assert len(set(sector)) == 1 or len(set(sector)) > 100, "neither whole nor rubbish"


def test_a_write_while_fsync_waits_is_not_covered_by_it() -> None:
    """Only what was written before it began is there for certain."""
    disk = Disk({"a": b""})
    file = disk.at("a")
    disk.write(file, 0, b"1")
    begun = disk.count
    disk.write(file, 1, b"2")
    file.sync(begun, failed=False)
    assert after("lost", disk) == {"a": b"1"}


# The daemon.


@pytest.fixture
def nursery(digits_file: Path) -> Iterator[Nursery]:
    """Where daemons come from."""
    with Nursery(digits_file) as one:
        yield one


def gone_wrong(
    config: Path, nursery: Nursery, recording: Recording, good: Recording, folder: Path, count: int
) -> list[str]:
    """What differs after power cuts of a recording."""
    living = After(config, SCRIPT, SETTINGS, good.outcome, nursery)
    return [
        f"{cut.fate}, {cut.where}: {lines}"
        for cut in cuts(recording, count, 1)
        if (lines := living.differences(cut, folder / "life"))
    ]


@pytest.mark.usefixtures("strace")
def test_power_cuts_change_nothing_and_a_broken_daemon_is_found(
    digits_file: Path, nursery: Nursery, tmp_path: Path
) -> None:
    """Cut anywhere, it ends as undisturbed; one that does not wait for the disk does not."""
    good = record(digits_file, tmp_path / "good", SCRIPT, (), SETTINGS)
    assert gone_wrong(digits_file, nursery, good, good, tmp_path, 8) == []
    broken = Faults(defect="lax_journal")
    bad = record(digits_file, tmp_path / "bad", SCRIPT, [broken], SETTINGS)
    assert compared(bad.outcome, good.outcome) == []
    assert gone_wrong(digits_file, nursery, bad, good, tmp_path, 8)


@pytest.mark.usefixtures("strace")
def test_a_failed_fsync_stops_it_and_nothing_is_acknowledged_on_a_second_try(
    digits_file: Path, nursery: Nursery, tmp_path: Path
) -> None:
    """It says why, goes on when started again, and ends as undisturbed, also after a power cut."""
    good = record(digits_file, tmp_path / "good", SCRIPT, (), SETTINGS)
    fails = Faults(("inject=fdatasync:error=EIO:when=9",))
    bad = record(digits_file, tmp_path / "bad", SCRIPT, [fails], SETTINGS)
    assert bad.ended == [1]
    assert "journal.sqlite: disk I/O error" in bad.said
    assert compared(bad.outcome, good.outcome) == []
    assert gone_wrong(digits_file, nursery, bad, good, tmp_path, 6) == []


# Parts of it.


def disk_of(place: Path, *lives: tuple[str, str]) -> Disk:
    """Run code in a folder, one process after the other, and see what it did to the disk.

    With the code of each comes what strace does to it, "" for nothing.
    """
    (folder := place / "disk").mkdir(parents=True)
    player = Player(folder, Disk())
    for i, (code, fault) in enumerate(lives):
        log = place / f"trace{i}"
        begin = f"import sys, pathlib; folder = pathlib.Path({str(folder)!r})\n"
        inject = (f"inject={fault}",) if fault else ()
        python = [sys.executable, "-c", begin + code]
        done = subprocess.run([*command(log, inject), *python], check=False, timeout=60)
        wait_written(log)
        assert done.returncode == (-9 if fault else 0)
        for _ in player.play(log):
            pass
    player.check()
    return player.disk


def every_cut(disk: Disk) -> Iterator[Image]:
    """Power cuts now, of every kind."""
    yield from (after(fate, disk, seed) for fate in FATES for seed in range(8))


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("defect", ["", "unsynced_files", "unsynced_folders"])
def test_a_folder_is_there_once_it_has_its_name(defect: str, tmp_path: Path) -> None:
    """As a checkpoint is; without fsync of files, or of folders, some power cut takes it away."""
    code = (
        f"sys.path.append({str(TOOLS)!r}); import power_broken\n"
        f"power_broken.DEFECTS.get({defect!r}, lambda: None)()\n"
        "from streamlearn.store import atomic\n"
        "with atomic.new_folder(folder / 'one') as new: (new / 'a').write_bytes(b'1' * 600)\n"
    )
    found = [image.get("one/a") == b"1" * 600 for image in every_cut(disk_of(tmp_path, (code, "")))]
    assert all(found) == (not defect)


@pytest.mark.usefixtures("strace")
def test_a_dead_letter_is_there_once_it_is_set_aside(tmp_path: Path) -> None:
    """Its commit is a name that goes away, and that is waited for."""
    code = (
        "from streamlearn.store.dead import DeadLetters, Letter\n"
        "letter = Letter(0, 0.0, 'shape', '', 'p', 7, 1, b's', b'h', b'x')\n"
        "DeadLetters(folder).add([letter])\n"
    )
    for i, image in enumerate(every_cut(disk_of(tmp_path, (code, "")))):
        (folder := tmp_path / str(i)).mkdir()
        lay(image, folder)
        assert letters(folder) == [7]


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("killed", [0, 1, 2, 3])
def test_a_state_folder_is_there_with_those_above_it(killed: int, tmp_path: Path) -> None:
    """Also where whoever made it was killed before its name was on the disk."""
    code = "from streamlearn.store import atomic; atomic.make_folders(folder / 'a' / 'b')"
    first = [(code, f"fsync:signal=SIGKILL:when={killed}")] if killed else []
    disk = disk_of(tmp_path, *first, (code, ""))
    assert all("a/b" in image for image in every_cut(disk))
