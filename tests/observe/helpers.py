"""Boards and requests for the tests of what the outside sees."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from streamlearn.observe.board import Board
from streamlearn.observe.http import Server, start_http

CLASSES = 3


def board(classes: int = CLASSES) -> Board:
    """Make the board of a small learner: two stages, a layer, two heads."""
    return Board(
        stages=["layer/layer1", "head/softmax"],
        layers={"layer1": ["dead_share"]},
        heads={"softmax": ["rate"], "least_squares": []},
        published="softmax",
        classes=classes,
        rules=["hebbian"],
    )


def report(**changed: Any) -> dict[str, Any]:
    """Make what `Figures.report` gives, by default of four rows."""
    figures: dict[str, Any] = {
        "rows": 5,
        "labelled": 4,
        "error": 0.25,
        "error_recent": 0.5,
        "log_loss": 0.75,
        "log_loss_recent": None,
        "kappa": 0.6,
        "confusion": [[2, 0, 0], [1, 1, 0], [0, 0, 0]],
        "precision": [2 / 3, 1.0, None],
        "recall": [1.0, 0.5, None],
    }
    for rule in ("majority", "repeat"):
        figures |= {f"{rule}_error": 0.5, f"{rule}_error_recent": 0.5}
    return {**figures, **changed}


@contextmanager
def served(shown: Board | None = None, reason: str = "") -> Iterator[Server]:
    """Serve a board on a free port until the block ends."""
    with closing(start_http("127.0.0.1:0", shown or board(), lambda: reason)) as server:
        yield server


def ask(server: Server, text: str, timeout_s: float = 10.0) -> bytes:
    """Send bytes as they are, and give everything that comes back until the end."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout_s) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def get(server: Server, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Make one request: status, headers, body."""
    answer = ask(server, f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), {k.lower(): v for k, v in headers.items()}, body.decode()
