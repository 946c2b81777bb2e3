"""The spool: what a producer put on its own disk is there, to the byte, or the damage is told."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamlearn.client.spool import NAME, Spool
from streamlearn.errors import DamagedError, StateError, UsageError

Kept = list[tuple[str, int, int, tuple[bytes, ...]]]
STREAMS = ("cam0", "cam1")


def fill(folder: Path) -> Kept:
    """Messages of two rows in two streams; what was put in."""
    spool = Spool(folder, "p")
    kept = []
    for number in range(20):
        stream, seq = STREAMS[number % 2], 100 + number // 2 * 2
        frames = (stream.encode(), b"header %d" % number, bytes([number]) * 150)
        spool.add(stream, seq, 2, frames)
        kept.append((stream, seq, 2, frames))
    spool.close()
    return kept


def read(folder: Path) -> tuple[Kept, dict[str, int]]:
    """What is in it, and where it goes on."""
    spool = Spool(folder, "p")
    try:
        parcels = list(spool.parcels())
        kept = [(stream, p.seq, p.rows, spool.frames(p.number)) for stream, p in parcels]
        return kept, spool.next_seqs()
    finally:
        spool.close()


def test_what_was_put_in_is_there(tmp_path: Path) -> None:
    """In order, and with the number that comes next, also once the messages are forgotten."""
    assert read(tmp_path)[0] == []
    kept = fill(tmp_path)
    assert read(tmp_path) == (kept, {"cam0": 120, "cam1": 120})
    spool = Spool(tmp_path, "p")
    spool.forget("cam0", 1000)
    spool.close()
    left = [one for one in kept if one[0] == "cam1"]
    assert read(tmp_path) == (left, {"cam0": 120, "cam1": 120})


def test_it_is_one_producers(tmp_path: Path) -> None:
    """Another one is told whose it is."""
    fill(tmp_path)
    with pytest.raises(UsageError, match="belongs to producer 'p', not 'q'"):
        Spool(tmp_path, "q")


def test_it_is_one_process_at_a_time(tmp_path: Path) -> None:
    """A second one is told so in a few seconds, not that its disk is bad."""
    one = Spool(tmp_path, "p")
    with pytest.raises(StateError, match=r"spool\.sqlite: another process is using it"):
        Spool(tmp_path, "p")
    one.close()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_told_or_harmless(place: float, bit: int, tmp_path: Path) -> None:
    """Neither a message nor the number that comes next is another one."""
    path = tmp_path / NAME
    path.unlink(missing_ok=True)
    kept = fill(tmp_path)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        found = read(tmp_path)
    except (StateError, UsageError):  # the owner's name is what was damaged
        return
    assert found == (kept, {"cam0": 120, "cam1": 120})


def test_damage_names_the_message_and_the_way_out(tmp_path: Path) -> None:
    """Before any of it is sent."""
    fill(tmp_path)
    data = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(data.replace(b"header 7", b"Header 7"))
    with pytest.raises(DamagedError, match="message 8 is not what was written; move the file away"):
        read(tmp_path)
