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
from power import Bench, configured
from power_disk import FATES, SECTOR, Disk, Image, lay
from power_nursery import Nursery
from power_runs import Faults, compared, cuts, letters
from power_trace import Player, command, wait_written

from streamlearn.client.spool import Spool
from streamlearn.store.journal import Journal

TOOLS = Path(__file__).resolve().parents[2] / "tools"
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


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A small learner of digits, and what it comes to undisturbed."""
    if not may_trace():
        pytest.skip("needs strace and the right to use it")
    folder = tmp_path_factory.mktemp("power")
    config = configured(folder)
    with Nursery(config) as nursery:
        yield Bench(folder, nursery, config)


def test_a_power_cut_at_any_call_changes_nothing(bench: Bench) -> None:
    """What was acknowledged is learned once; digest, figures, dead letters as undisturbed."""
    tally = bench.live_on(SCRIPT, cuts(bench.undisturbed(SCRIPT), 7, 1))
    assert tally.tried >= 5
    assert tally.wrong == []


def test_a_daemon_that_does_not_wait_for_the_disk_is_found(bench: Bench) -> None:
    """Its undisturbed end is the same; only power cuts tell, or the layer is blind."""
    bad = bench.record(SCRIPT, Faults(defect="lax_journal"))
    assert compared(bad.outcome, bench.undisturbed(SCRIPT).outcome) == []
    assert bench.live_on(SCRIPT, cuts(bad, 5, 1)).wrong


def test_a_failed_fsync_stops_it_and_nothing_is_acknowledged_on_a_second_try(bench: Bench) -> None:
    """It says why, goes on when started again, and ends as undisturbed, also after a power cut."""
    slowly = SCRIPT._replace(pause_s=0.02)
    ninth = Faults(("inject=fdatasync:error=EIO:when=9",))
    # A busy machine may write so few groups that there is no ninth.
    tried = (bench.record(slowly, ninth) for _ in range(3))
    bad = next(record for record in tried if record.ended)
    assert bad.ended == [1]
    assert "sqlite: disk I/O error" in bad.said
    assert compared(bad.outcome, bench.undisturbed(SCRIPT).outcome) == []
    assert bench.live_on(SCRIPT, cuts(bad, 5, 1)).wrong == []


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
        assert done.returncode == (-9 if "SIGKILL" in fault else bool(fault))
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
        "with atomic.new_folder(folder / 'one') as new:\n"
        "    pathlib.Path(new, 'a').write_bytes(b'1' * 600)\n"
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


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("fault", ["signal=SIGKILL", "error=EIO"])
def test_what_a_journal_gives_is_on_the_disk(fault: str, tmp_path: Path) -> None:
    """After a kill before fsync, or an fsync that fails, its log reads well from memory alone."""
    writes = (
        "import os; from streamlearn.store.journal import Journal, Record\n"
        "journal = Journal(folder, 1 << 20)\n"
        "journal.append([Record(1, 0, 2, b's', b'h', b'x')])\n"
        "try: journal.append([Record(2, 0, 2, b's', b'h', b'x')])\n"
        "finally: os._exit(1)\n"
    )
    reads = (
        "import os; from streamlearn.store.journal import Journal\n"
        "os._exit(Journal(folder, 1 << 20).last - 2)  # not closed, which would copy the log\n"
    )
    disk = disk_of(tmp_path, (writes, f"fdatasync:{fault}:when=9"), (reads, ""))
    for i, image in enumerate(every_cut(disk)):
        (folder := tmp_path / str(i)).mkdir()
        lay(image, folder)
        journal = Journal(folder, 1 << 20)
        assert journal.last == 2
        journal.close()


@pytest.mark.usefixtures("strace")
def test_a_spool_has_what_was_put_in(tmp_path: Path) -> None:
    """Also where the producer was killed while it did, and another one found it there."""
    adds = (
        "from streamlearn.client.spool import Spool\n"
        "Spool(folder / 'spool', 'p').add('s', 0, 2, (b's', b'h', b'x'))\n"
    )
    reads = (
        "import os; from streamlearn.client.spool import Spool\n"
        "os._exit(Spool(folder / 'spool', 'p').next_seqs()['s'] - 2)\n"
    )
    once = disk_of(tmp_path / "once", (adds + "import os; os._exit(0)\n", ""))
    killed = disk_of(tmp_path / "killed", (adds, "fdatasync:signal=SIGKILL:when=8"), (reads, ""))
    for i, image in enumerate([*every_cut(once), *every_cut(killed)]):
        (folder := tmp_path / str(i)).mkdir()
        lay(image, folder)
        spool = Spool(folder / "spool", "p")
        assert spool.next_seqs() == {"s": 2}
        assert [parcel.rows for _, parcel in spool.parcels()] == [2]
        spool.close()
