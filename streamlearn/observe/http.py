"""The daemon's HTTP address: /metrics for Prometheus, /livez and /readyz, and / to look at.

One thread accepts, each request has a short-lived one, and no more than a few at once. A client has
a few seconds in all to say what it wants: whoever trickles bytes is cut off.
"""

import io
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from streamlearn.errors import StartError
from streamlearn.observe.access import Access
from streamlearn.observe.board import Board
from streamlearn.observe.site import Site
from streamlearn.options_outside import ObserveOptions

MOST_REQUESTS: Final = 16
"""Requests answered at once; one more is closed unanswered."""
PATIENCE_S: Final = 5.0
"""How long a client may take to ask, and again to take the answer."""

log = logging.getLogger(__name__)


class Server:
    """Serves a board over HTTP until it is closed; see `start_http`."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        host, port = server.server_address[:2]
        self.address = f"{_bracketed(str(host))}:{port}"
        """HOST:PORT, with the port that was given where 0 was asked for."""
        self._thread = threading.Thread(
            target=server.serve_forever, name="http", kwargs={"poll_interval": 0.5}, daemon=True
        )
        self._thread.start()
        log.info("metrics page", extra={"address": self.address})

    def close(self) -> None:
        """Stop; requests under way are cut off and no thread is left. Again is harmless."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def start_http(
    bind: str, board: Board, readiness: Callable[[], str], access: Access | None = None
) -> Server:
    """Serve /metrics, /livez, /readyz and a page to look at.

    Parameters
    ----------
    bind
        HOST:PORT; `[::1]:9464` for IPv6, port 0 for a free one.
    board
        Where the figures are; its `ready` follows `readiness` from now on.
    readiness
        Why the daemon is not ready ("compiling", "recovering", "draining"); "" when it is.
    access
        Who may look; None: everybody, in plain HTTP.

    Raises
    ------
    StartError
        The address is taken, not this machine's, or no address.

    """
    board.supply("ready", lambda: float(not readiness()))
    access = access or Access(ObserveOptions(), log.debug)
    site = Site(board, readiness, access)
    try:
        host, port = _parsed(bind)
        return Server(_Server(host, port, site, access))
    except (OSError, ValueError, OverflowError) as error:
        raise StartError(
            f"observe.bind: {bind}: {getattr(error, 'strerror', None) or error}: stop what listens "
            'there, give another HOST:PORT, or "" for none'
        ) from error


def _parsed(bind: str) -> tuple[str, int]:
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("not HOST:PORT")
    return host.strip("[]"), int(port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Server(WSGIServer):
    """A WSGI server with a bounded number of threads, all of which end with it."""

    request_queue_size = 64
    """Waiting to be accepted; with the library's 5, a burst made the health check wait seconds."""

    def __init__(self, host: str, port: int, application: WSGIApplication, access: Access) -> None:
        self._access = access
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._slots = threading.BoundedSemaphore(MOST_REQUESTS)
        self._running: dict[threading.Thread, socket.socket] = {}
        self._guard = threading.Lock()
        super().__init__((host, port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as the standard library would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread of its own, if one is free."""
        if not self._slots.acquire(blocking=False):
            log.warning("too many requests at once: one was closed", extra={"limit": "http"})
            self.shutdown_request(request)
            return
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="http-request", daemon=True
        )
        with self._guard:
            self._running[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            request = self._access.wrapped(request)
            with self._guard:
                self._running[threading.current_thread()] = request
            if self._access.shake_hands(request, PATIENCE_S):
                self.finish_request(request, client_address)
        except OSError as error:
            log.debug("%s: %s", client_address[0], error)
        except Exception:
            log.exception("a request could not be read", extra={"limit": "http request"})
        finally:
            self.shutdown_request(request)
            with self._guard:
                del self._running[threading.current_thread()]
            self._slots.release()

    def server_close(self) -> None:
        """Close the address, cut off who is connected, wait for every thread."""
        super().server_close()
        with self._guard:
            running = dict(self._running)
        for thread, request in running.items():
            with suppress(OSError):  # it has just ended by itself
                request.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


class _Handler(WSGIRequestHandler):
    """One request within a bounded time."""

    def setup(self) -> None:
        """Read through a deadline over the whole request, not one over each byte."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Until(self.connection, time.monotonic() + PATIENCE_S))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keep the log for what matters; who scrapes is no event."""
        log.debug("%s", format % args)

    def get_stderr(self) -> io.StringIO:
        """Nowhere: the site logs its own errors, and a client that hangs up is none."""
        return io.StringIO()


class _Until(io.RawIOBase):
    """A socket's bytes until a moment; then it is a TimeoutError."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, or wait for it until the deadline."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it took too long to ask")
        self._connection.settimeout(left_s)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(PATIENCE_S)
