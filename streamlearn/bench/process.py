"""A real daemon in a process of its own, on free ports: started, waited for, stopped."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamlearn.errors import NoAnswerError, StartError

LOOPBACK: Final = "127.0.0.1"
PLAIN: Final = (
    *("security.server_key=", "security.allowed="),
    *("observe.certificate=", "observe.key=", "observe.client_ca=", "observe.token_file="),
)
"""Settings of a daemon that only this process talks to, on the loopback."""
_LEAST_PORT: Final = 10_000
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_POLL_S: Final = 0.01
_TAIL_BYTES: Final = 4000


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on; all different.

    They are below those that the system hands out by itself, so that no other program is given one
    of them while a daemon is down for a moment.
    """
    end = _handed_out()
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            one = held.enter_context(socket.socket())
            port = _LEAST_PORT + secrets.randbelow(end - _LEAST_PORT) if end > _LEAST_PORT else 0
            with suppress(OSError):
                one.bind((LOOPBACK, port))
                ports.append(one.getsockname()[1])
        return ports


def _handed_out() -> int:
    """The first port that the system gives to whoever asks for any."""
    try:
        return int(_RANGE.read_text("ascii").split()[0])
    except OSError:
        return 32768  # as Linux has it by default; elsewhere they begin higher


class DaemonProcess:
    """`streamlearn run` in its own process, with its own ports and state folder.

    Parameters
    ----------
    config
        The TOML file that it runs.
    folder
        Where its state (`state`) and its output (`daemon.log`) go; must exist.
    settings
        More `--set` overrides, each `key=value`; they win over the ports chosen here.
    command
        What is started, up to the verb; another Python, for one.
    environment
        Added to this process's environment.

    """

    def __init__(
        self,
        config: str | Path,
        folder: str | Path,
        settings: Sequence[str] = (),
        command: Sequence[str] = (sys.executable, "-m", "streamlearn"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        pull, publish, control, observe = free_ports(4)
        self.pull = f"tcp://{LOOPBACK}:{pull}"
        self.publish = f"tcp://{LOOPBACK}:{publish}"
        self.control = f"tcp://{LOOPBACK}:{control}"
        self.observe = f"{LOOPBACK}:{observe}"
        self.state = Path(folder) / "state"
        self.log = Path(folder) / "daemon.log"
        self.command = [*command, "run", str(config), *self._sets(settings)]
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def _sets(self, settings: Sequence[str]) -> list[str]:
        own = (
            f"ingest.pull={self.pull}",
            f"publish.bind={self.publish}",
            f"control.bind={self.control}",
            f"observe.bind={self.observe}",
            f"store.dir={self.state}",
        )
        return [word for setting in (*own, *settings) for word in ("--set", setting)]

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._running().pid

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise StartError("the daemon was not started; call start() first")
        return self.process

    def start(self) -> Self:
        """Start it, again after a stop; does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own command line
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
        return self

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
        """Status and text of a page: `/metrics`, `/livez`, `/readyz`; 0 where nobody answers."""
        link = http.client.HTTPConnection(self.observe, timeout=timeout_s)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            link.close()

    def wait_ready(self, timeout_s: float = 100.0) -> float:
        """Wait until `/readyz` answers 200; the seconds waited.

        Raises
        ------
        StartError
            The process ended first; the text ends with what it said.
        NoAnswerError
            It is still not ready after `timeout_s`.

        """
        began = time.perf_counter()
        process = self._running()
        while self.get("/readyz")[0] != http.HTTPStatus.OK:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(_POLL_S)
                raise StartError(f"the daemon ended with exit code {code}:\n{self.said()}")
            if time.perf_counter() - began > timeout_s:
                raise NoAnswerError(
                    f"the daemon is not ready after {timeout_s:g} s:\n{self.said()}"
                )
        return time.perf_counter() - began

    def said(self) -> str:
        """The end of its output."""
        return self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self._running().send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; the exit code. Raises `NoAnswerError` when it takes longer."""
        try:
            return self._running().wait(timeout_s)
        except subprocess.TimeoutExpired:
            text = f"the daemon has not ended after {timeout_s:g} s:\n{self.said()}"
            raise NoAnswerError(text) from None

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, then wait for the drained end; the exit code."""
        self.signal()
        return self.wait(timeout_s)

    def kill(self) -> None:
        """End it at once, whatever it does; nothing where it has ended or never ran."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        """Start, and wait until it is ready."""
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs."""
        self.kill()
