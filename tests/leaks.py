"""What a test may not leave behind: running threads and open file descriptors."""

import gc
import threading
import time
from pathlib import Path

GRACE_S = 5.0
"""How long ends may take that a test need not wait for, such as a socket's linger."""

_LASTING = ("/dev/null", "/dev/urandom", "/dev/pts", "/.hypothesis", "anon_inode:inotify", ".ttf")
"""Opened once a process by libraries and kept by them on purpose."""


def threads() -> set[threading.Thread]:
    """The threads that run now."""
    return {thread for thread in threading.enumerate() if thread.is_alive()}


def descriptors() -> dict[int, str]:
    """Open file descriptors and what each is."""
    folder = Path("/proc/self/fd")
    found = {}
    for entry in folder.iterdir() if folder.exists() else ():
        try:
            target = str(entry.readlink())
        except OSError:  # the folder's own descriptor, closed by now
            continue
        if not any(lasting in target for lasting in _LASTING):
            found[int(entry.name)] = target
    return found


class Leaks:
    """Compares what is open now with what was open when it was made."""

    def __init__(self) -> None:
        self.threads = threads()
        self.descriptors = descriptors()

    def now(self) -> list[str]:
        """One line for each thread and descriptor that was not there before."""
        lines = [f"thread {thread.name}" for thread in threads() - self.threads]
        lines += [
            f"descriptor {number}: {target}"
            for number, target in descriptors().items()
            if self.descriptors.get(number) != target
        ]
        return lines

    def after_grace(self, grace_s: float = GRACE_S) -> list[str]:
        """What is still there after waiting for it to end, up to `grace_s`."""
        if not (left := self.now()):
            return left
        deadline = time.monotonic() + grace_s
        gc.collect()
        while (left := self.now()) and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        return left
