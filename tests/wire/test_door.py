"""What a client is held to, message by message, and what it costs the others: nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from keyring import PATIENCE_S, Keyring

from streamlearn.client import Producer
from streamlearn.errors import RejectedError
from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.door import Door
from streamlearn.wire.gate import Gate

Room = tuple[Keyring, Gate, "zmq.Socket[bytes]", str]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """Open a guarded PULL socket with a client."""
    keys = Keyring(tmp_path / "keys", cam0=("producer",))
    server_key, allowed = (text.partition("=")[2] for text in keys.settings)
    gate = Gate(SecurityOptions(server_key=server_key, allowed=allowed))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    gate.open(context)
    socket = context.socket(zmq.PULL)
    gate.guard(socket, "producer")
    socket.bind("tcp://127.0.0.1:0")
    yield keys, gate, socket, socket.last_endpoint.rstrip(b"\0").decode()
    socket.close(linger=0)
    gate.close()
    context.term()


def opened(room: Room, more: str) -> Door:
    """A door before which a message of the client stands, whose file says more."""
    keys, gate, socket, endpoint = room
    file = keys.file("cam0")
    file.write_text(f"{file.read_text('utf-8')}{more}\n", "utf-8")
    gate.reload()
    assert gate.allowed is not None
    assert not gate.allowed.errors
    with Producer(endpoint, timeout_s=PATIENCE_S, keys=keys.of("cam0")) as producer:
        producer.send([1.0])
        assert socket.poll(PATIENCE_S * 1000)
        frame, *_ = socket.recv_multipart(copy=False)
    door = Door(gate)
    door.see(frame)
    return door


def test_streams_of_its_own(room: Room) -> None:
    """Only the streams that it is allowed are admitted, and no bytes make it crash."""
    door = opened(room, 'streams = ["cam0", "lab/*"]')
    for stream in (b"cam0", b"lab/1", b"lab/"):
        door.admit(stream)
    for stream in (b"cam1", b"lab", b"", b"\xff\xfe", b"x" * 100_000):
        with pytest.raises(RejectedError, match=r"auth: client cam0 may not send"):
            door.admit(stream)


def test_so_many_streams(room: Room) -> None:
    """One stream or producer too many is refused, those that are known go on."""
    door = opened(room, "max_streams = 2")
    for _ in range(3):
        door.count("a", "")
        door.count("a", "p")
        with pytest.raises(RejectedError, match=r"stream: .*max_streams = 2"):
            door.count("b", "")


def test_so_many_rows_a_second(room: Room) -> None:
    """A burst of a second goes through, then what the rate allows; a large message once."""
    door = opened(room, "max_rows_per_s = 50")
    began = time.monotonic()
    passed = sum(door.affords(1) for _ in range(200))
    spent_s = time.monotonic() - began
    assert 50 <= passed <= 50 * (1 + spent_s) + 1
    large = opened(room, "")
    assert large.affords(1000)
    assert not large.affords(1)


def test_without_limits_nothing_is_counted(room: Room) -> None:
    """A file that says no more than its rights holds the client to nothing."""
    door = opened(room, "")
    assert all(door.affords(100_000) for _ in range(1000))
    for i in range(1000):
        door.count(f"s{i}", "")
        door.admit(f"s{i}".encode())


def test_a_changed_file_holds_at_once(room: Room) -> None:
    """What an open connection may do follows the list: another right, no place in it at all."""
    keys, gate, _, _ = room
    door = opened(room, "")
    frame = door_frame(room)
    for change, why in (('rights = ["control"]', "no longer a producer"), ("", "no longer")):
        file = keys.file("cam0")
        text = file.read_text("utf-8").replace('rights = ["producer"]', change)
        file.write_text(text, "utf-8") if change else file.unlink()
        gate.reload()
        door.see(frame)
        with pytest.raises(RejectedError, match=rf"auth: .*{why}"):
            door.admit(b"s")


def door_frame(room: Room) -> zmq.Frame:
    """A frame that the client sent while it was allowed."""
    keys, _, socket, endpoint = room
    with Producer(endpoint, timeout_s=PATIENCE_S, keys=keys.of("cam0")) as producer:
        producer.send([1.0])
        assert socket.poll(PATIENCE_S * 1000)
        return socket.recv_multipart(copy=False)[0]
