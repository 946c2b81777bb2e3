"""A disk whose power fails: which files and names of a log of changes are there afterwards.

What POSIX promises and no more, as in ALICE (Pillai et al., OSDI 2014) and CrashMonkey (Mohan et
al., OSDI 2018): data of a file is there for certain after `fsync` of that file, a name after
`fsync` of its folder. Until then any part of it may be there, in any order, in sectors; a file may
have grown without its data, which are zeros then. A write does not harm what lies beside it. What
an `fsync` that failed was to write is not written by a later one that succeeds, as on Linux
(Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020): it is gone,
though programs still read it. Names are not forgotten so: where the file system's own log fails,
it stops.
"""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

SECTOR: Final = 512

Image = dict[str, bytes | None]
"""Path below the root → what the file holds; None for a folder."""
FATES: Final = ("lost", "kept", "names", "data", "grown", "ordered", "mixed")
"""What becomes of changes that are not on the disk for certain.

All lost; all there; names alone; data alone; names and sizes with zeros for data; those up to one
of them, which is torn; any mixture.
"""


class Change(NamedTuple):
    """One change of a file or a folder that is on its way."""

    number: int
    """Place in the order of all changes."""
    at: int = 0
    """Where in the file, or its new size."""
    data: bytes | None = None
    """None: the file is cut, or grown by zeros, to `at`."""
    names: tuple[tuple[str, "Node | None"], ...] = ()
    """Of a folder: names and what they are from now on; None: removed."""


class Node:
    """A file or a folder: what is there for certain, what is on its way, what programs read."""

    def __init__(self, *, is_folder: bool) -> None:
        self.is_folder = is_folder
        self.safe, self.seen = bytearray(), bytearray()
        self.safe_names: dict[str, Node] = {}
        self.seen_names: dict[str, Node] = {}
        self.pending: list[Change] = []

    def sync(self, before: int, *, failed: bool) -> None:
        """What was on its way before a change is there for certain, or, failed, never will be."""
        if failed and self.is_folder:
            return  # a file system whose own log fails stops altogether; it does not forget names
        done = [change for change in self.pending if change.number < before]
        self.pending = self.pending[len(done) :]
        if not failed:
            _put(self.safe, done)
            _rename(self.safe_names, done)


class Disk:
    """The files below a folder, through a log of changes.

    Parameters
    ----------
    image
        What is there for certain at the beginning.

    """

    def __init__(self, image: Image | None = None) -> None:
        self.count = 0
        self.root = Node(is_folder=True)
        for path, data in sorted((image or {}).items()):
            self._name(path, node := Node(is_folder=data is None))
            node.seen += data or b""
        for _, node in [("", self.root), *_walk(self.root)]:
            node.sync(self.count, failed=False)
            node.safe[:] = node.seen

    def at(self, path: str) -> Node | None:
        """What programs see under a path."""
        node: Node | None = self.root
        for name in Path(path).parts:
            node = node.seen_names.get(name) if node else None
        return node

    def _change(self, node: Node, **what: object) -> None:
        change = Change(self.count, **what)  # type: ignore[arg-type]
        self.count += 1
        node.pending.append(change)
        _put(node.seen, [change])
        _rename(node.seen_names, [change])

    def _name(self, path: str, node: Node | None) -> None:
        self._change(self._folder(path), names=((Path(path).name, node),))

    def _folder(self, path: str) -> Node:
        folder = self.at(str(Path(path).parent))
        assert folder, path
        return folder

    def make(self, path: str, *, is_folder: bool = False) -> Node:
        """A new file or folder."""
        node = Node(is_folder=is_folder)
        self._name(path, node)
        return node

    def remove(self, path: str) -> None:
        """Take a name away; whoever has the file open still has it."""
        self._name(path, None)

    def rename(self, old: str, new: str) -> None:
        """Give another name in the same folder, at once."""
        folder, node = self._folder(old), self.at(old)
        if folder is not self._folder(new):
            raise NotImplementedError(f"{old} goes to another folder, {new}: not modelled")
        self._change(folder, names=((Path(old).name, None), (Path(new).name, node)))

    def write(self, node: Node, at: int, data: bytes) -> None:
        """Write into a file."""
        self._change(node, at=at, data=data)

    def cut(self, node: Node, size: int) -> None:
        """Make a file shorter, or longer by zeros."""
        self._change(node, at=size)

    def seen(self) -> Image:
        """What programs find."""
        return {path: None if n.is_folder else bytes(n.seen) for path, n in _walk(self.root)}

    def after(self, fate: str, draw: random.Random) -> Image:
        """What is there after a power cut now.

        Parameters
        ----------
        fate
            One of `FATES`.
        draw
            Decides what the fate leaves open.

        """
        last = draw.randint(0, self.count)
        return dict(_survivors(self.root, "", fate, last, draw))


def read(folder: Path) -> Image:
    """What a real folder holds."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def lay(image: Image, folder: Path) -> None:
    """Make a real folder of it."""
    for path, data in sorted(image.items()):
        place = folder / path
        if data is None:
            place.mkdir()
        else:
            place.write_bytes(data)


def _walk(folder: Node, under: str = "") -> Iterator[tuple[str, Node]]:
    for name, node in folder.seen_names.items():
        yield under + name, node
        yield from _walk(node, f"{under}{name}/")


def _put(data: bytearray, changes: Iterable[Change]) -> None:
    for change in changes:
        if change.names:
            continue
        end = change.at + len(change.data or b"")
        data.extend(bytes(max(0, end - len(data))))
        if change.data is None:
            del data[change.at :]
        else:
            data[change.at : end] = change.data


def _rename(names: dict[str, Node], changes: Iterable[Change]) -> None:
    for change in changes:
        for name, node in change.names:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node


def _survivors(
    folder: Node, under: str, fate: str, last: int, draw: random.Random
) -> Iterator[tuple[str, bytes | None]]:
    names = dict(folder.safe_names)
    _rename(names, _kept_names(folder.pending, fate, last, draw))
    for name, node in names.items():
        if node.is_folder:
            yield under + name, None
            yield from _survivors(node, f"{under}{name}/", fate, last, draw)
        else:
            yield under + name, bytes(_content(node, fate, last, draw))


def _kept_names(
    pending: list[Change], fate: str, last: int, draw: random.Random
) -> Iterable[Change]:
    if fate == "mixed":
        fate = draw.choice(("lost", "kept", "ordered", "any"))
        last = draw.choice(pending).number if pending else 0
    if fate == "ordered":
        return [change for change in pending if change.number <= last]
    if fate == "any":
        return [change for change in pending if draw.random() < 0.5]
    return pending if fate in ("kept", "names", "grown") else []


def _content(node: Node, fate: str, last: int, draw: random.Random) -> bytearray:
    data, pending = bytearray(node.safe), node.pending
    if fate == "mixed":
        fate = draw.choice(("lost", "kept", "ordered", "any", "grown"))
        last = draw.choice(pending).number if pending else 0
    if fate in ("kept", "data"):
        _put(data, pending)
    elif fate == "grown":
        data.extend(bytes(max(0, len(node.seen) - len(data))))
    elif fate == "ordered":
        _put(data, [change for change in pending if change.number < last])
        _put(data, _torn([change for change in pending if change.number == last], draw))
    elif fate == "any":
        _put(data, _torn([change for change in pending if draw.random() < 0.7], draw))
        if draw.random() < 0.5:
            data.extend(bytes(max(0, len(node.seen) - len(data))))
    return data


def _torn(changes: Iterable[Change], draw: random.Random) -> Iterator[Change]:
    """Of each write some sectors, in any order; a few of them rubbish, as power failed in them."""
    for change in changes:
        if change.data is None:
            yield change
            continue
        end = change.at + len(change.data)
        begins = [change.at, *range(change.at - change.at % SECTOR + SECTOR, end, SECTOR)]
        share = draw.choice((0.1, 0.5, 0.9))
        for begin, stop in zip(begins, [*begins[1:], end], strict=True):
            if draw.random() < share:
                part = change.data[begin - change.at : stop - change.at]
                rubbish = draw.random() < 0.02
                yield change._replace(at=begin, data=draw.randbytes(len(part)) if rubbish else part)
