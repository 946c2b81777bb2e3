"""Targets of the fuzzer that lie on a disk of ours: checkpoints, journal, dead letters, spool."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgpack
import msgspec
import numpy as np
from fuzz_input import Target, joined, several, split

from streamlearn.cli.mend import shown, shown_header
from streamlearn.client.spool import NAME as SPOOL
from streamlearn.client.spool import Spool
from streamlearn.errors import DamagedError, StateError
from streamlearn.store import dead, journal
from streamlearn.store.checkpoint import (
    ARRAYS,
    MANIFEST,
    Checkpoints,
    Snapshot,
    load_arrays,
    save_arrays,
)
from streamlearn.store.database import connect
from streamlearn.store.dead import DeadLetters, Letter
from streamlearn.store.describe import describe
from streamlearn.store.digest import digest
from streamlearn.store.fsck import examine
from streamlearn.store.journal import MESSAGE, SKIPPED, Journal, Record
from streamlearn.store.manifest import seal, unseal
from streamlearn.store.resend import rows_of
from streamlearn.wire.acknowledged import numbers
from streamlearn.wire.message import Sample, encode

CONFIG: Final[dict[str, Any]] = {"seed": 0, "layer": [{"rule": "hebbian", "units": 8}]}
NAME: Final = "checkpoint-00000001"
_BLANK: Final = b"0" * 64


def snapshot() -> Snapshot:
    """The state of a small learner."""
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "layer/layer1/w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "history/y": np.full(4, -1, np.int32),
        "history/kept": np.zeros((0, 6), np.uint8),
        "figures/count": np.array([3], np.uint64),
    }
    meta = {"journal": {"id": 1, "part": 0, "places": [["cam0", "p", 2]]}, "last": None}
    return Snapshot(3, 5, arrays, meta, CONFIG, digest(arrays, 3), "c0ffee")


def frames() -> list[bytes]:
    """A message of two rows."""
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    return encode(Sample("cam0", "p", 0, 2, 1.5, x, np.array([1, -1], np.int32)))


def empty(folder: Path) -> Path:
    """A state folder with nothing in it."""
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    return state


# Checkpoints.


def manifest(data: bytes, _: Path) -> None:
    """A manifest whose checksum is right whatever it says, as of another program."""
    found = unseal(_sealed(data), "manifest")
    assert unseal(seal(found), "again") == found


def _sealed(data: bytes) -> bytes:
    """The text with the checksum that it should have, where it has room for one."""
    start = data.find(b'"checksum": "') + 13
    written = data[start : start + 64]
    if start < 13 or len(written) < 64:
        return data
    blank = data.replace(written, _BLANK, 1)
    return blank.replace(_BLANK, hashlib.sha256(blank).hexdigest().encode(), 1)


def checkpoint(data: bytes, folder: Path) -> None:
    """A checkpoint's two files, the manifest with a right checksum over both, and what reads it."""
    state = empty(folder)
    text, arrays = several(data, 2)
    (state / NAME).mkdir()
    (state / NAME / ARRAYS).write_bytes(arrays)
    (state / NAME / MANIFEST).write_bytes(_sealed(_resized(text, arrays)))
    store = Checkpoints(state)
    describe(state)
    examine(state)
    store.kept()
    store.newest(CONFIG)


def _resized(text: bytes, arrays: bytes) -> bytes:
    """The manifest with checksum and size of the arrays that are there."""
    try:
        fields = msgspec.json.decode(text)
        fields["files"][ARRAYS] = {
            "bytes": len(arrays),
            "sha256": hashlib.sha256(arrays).hexdigest(),
        }
    except (msgspec.MsgspecError, KeyError, TypeError, IndexError, UnicodeDecodeError):
        return text
    return msgspec.json.format(msgspec.json.encode(fields), indent=1)


def damaged(data: bytes, folder: Path) -> None:
    """A checkpoint's files as they lie on a disk; one that is read is what was written."""
    state = empty(folder)
    (state / NAME).mkdir()
    for name, content in zip((MANIFEST, ARRAYS), several(data, 2), strict=True):
        (state / NAME / name).write_bytes(content)
    describe(state)
    examine(state, repair=True)
    found = Checkpoints(state).newest(CONFIG)
    assert found is None or digest(found.arrays, found.rows_learned) == found.digest


def _checkpoints(folder: Path) -> list[bytes]:
    state = empty(folder)
    path = Checkpoints(state).save(snapshot()).path
    return [joined([(path / name).read_bytes() for name in (MANIFEST, ARRAYS)])]


def _manifests(folder: Path) -> list[bytes]:
    return [split(_checkpoints(folder)[0])[0]]


def arrays(data: bytes, folder: Path) -> None:
    """The arrays alone, without the checksum over them."""
    path, again = folder / "arrays", folder / "again"
    path.write_bytes(data)
    found = load_arrays(path)
    save_arrays(again, found)
    read = load_arrays(again)
    assert found.keys() == read.keys()
    assert all(found[k].tobytes() == read[k].tobytes() for k in found)


def _arrays(folder: Path) -> list[bytes]:
    return [split(_checkpoints(folder)[0])[1]]


# The journal.


def journal_file(data: bytes, folder: Path) -> None:
    """The journal and its log as they lie on a disk: opened, read, written to, examined."""
    state = empty(folder)
    _put(state, journal.NAME, several(data, 2))
    try:
        one = Journal(state, 1 << 20)
        try:
            _use(one)
        finally:
            one.close()
    except StateError:
        pass
    _put(state, journal.NAME, several(data, 2))
    examine(state)
    examine(state, repair=True)
    one = Journal(state, 1 << 20)  # what was repaired can be used
    one.close()


def _put(state: Path, name: str, files: Sequence[bytes]) -> None:
    for more, content in zip(("", "-wal"), files, strict=True):
        path = state / f"{name}{more}"
        path.unlink(missing_ok=True)
        if content:
            path.write_bytes(content)


def _use(one: Journal) -> None:
    one.get("config")
    for record in one.after(one.first - 1):
        assert record.frames
    one.rows_after(0)
    one.append([Record(one.last + 1, MESSAGE, 2, *_three())])
    one.put("config", CONFIG)
    one.trim(one.first)


def _three() -> tuple[bytes, bytes, bytes]:
    stream, header, payload = frames()
    return stream, header, payload


def _journals(folder: Path) -> list[bytes]:
    state = empty(folder)
    one = Journal(state, 1 << 20)
    one.put("config", CONFIG)
    one.append([Record(1, MESSAGE, 2, *_three()), Record(2, SKIPPED, 1, b"cam0", b"\x80", b"")])
    live = [(state / f"{journal.NAME}{more}").read_bytes() for more in ("", "-wal")]
    one.close()
    closed = (state / journal.NAME).read_bytes()
    small = _small(state / journal.NAME)
    return [joined(live), joined([closed]), joined([small])]


def _small(path: Path) -> bytes:
    """The same database in pages of 512 bytes: a short input is changed more thoroughly."""
    db = connect(path, "DELETE")
    db.execute("PRAGMA page_size = 512")
    db.execute("VACUUM")
    db.close()
    return path.read_bytes()


# Dead letters.


def dead_file(data: bytes, folder: Path) -> None:
    """The dead letters as they lie on a disk, and what shows, resends and removes them."""
    state = empty(folder)
    (state / dead.NAME).write_bytes(data)
    letters = DeadLetters(state)
    try:
        letters.count()
        for number in letters.numbers():
            try:
                if (letter := letters.letter(number)) is not None:
                    _look(letter)
            except StateError:
                letters.remove([number])
        letters.add([_letter()])
    finally:
        letters.close()
        examine(state)
        examine(state, repair=True)


def _letter() -> Letter:
    return Letter(0, 0.0, "shape", "expected [n, 5]", "p", 0, 2, *_three())


def _look(letter: Letter) -> None:
    shown(letter)
    shown_header(letter)
    rows_of(letter)


def letter(data: bytes, _: Path) -> None:
    """A refused message, as it is set aside, shown and sent again."""
    found = split(data)
    which = numbers(found)
    if which is not None:
        stream, header, payload = found
        own = Letter(
            1, 0.0, "shape", "", which.producer, which.seq, which.n, stream, header, payload
        )
        _look(own)


def _letters(_: Path) -> list[bytes]:
    stream, header, payload = frames()
    more = msgpack.packb({**msgpack.unpackb(header), "more": {"x": [1, msgpack.Timestamp(1)]}})
    return [joined([stream, header, payload]), joined([stream, more, payload])]


def _deads(folder: Path) -> list[bytes]:
    state = empty(folder)
    letters = DeadLetters(state)
    letters.add([_letter(), _letter()._replace(seq=2**64 - 2)])
    letters.close()
    whole = (state / dead.NAME).read_bytes()
    return [whole, _small(state / dead.NAME)]


# The spool.


def spool(data: bytes, folder: Path) -> None:
    """A producer's spool and its log as they lie on a disk."""
    state = empty(folder)
    _put(state, SPOOL, several(data, 2))
    one = Spool(state, "p")
    try:
        one.next_seqs()
        for stream, parcel in list(one.parcels()):
            try:
                one.frames(parcel.number)
            except DamagedError:
                one.forget(stream, parcel.number)
        one.add("cam0", 7, 2, frames())
    finally:
        one.close()


def _spools(folder: Path) -> list[bytes]:
    state = empty(folder)
    one = Spool(state, "p")
    for seq in (0, 2):
        one.add("cam0", seq, 2, frames())
    live = [(state / f"{SPOOL}{more}").read_bytes() for more in ("", "-wal")]
    one.close()
    return [joined(live), joined([(state / SPOOL).read_bytes()]), joined([_small(state / SPOOL)])]


_FILE: Final = 1 << 16
TARGETS: Final = {
    "manifest": Target(manifest, _manifests),
    "checkpoint": Target(checkpoint, _checkpoints, framed=True),
    "damaged": Target(damaged, _checkpoints, framed=True),
    "arrays": Target(arrays, _arrays),
    "journal": Target(journal_file, _journals, framed=True, most_bytes=_FILE),
    "dead": Target(dead_file, _deads, most_bytes=_FILE),
    "letter": Target(letter, _letters, framed=True),
    "spool": Target(spool, _spools, framed=True, most_bytes=_FILE),
}
