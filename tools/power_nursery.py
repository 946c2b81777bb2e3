"""Daemons that need no time to load: each is forked from a process that has compiled all.

`power_nursery.py CONFIG` is that process. It reads lines of JSON, a log's path and the program's
arguments, and tells the number of the process that it made of them, and how that ended.
"""

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import numpy as np

from streamlearn.bench.process import DaemonProcess
from streamlearn.errors import StartError


class Nursery:
    """A process that daemons of one configuration are forked from, one at a time."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, __file__, str(config)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ready = selectors.DefaultSelector()
        assert self._process.stdout
        self._ready.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        if self.hear(None) != "ready":
            raise StartError("the nursery did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._ready.close()

    def hear(self, timeout_s: float | None) -> Any:
        """The next thing that it says; None where it says nothing for so long."""
        assert self._process.stdout
        if not self._ready.select(timeout_s):
            return None
        return json.loads(self._process.stdout.readline() or "null")

    def bear(self, command: list[str], log: Path) -> "Born":
        """Start a daemon."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([str(log), *command]).encode() + b"\n")
        self._process.stdin.flush()
        return Born(self, int(self.hear(None)))


class Born:
    """A forked daemon; as much of `subprocess.Popen` as is needed."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.hear(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self.returncode is None:
            self.returncode = self._nursery.hear(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("daemon", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(9)


class Forked(DaemonProcess):
    """A daemon out of a nursery, which must be set before it is started."""

    nursery: Nursery

    def start(self) -> Self:
        """Start it, again after a stop; does not wait."""
        arguments = self.command[self.command.index("run") :]
        self.process = self.nursery.bear(arguments, self.log)  # type: ignore[assignment]
        return self


def _warm(config: Path) -> None:
    """Load and compile what a daemon needs, by learning some rows."""
    from streamlearn import daemon  # noqa: F401, PLC0415
    from streamlearn.config import load as load_config  # noqa: PLC0415  only in that process
    from streamlearn.data import load  # noqa: PLC0415
    from streamlearn.evaluate import evaluate  # noqa: PLC0415
    from streamlearn.plan import CATALOGUE  # noqa: PLC0415

    evaluate(load_config(config, CATALOGUE), load("optdigits"), limit=200)
    np.zeros((64, 64), np.float32) @ np.zeros((64, 64), np.float32)


def _live(log: str, arguments: list[str]) -> None:
    """Be a daemon."""
    from streamlearn.cli import main  # noqa: PLC0415

    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for theirs, ours in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(theirs, ours)
    code = 1
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    _warm(Path(sys.argv[1]))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        pid = os.fork()
        if not pid:
            _live(log, arguments)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
