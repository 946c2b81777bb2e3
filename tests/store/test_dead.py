"""Dead letters: kept with their reason, bounded, and open to a person while the daemon runs."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamlearn.errors import NoSpaceError, StateError, UsageError
from streamlearn.store.dead import DeadLetters, Letter
from streamlearn.store.resend import rows_of
from streamlearn.wire.message import Sample, encode


def letter(seq: int, payload: bytes = b"12345678", producer: str = "p") -> Letter:
    """A letter of one row that came as two floats where four were expected."""
    return Letter(0, 9.0, "shape", "expected [n, 4]", producer, seq, 1, b"cam0", b"head", payload)


def test_letters_are_kept_with_all_that_came(tmp_path: Path) -> None:
    """Also the largest number that a row can have, and after the file was closed."""
    one = DeadLetters(tmp_path)
    assert list(one.letters()) == []
    assert not (tmp_path / "dead.sqlite").exists()
    one.add([letter(3), letter(2**64 - 2)])
    one.close()
    other = DeadLetters(tmp_path)
    found = list(other.letters())
    assert [a._replace(id=0) for a in found] == [letter(3), letter(2**64 - 2)]
    assert other.count()[0] == 2
    other.close()


def test_the_same_rows_again_replace_those_before(tmp_path: Path) -> None:
    """A batch that is set aside and whose rows come once more does not fill the store."""
    one = DeadLetters(tmp_path)
    one.add([letter(3)])
    one.add([letter(3, b"other"), letter(3, producer="q")])
    assert [a.payload for a in one.letters()] == [b"other", b"12345678"]
    assert (one.added, one.dropped) == (2, 0)
    one.close()


def test_a_full_disk_counts_nothing(tmp_path: Path) -> None:
    """Letters that found no room, and those that would have made it, are not counted."""
    one = DeadLetters(tmp_path, 10_000)
    one.add([letter(seq, b"x" * 1000) for seq in range(6)])
    pages = one._db.execute("PRAGMA page_count").fetchone()[0]
    one._db.execute(f"PRAGMA max_page_count = {pages}")
    many = [letter(seq, b"x" * 1000) for seq in range(100, 130)]
    with pytest.raises(NoSpaceError, match="full"):
        one.add(many)
    assert (one.added, one.dropped, one.count()[0]) == (6, 0, 6)
    one._db.execute("PRAGMA max_page_count = 1000000")
    one.add(many)
    assert (one.added, one.dropped, one.count()[0]) == (36, 30, 6)
    one.close()


def test_the_oldest_make_room(tmp_path: Path) -> None:
    """It never holds more than its bound; a payload that is too large leaves its header."""
    one = DeadLetters(tmp_path, 10_000)
    for seq in range(40):
        one.add([letter(seq, b"x" * 1000)])
        assert one.count()[1] <= 10_000
    assert [a.seq for a in one.letters()] == list(range(34, 40))
    assert (one.added, one.dropped) == (40, 34)
    one.add([letter(99, b"x" * 5000)])
    last = list(one.letters())[-1]
    assert (last.seq, last.payload, last.whole) == (99, b"", False)
    one.close()


def test_a_person_may_look_and_remove_while_the_daemon_writes(tmp_path: Path) -> None:
    """Two connections at once; what one removes the other no longer sees."""
    daemon, person = DeadLetters(tmp_path), DeadLetters(tmp_path)
    daemon.add([letter(1), letter(2)])
    person = DeadLetters(tmp_path)
    numbers = person.numbers()
    assert person.remove(numbers[:1]) == 1
    daemon.add([letter(3)])
    assert [a.seq for a in person.letters()] == [2, 3]
    assert person.letter(numbers[0]) is None
    daemon.close()
    person.close()


def test_a_damaged_letter_is_named(tmp_path: Path) -> None:
    """Its checksum tells, and the text says how to get rid of it."""
    one = DeadLetters(tmp_path)
    one.add([letter(1), letter(2)])
    one._db.execute("UPDATE dead SET payload = x'00' WHERE id = 1")  # type: ignore[union-attr]
    with pytest.raises(StateError, match=r"letter 1: .* purge .* 1"):
        list(one.letters())
    assert one.letter(2) is not None
    one.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_no_other_letter(place: float, bit: int, tmp_path: Path) -> None:
    """Every letter is what was set aside, or the damage is told."""
    path = tmp_path / "dead.sqlite"
    path.unlink(missing_ok=True)
    one = DeadLetters(tmp_path)
    one.add([letter(seq) for seq in range(9)])
    one.close()
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with suppress(StateError):
        other = DeadLetters(tmp_path)
        try:
            found = [a._replace(id=0, time=9.0) for a in other.letters()]
        finally:
            other.close()
        assert [a for a in found if a not in map(letter, range(9))] == []


def test_rows_of_a_letter_can_be_sent_again() -> None:
    """Under a name of their own, as their numbers are settled; where they were kept."""
    x = np.arange(6, dtype="<f4").reshape(2, 3)
    _, header, payload = encode(Sample("cam0", "p", 7, 2, 1.5, x, np.array([1, 2], np.int32)))
    whole = letter(7)._replace(header=header, payload=payload)
    rows = rows_of(whole)
    assert (rows.producer, rows.y, rows.t) == ("p.again", [1, 2], 1.5)
    assert rows.x.tolist() == x.tolist()
    assert rows_of(whole._replace(producer="p.again")).producer == "p.again"
    assert len(rows_of(whole._replace(producer="é" * 32)).producer.encode()) <= 64
    for wrong in (whole._replace(payload=b""), whole._replace(payload=b"123"), letter(1)):
        with pytest.raises(UsageError, match="letter 0"):
            rows_of(wrong)
