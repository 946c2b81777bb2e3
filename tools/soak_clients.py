"""Who talks to the daemon of the soak: producers by way of wires that are cut, and listeners."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from soak_producer import Job, Ledger

from streamlearn.bench.process import LOOPBACK, DaemonProcess
from streamlearn.client import Subscriber
from streamlearn.errors import NoAnswerError, StreamlearnError
from streamlearn.wire.published import Prediction

HERE: Final = Path(__file__).resolve().parent
_BEGIN_S: Final = 2.0
_PART_BYTES: Final = 1 << 16
_SCRAPE_S: Final = 15.0 / 36
"""Prometheus looks every 15 s; a day's looks in two thirds of an hour."""


class Wire:
    """A TCP port that leads to another one until it is cut; then whoever held on connects anew."""

    def __init__(self, to: str) -> None:
        self._port = int(to.rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._ends: set[asyncio.StreamWriter] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._carry, LOOPBACK, 0))
        self.endpoint = f"tcp://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self._thread.start()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._ends.add(writer)
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self._port)
            ends.add(back)
            self._ends.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.transport.abort()
            self._ends -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(_PART_BYTES):
            writer.write(part)
            await writer.drain()
        raise ConnectionAbortedError

    def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    def cut(self) -> None:
        """Cut every connection, whatever is on its way."""
        self._loop.call_soon_threadsafe(self._cut)

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        """Cut all, and listen no more."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Client:
    """A producer in a process of its own; what it says goes into a file beside its ledger."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ledger = Ledger(job.ledger)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, anew after an end."""
        word = msgspec.json.encode(self.job).decode()
        with Path(f"{self.job.ledger}.log").open("ab") as log:
            command = [sys.executable, str(HERE / "soak_producer.py"), word]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout_s: float) -> None:
        """Let it end in order; raises `StreamlearnError` where it does not."""
        code: int | str | None = None if self._process is None else self._ended(timeout_s)
        while code == -signal.SIGTERM:  # it had hardly begun, and may have rows of a life before
            self.start()
            time.sleep(_BEGIN_S)
            code = self._ended(timeout_s)
        if code:
            said = Path(f"{self.job.ledger}.log").read_text(encoding="utf-8")[-4000:]
            raise StreamlearnError(f"{self.job.stream}: exit code {code}\n{said}")

    def _ended(self, timeout_s: float) -> int | str:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"none within {timeout_s:g} s"


class Background:
    """A thread that does something again and again until it is told to end."""

    def __init__(self, turn: Callable[[], None], pause_s: float = 0.0) -> None:
        self._turn, self._pause_s = turn, pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._pause_s):
            self._turn()

    def close(self) -> None:
        """Wait for its end."""
        self._over.set()
        self._thread.join()


class Heard:
    """How often each row of each stream was among what was heard."""

    def __init__(self) -> None:
        self._times: dict[str, NDArray[np.uint8]] = defaultdict(lambda: np.zeros(0, np.uint8))

    def add(self, stream: str, seq: int, n: int) -> None:
        """Count rows seq…seq+n-1 of a stream."""
        times, end = self._times[stream], seq + n
        if end > len(times):
            grown = np.zeros(max(1 << 12, 2 * end), np.uint8)
            grown[: len(times)] = times
            self._times[stream] = times = grown
        times[seq:end] += 1

    def rows(self, stream: str) -> int:
        """Different rows of a stream."""
        return int(np.count_nonzero(self._times[stream]))

    def twice(self) -> int:
        """Rows of all streams that came more than once."""
        return sum(int(np.count_nonzero(times > 1)) for times in self._times.values())


class Witness(Background):
    """Hears every prediction: a row is predicted once, just before it is learned."""

    def __init__(self, one: DaemonProcess) -> None:
        self.heard = Heard()
        self._subscriber = Subscriber(one.publish, ["prediction/"], timeout_s=0.5)
        super().__init__(self._listen)

    @property
    def missed(self) -> int:
        """Messages that did not reach it."""
        return self._subscriber.missed

    def _listen(self) -> None:
        with suppress(NoAnswerError):
            message = next(self._subscriber)
            if isinstance(message, Prediction):
                self.heard.add(message.stream, message.seq, len(message.y_pred))

    def close(self) -> None:
        """Hear no more."""
        super().close()
        self._subscriber.close()


class Scraper(Background):
    """Looks at the metrics as Prometheus does, and now and then at the page.

    Attributes
    ----------
    figures
        What was seen last, by name and label as they stand there; empty while nobody answers.

    """

    def __init__(self, one: DaemonProcess) -> None:
        self.figures: dict[str, float] = {}
        self._one, self._looks = one, 0
        super().__init__(self.look, _SCRAPE_S)

    def look(self) -> None:
        """Look now."""
        self._looks += 1
        if self._looks % 10 == 0:
            self._one.get("/")
        status, page = self._one.get("/metrics")
        lines = page.splitlines() if status == 200 else []
        pairs = [line.rsplit(" ", 1) for line in lines if line.startswith("streamlearn_")]
        self.figures = {name.removeprefix("streamlearn_"): float(x) for name, x in pairs}

    def total(self, name: str) -> int:
        """A figure, its labels together."""
        return int(sum(x for key, x in self.figures.items() if key.partition("{")[0] == name))

    def until(self, what: Callable[[], bool], patience_s: float) -> bool:
        """Look until something holds; False where it takes longer."""
        until_s = time.monotonic() + patience_s
        while not what():
            if time.monotonic() > until_s:
                return False
            self.look()
            time.sleep(0.05)
        return True
