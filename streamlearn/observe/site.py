"""What each path of the daemon's HTTP address answers; a WSGI application, no sockets."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import make_wsgi_app

from streamlearn.observe.access import Access
from streamlearn.observe.board import Board
from streamlearn.observe.collector import registry
from streamlearn.observe.page import Page

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers, body."""

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", _POLICY),
]
_PATHS: Final = """\
/         figures to look at
/metrics  figures for Prometheus
/livez    200 while the process answers
/readyz   200 while it learns, else 503 and why not
"""

log = logging.getLogger(__name__)


class Site:
    """The answers to all paths.

    Parameters
    ----------
    board
        Where the figures are.
    readiness
        Why the daemon is not ready, in a few words; "" when it is.
    access
        Who may look.

    """

    def __init__(self, board: Board, readiness: Callable[[], str], access: Access) -> None:
        self._readiness, self._access = readiness, access
        self._metrics = cast("WSGIApplication", make_wsgi_app(registry(board)))
        self._page = Page(board)
        self._paths: dict[str, Callable[[], Answer]] = {
            "/": self._look,
            "/livez": self._live,
            "/readyz": self._ready,
        }

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path, method = environ.get("PATH_INFO", "/"), environ["REQUEST_METHOD"]
        try:
            status, headers, body = self._answer(path, method, environ)
        except Exception:
            log.exception("%s could not be answered", path, extra={"limit": f"http {path}"})
            status, headers, body = _text("500 Internal Server Error", "see the log\n")
        start(status, [*headers, ("Content-Length", str(len(body))), *_HEADERS])
        return [b"" if method == "HEAD" else body]

    def _answer(self, path: str, method: str, environ: WSGIEnvironment) -> Answer:
        if method not in ("GET", "HEAD"):
            return _text("405 Method Not Allowed", "GET or HEAD\n")
        if not self._access.may(path, environ.get("HTTP_AUTHORIZATION", "")):
            status, headers, body = _text("401 Unauthorized", "give the token\n")
            return status, [*headers, ("WWW-Authenticate", 'Basic realm="streamlearn"')], body
        if path == "/metrics":
            return self._scrape(environ)
        known = self._paths.get(path)
        return known() if known else _text("404 Not Found", _PATHS)

    def _scrape(self, environ: WSGIEnvironment) -> Answer:
        started: list[Any] = []

        def start(*status_and_headers: Any) -> Callable[[bytes], None]:
            started.extend(status_and_headers)
            return lambda _: None

        body = b"".join(self._metrics({**environ, "REQUEST_METHOD": "GET"}, start))
        return started[0], started[1], body

    def _look(self) -> Answer:
        return _text("200 OK", self._page.render(self._readiness()), "text/html")

    def _live(self) -> Answer:
        return _text("200 OK", "alive\n")

    def _ready(self) -> Answer:
        if reason := self._readiness():
            return _text("503 Service Unavailable", f"{reason}\n")
        return _text("200 OK", "ready\n")


def _text(status: str, text: str, kind: str = "text/plain") -> Answer:
    return status, [("Content-Type", f"{kind}; charset=utf-8")], text.encode()
