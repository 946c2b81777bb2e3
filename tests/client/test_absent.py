"""What a producer says of a daemon that it cannot reach, while it keeps its rows."""

import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from streamlearn.client import Producer
from streamlearn.errors import NoAnswerError


def test_who_ends_each_connection_is_there(tmp_path: Path) -> None:
    """Somebody who accepts and ends it at once is not told of as nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        over = threading.Event()

        def end_all() -> None:
            while not over.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        ends = threading.Thread(target=end_all, name="ends connections")
        ends.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        how = {"timeout_s": 1.5, "ack": True, "spool": tmp_path / "spool"}
        try:
            with (
                Producer(address, "digits", "camera", **how) as producer,
                pytest.raises(NoAnswerError, match=r"daemon ends our connection at once.*keys"),
            ):
                producer.send(np.zeros((1, 4), np.float32))
            assert "ends our connection" in producer.silence
        finally:
            over.set()
            ends.join()
    with (
        Producer(address, "digits", "camera", **how) as producer,
        pytest.raises(NoAnswerError, match="is not there"),
    ):
        producer.send(np.zeros((1, 4), np.float32))
