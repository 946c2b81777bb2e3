"""Putting load on a daemon from outside, and watching its process."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from numpy.typing import NDArray

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.data.dataset import Dataset
from streamlearn.errors import NoAnswerError

_LEARNED: Final = "streamlearn_samples_learned_total "
_LOOK_SHARE: Final = 0.3
"""How often one looks: every so many parts of the time that has passed, since looking costs."""
_FIRST_LOOK_S: Final = 0.5
_LONG_ENOUGH: Final = 0.5
_PART_ROWS: Final = 1024


def learned(daemon: DaemonProcess) -> int:
    """Rows that the daemon has learned since it started, from its metrics page."""
    status, page = daemon.get("/metrics")
    lines = [line for line in page.splitlines() if line.startswith(_LEARNED)]
    if not lines:
        raise NoAnswerError(f"the metrics page at {daemon.observe} answers {status}, without rows")
    return int(float(lines[0].split()[-1]))


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory that a process has resident."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Look(NamedTuple):
    """How far the daemon was at a moment."""

    seconds: float
    rows: int


def watched(
    daemon: DaemonProcess, began: float, total: int, timeout_s: float = 600.0
) -> list[Look]:
    """Look until all rows are learned; the moments, since `began`, and the counts."""
    looks: list[Look] = []
    ended = threading.Event()
    while not looks or looks[-1].rows < total:
        passed = time.perf_counter() - began
        if passed > timeout_s:
            raise NoAnswerError(f"{looks[-1].rows} of {total} rows learned after {timeout_s:g} s")
        ended.wait(max(_FIRST_LOOK_S, passed * _LOOK_SHARE))
        rows = learned(daemon)
        looks.append(Look(time.perf_counter() - began, rows))
    return looks


def rate_hz(looks: list[Look]) -> float:
    """Rows a second: from the last look before the end, which no pause of ours makes longer."""
    total = looks[-1].rows
    midway = [look for look in looks if _LONG_ENOUGH * total < look.rows < total]
    last = midway[-1] if midway else looks[-1]
    return last.rows / last.seconds


class Feed:
    """Sends labelled rows round and round from a thread of its own.

    Parameters
    ----------
    endpoint
        The daemon's PULL socket.
    dataset
        What is sent, labels included.
    rows_per_message
        How many rows a message.
    total
        How many rows in all; None: until it is left.

    """

    def __init__(
        self, endpoint: str, dataset: Dataset, rows_per_message: int, total: int | None = None
    ) -> None:
        self._endpoint, self._dataset = endpoint, dataset
        self._rows_per_message, self._total = rows_per_message, total
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")

    def _run(self) -> None:
        # Where it runs on and on, the daemon may end before it does.
        patience_s = 5.0 if self._total is None else 60.0
        with suppress(NoAnswerError), Producer(self._endpoint, timeout_s=patience_s) as producer:
            for x, y in self._parts():
                producer.send_rows(x, y, rows_per_message=self._rows_per_message)

    def _parts(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Pieces of the rows, so that one can stop in between."""
        left = self._dataset.rows if self._total is None else self._total
        for begin in itertools.cycle(range(0, self._dataset.rows, _PART_ROWS)):
            if self._end.is_set() or left <= 0:
                return
            here = slice(begin, begin + min(_PART_ROWS, left))
            assert self._dataset.y is not None
            yield self._dataset.X[here], self._dataset.y[here]
            left -= 0 if self._total is None else len(self._dataset.X[here])

    def __enter__(self) -> Self:
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sending."""
        self._end.set()
        self._thread.join()
