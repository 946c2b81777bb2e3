"""What a traced daemon did to its files, call by call, and what it told its producers meanwhile.

strace writes the calls down; here they are played to a model of the disk. A call that changes files
in a way that the model does not know is an error, and after every life the model must hold what the
real folder holds: the layer must not be blind.
"""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from power_disk import Disk, Node, read

from streamlearn.errors import NoAnswerError, StartError, StateError
from streamlearn.wire.acknowledged import decode_answer

NEEDED: Final = (
    "strace: not found; it writes down what a daemon does to its files.\n"
    "On Debian or Ubuntu: apt install strace. In a container it needs --cap-add SYS_PTRACE."
)
CHANGES: Final = (
    *("openat", "creat", "open", "write", "pwrite64", "writev", "pwritev", "pwritev2"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "rmdir", "truncate", "ftruncate", "close", "lseek"),
    *("dup", "dup2", "dup3", "fcntl"),
)
UNKNOWN: Final = (
    *("fallocate", "link", "linkat", "symlink", "symlinkat", "copy_file_range", "sendfile"),
    *("splice", "sync_file_range", "io_uring_setup", "mmap", "chdir", "fchdir"),
)
"""Would change files, too; refused where they touch ours."""
OTHERS: Final = ("sendto", "clone", "clone3", "fork", "vfork", "execve")

_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?|0x[0-9a-f]+)( .*)?$")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_TOLD = re.compile(rb"(?s)(.)[\x80-\x8f]\xa1v\x01\xa4kind(?:\xa3ack|\xa7welcome|\xa6reject)")


def command(log: Path, inject: Sequence[str] = ()) -> list[str]:
    """What comes before a program's own command; the program stays this process's own child.

    Parameters
    ----------
    log
        Where its calls are written down.
    inject
        Faults, as strace's own `inject=` expressions, and `path=` for those paths alone.

    Raises
    ------
    StartError
        There is no strace.

    """
    if shutil.which("strace") is None:
        raise StartError(NEEDED)
    calls = ",".join((*CHANGES, *UNKNOWN, *OTHERS))
    faults = [word for one in inject for word in ("-e", one)]
    # strace 6.1 does not send injected signals where it looks at chosen calls alone.
    quick = [] if any("signal=" in one for one in inject) else ["--seccomp-bpf"]
    plain = ["strace", "-D", "-f", *quick, "-q", "-xx", "-s", "16777216"]
    return [
        *plain,
        "-e",
        "signal=none",
        "-e",
        f"trace=?{calls.replace(',', ',?')}",
        *faults,
        "-o",
        str(log),
    ]


def wait_written(log: Path, timeout_s: float = 30.0) -> None:
    """Wait until strace, which outlives the daemon by a moment, has written all of it."""
    deadline = time.monotonic() + timeout_s
    while _is_being_written(log):
        if time.monotonic() > deadline:
            raise NoAnswerError(f"{log}: strace still writes to it after {timeout_s:g} s")
        time.sleep(0.01)


def _is_being_written(log: Path) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            words = path.read_bytes().split(b"\0")
            if words[0] == b"strace" and str(log).encode() in words:
                return True
    return False


class Call(NamedTuple):
    """One call that has returned."""

    task: int
    name: str
    text: str
    """Its arguments."""
    result: int
    begun: int
    """Changes of the disk before it began."""

    @property
    def words(self) -> list[str]:
        """Its arguments, strings in hex as they stand."""
        return self.text.split(", ")

    @property
    def strings(self) -> list[bytes]:
        """The strings among its arguments."""
        return [bytes.fromhex(found.replace("\\x", "")) for found in _STRING.findall(self.text)]


class _Open:
    """An open file: where it is, and whether it always writes at the end."""

    def __init__(self, node: Node, path: str, *, appends: bool) -> None:
        self.node, self.path, self.appends, self.at = node, path, appends, 0


class Player:
    """Plays the calls of a daemon's lives to a model of its disk.

    Parameters
    ----------
    root
        The folder that is modelled.
    disk
        What was on it before.

    Attributes
    ----------
    acknowledged
        Rows that somebody was told to be durable.
    rejected
        Rows that somebody was told to be set aside, by number.

    """

    def __init__(self, root: Path, disk: Disk) -> None:
        self.root, self.disk = root, disk
        self.acknowledged = 0
        self.rejected: set[int] = set()
        self._tables: dict[int, dict[int, _Open]] = {}

    def play(self, log: Path) -> Iterator[str]:
        """Play a life, and stop after every call that matters; its name."""
        self._tables = {}
        for call in self.all_calls(log):
            before = (self.disk.count, self.acknowledged, len(self.rejected))
            self._do(call)
            after = (self.disk.count, self.acknowledged, len(self.rejected))
            if after != before or call.name in ("fsync", "fdatasync"):
                yield call.name

    def check(self) -> None:
        """Compare the model with the real folder; `StateError` where they differ."""
        ours, real = self.disk.seen(), read(self.root)
        names = sorted(name for name in {*ours, *real} if ours.get(name) != real.get(name))
        if names:
            raise StateError(f"{self.root}: the model has not what the disk has: {names}")

    def all_calls(self, log: Path) -> Iterator[Call]:
        """Every call that returned."""
        begun: dict[int, tuple[str, int]] = {}
        with log.open(encoding="ascii") as file:
            for line in file:
                task, _, text = line.rstrip("\n").partition(" ")
                text, count = text.strip(), self.disk.count
                if text.endswith(" <unfinished ...>"):
                    begun[int(task)] = (text.removesuffix(" <unfinished ...>"), count)
                    continue
                if found := _RESUMED.match(text):
                    head, count = begun.pop(int(task))
                    text = head + found[1]
                if (found := _CALL.match(text)) and found[3] != "?":
                    yield Call(int(task), found[1], found[2], int(found[3], 0), count)

    def _table(self, task: int) -> dict[int, _Open]:
        # A thread may be heard of before the call that made it returns: it shares what there is.
        if task not in self._tables:
            self._tables[task] = next(iter(self._tables.values()), {})
        return self._tables[task]

    def _do(self, call: Call) -> None:
        if call.name in UNKNOWN:
            self._refuse(call)
        elif call.name in ("clone", "clone3", "fork", "vfork"):
            self._new_task(call)
        elif call.name == "execve":
            self._tables[call.task] = {}
        elif call.name == "sendto":
            self._heard(call.strings[0] if call.result > 0 and call.strings else b"")
        elif call.name in ("fsync", "fdatasync"):
            self._sync(call)
        elif call.result >= 0:
            getattr(self, f"_{call.name}")(call)

    def _refuse(self, call: Call) -> None:
        table = self._table(call.task)
        if call.name == "mmap":
            known = int(call.words[4]) in table
            touches = known and "MAP_SHARED" in call.text and "PROT_WRITE" in call.text
        elif call.name == "io_uring_setup":
            touches = True
        else:
            numbers = [int(word) for word in call.words if word.isdigit()]
            paths = [self._below(text.decode()) for text in call.strings]
            touches = any(n in table for n in numbers) or any(p is not None for p in paths)
        if touches and call.result >= 0:
            raise NotImplementedError(f"{call.name}({call.text[:200]}): the model does not know it")

    def _new_task(self, call: Call) -> None:
        if call.result <= 0:
            return
        table = self._table(call.task)
        shares = "CLONE_FILES" in call.text
        self._tables[call.result] = table if shares else dict(table)

    def _heard(self, data: bytes) -> None:
        for found in _TOLD.finditer(data):
            begin = found.start() + 1
            answer = decode_answer(data[begin : begin + found[1][0]])
            if answer is not None and answer.kind == "reject":
                self.rejected.update(range(answer.seq, answer.seq + answer.n))
            elif answer is not None:
                self.acknowledged = max(self.acknowledged, answer.next_seq)

    # Paths and descriptors.

    def _below(self, path: str, folder: str | None = None) -> str | None:
        """A path below the root, None where it is elsewhere."""
        if not path.startswith("/"):
            return None if folder is None else str(Path(folder) / path)
        inside = path == str(self.root) or path.startswith(f"{self.root}/")
        return path[len(str(self.root)) + 1 :] if inside else None

    def _path(self, call: Call, which: int = 0) -> str | None:
        """The path that a call names, after a folder's descriptor where it has one."""
        path = call.strings[which].decode()
        at = call.words.index(f'"{"".join(f"{chr(92)}x{b:02x}" for b in path.encode())}"')
        folder = call.words[at - 1] if at else ""
        opened = self._table(call.task).get(int(folder)) if folder.isdigit() else None
        return self._below(path, opened.path if opened else None)

    def _opened(self, call: Call) -> _Open | None:
        return self._table(call.task).get(int(call.words[0]))

    # The calls, by name; each succeeded.

    def _openat(self, call: Call) -> None:
        self._table(call.task).pop(call.result, None)
        if (path := self._path(call)) is None:
            return
        node, flags = self.disk.at(path), call.text
        if node is None and "O_CREAT" not in flags:
            return  # not ours, such as the daemon's log
        if node is None:
            node = self.disk.make(path)
        elif "O_TRUNC" in flags and node.seen:
            self.disk.cut(node, 0)
        if "SYNC" in flags.replace("O_ASYNC", ""):
            raise NotImplementedError(f"{path}: opened with {flags}: not modelled")
        self._table(call.task)[call.result] = _Open(node, path, appends="O_APPEND" in flags)

    _open = _creat = _openat

    def _close(self, call: Call) -> None:
        self._table(call.task).pop(int(call.words[0]), None)

    def _dup(self, call: Call) -> None:
        table = self._table(call.task)
        table.pop(call.result, None)
        if (one := table.get(int(call.words[0]))) is not None:
            table[call.result] = one

    _dup2 = _dup3 = _dup

    def _fcntl(self, call: Call) -> None:
        if "F_DUPFD" in call.text:
            self._dup(call)

    def _lseek(self, call: Call) -> None:
        if one := self._opened(call):
            one.at = call.result

    def _write(self, call: Call) -> None:
        if one := self._opened(call):
            at = len(one.node.seen) if one.appends else one.at
            self.disk.write(one.node, at, b"".join(call.strings)[: call.result])
            one.at = at + call.result

    _writev = _write

    def _pwrite64(self, call: Call) -> None:
        if one := self._opened(call):
            at = int(call.words[3 if call.name == "pwritev2" else -1], 0)
            self.disk.write(one.node, at, b"".join(call.strings)[: call.result])

    _pwritev = _pwritev2 = _pwrite64

    def _sync(self, call: Call) -> None:
        if one := self._opened(call):
            one.node.sync(call.begun, failed=call.result < 0)

    def _ftruncate(self, call: Call) -> None:
        if one := self._opened(call):
            self.disk.cut(one.node, int(call.words[1], 0))

    def _truncate(self, call: Call) -> None:
        path = self._path(call)
        if path is not None and (node := self.disk.at(path)):
            self.disk.cut(node, int(call.words[1], 0))

    def _rename(self, call: Call) -> None:
        old, new = self._path(call), self._path(call, 1)
        if old is not None and new is not None:
            self.disk.rename(old, new)
        elif old != new:
            raise NotImplementedError(f"{old} goes to {new}, out of or into {self.root}")

    _renameat = _renameat2 = _rename

    def _unlink(self, call: Call) -> None:
        if (path := self._path(call)) is not None:
            self.disk.remove(path)

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        if (path := self._path(call)) is not None:
            self.disk.make(path, is_folder=True)

    _mkdirat = _mkdir
