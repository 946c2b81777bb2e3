"""The HTTP address: right answers, and no client can hold it up."""

import contextlib
import gzip
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observe.helpers import ask, board, get, served

from streamlearn.errors import StartError
from streamlearn.observe import http
from streamlearn.observe.http import Server, start_http


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve a board that is ready."""
    with served() as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status", "kind", "text"),
    [
        ("/metrics", 200, "text/plain", "streamlearn_ready 1.0"),
        ("/livez", 200, "text/plain", "alive"),
        ("/readyz", 200, "text/plain", "ready"),
        ("/", 200, "text/html", "<title>streamlearn</title>"),
        ("/nothing", 404, "text/plain", "/metrics"),
        ("/metrics/more", 404, "text/plain", "/readyz"),
        ("/livez?now=1", 200, "text/plain", "alive"),
    ],
)
def test_paths(server: Server, path: str, status: int, kind: str, text: str) -> None:
    """Each path gives its answer; another one lists the paths; HEAD gives the same but the body."""
    got, headers, body = get(server, path)
    assert (got, headers["content-type"].split(";")[0]) == (status, kind)
    assert text in body
    assert int(headers["content-length"]) == len(body.encode())
    head = get(server, path, "HEAD")
    assert (head[0], head[2]) == (status, "")
    assert abs(int(head[1]["content-length"]) - len(body.encode())) < 100


@pytest.mark.parametrize("reason", ["compiling", "recovering", "draining"])
def test_not_ready(reason: str) -> None:
    """While it compiles, recovers or drains it is alive but not ready, and says why."""
    with served(reason=reason) as server:
        assert get(server, "/readyz")[::2] == (503, f"{reason}\n")
        assert get(server, "/livez")[0] == 200
        assert "streamlearn_ready 0.0" in get(server, "/metrics")[2]
        assert reason in get(server, "/")[2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_nothing_can_be_changed(server: Server, method: str) -> None:
    """The address only answers: every other method is refused."""
    assert get(server, "/", method)[0] == 405


def test_as_prometheus_asks(server: Server) -> None:
    """Compressed text in the format that the scraper accepts, and single names on request."""
    request = Request(f"http://{server.address}/metrics", headers={"Accept-Encoding": "gzip"})
    with urlopen(request) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert b"streamlearn_ready" in gzip.decompress(answer.read())
    one = get(server, "/metrics?name[]=streamlearn_kappa")[2]
    assert re.findall(r"^\w+", one, re.MULTILINE) == ["streamlearn_kappa"]


def test_port_taken(server: Server) -> None:
    """A taken port, a foreign address and nonsense are start errors: key, address, way out."""
    for bind in (server.address, "192.0.2.1:9464", "nonsense", "127.0.0.1:99999", "127.0.0.1:"):
        with pytest.raises(StartError, match=rf"observe\.bind: {re.escape(bind)}: .*give another"):
            start_http(bind, board(), str)


def test_ipv6() -> None:
    """An IPv6 address is written in brackets, as elsewhere."""
    try:
        server = start_http("[::1]:0", board(), str)
    except StartError:
        pytest.skip("no IPv6 here")
    with contextlib.closing(server):
        assert server.address.startswith("[::1]:")
        assert get(server, "/livez")[0] == 200


def test_a_mistake_behind_a_page_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """If a figure cannot be had, that page is a 500 and in the log; health is still answered."""
    shown = board()
    shown.supply("samples_received_total", lambda: 1 / 0)
    with served(shown) as server, caplog.at_level(logging.ERROR):
        assert get(server, "/metrics")[::2] == (500, "see the log\n")
        assert get(server, "/livez")[0] == 200
    assert "ZeroDivisionError" in caplog.text


def test_a_trickle_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a byte now and then is cut off after a time in all, not after a silence."""
    monkeypatch.setattr(http, "PATIENCE_S", 0.5)
    with served() as server:
        host, port = server.address.split(":")
        begin = time.monotonic()
        with socket.create_connection((host, int(port)), 10) as slow:
            slow.settimeout(0.05)
            with contextlib.suppress(OSError):  # the end of the connection
                while time.monotonic() - begin < 8:
                    slow.sendall(b"G")
                    with contextlib.suppress(TimeoutError):
                        if not slow.recv(1):
                            break
        assert 0.3 < time.monotonic() - begin < 5


def test_many_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent connections take a bounded number of threads; then health is answered again."""
    monkeypatch.setattr(http, "PATIENCE_S", 0.3)
    before = threading.active_count()
    with served() as server, contextlib.ExitStack() as held:
        host, port = server.address.split(":")
        for _ in range(3 * http.MOST_REQUESTS):
            held.enter_context(socket.create_connection((host, int(port)), 10))
        assert threading.active_count() <= before + http.MOST_REQUESTS + 1
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, LookupError):  # closed unanswered
                if get(server, "/livez")[0] == 200:
                    return
        pytest.fail("health was never answered again")


def test_close_leaves_no_thread() -> None:
    """Closing ends requests under way at once, every thread, and frees the port; twice is fine."""
    before = threading.active_count()
    server = start_http("127.0.0.1:0", board(), str)
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), 10) as silent:
        silent.sendall(b"GET / HT")
        deadline = time.monotonic() + 5
        while threading.active_count() < before + 2 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        begin = time.monotonic()
        server.close()
        assert time.monotonic() - begin < 2
        server.close()
    assert threading.active_count() == before
    start_http(server.address, board(), str).close()


def test_idle_costs_nothing(server: Server) -> None:
    """An address that nobody asks uses no processor time worth the name."""
    get(server, "/livez")
    begin, used = time.monotonic(), time.process_time()
    threading.Event().wait(1.0)
    assert (time.process_time() - used) / (time.monotonic() - begin) < 0.01


def test_noise_is_no_trouble() -> None:
    """Whatever bytes are sent, the server goes on answering and raises nothing."""
    with served() as server:

        @settings(max_examples=60, deadline=None)
        @given(
            st.binary(max_size=200)
            | st.binary(max_size=80).map(lambda b: b"GET /" + b + b" HTTP/1.1\r\n\r\n")
            | st.binary(max_size=80).map(lambda b: b"GET / HTTP/1.1\r\n" + b + b"\r\n\r\n")
        )
        def send(data: bytes) -> None:
            with contextlib.suppress(OSError):
                ask(server, data.decode("latin-1"))

        send()
        for long in ("GET /" + "a" * 100_000, "GET / HTTP/1.1\r\n" + "a: b\r\n" * 500):
            with contextlib.suppress(OSError):  # cut off before the end
                ask(server, f"{long}\r\n\r\n")
        assert get(server, "/livez")[0] == 200
