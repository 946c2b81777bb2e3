"""What tests do with keys: make them, speak to a guarded port as an intruder would."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamlearn.wire.allowed import Right
from streamlearn.wire.keygen import ALLOWED, make_keys
from streamlearn.wire.keys import PUBLIC, SECRET, SERVER, ClientKeys, KeyPair, read_public

PATIENCE_S = 30.0


class Keyring:
    """A folder of keys as `keygen` makes it."""

    def __init__(self, folder: Path, **clients: tuple[Right, ...]) -> None:
        self.folder = folder
        make_keys(folder, list(clients.items()))

    @property
    def settings(self) -> tuple[str, str]:
        """What makes a daemon use them."""
        server = self.folder / f"{SERVER}{SECRET}"
        return f"security.server_key={server}", f"security.allowed={self.folder / ALLOWED}"

    def of(self, name: str) -> Path:
        """The folder of a client's keys."""
        return self.folder / "clients" / name

    def file(self, name: str) -> Path:
        """A client's place in the list."""
        return self.folder / ALLOWED / f"{name}.toml"

    def add(self, name: str, *rights: Right) -> Path:
        """One client more."""
        make_keys(self.folder, [(name, rights)])
        return self.of(name)

    def revoke(self, name: str) -> None:
        """Take a client off the list; its keys stay where they are."""
        self.file(name).unlink()

    def stranger(self) -> ClientKeys:
        """A good pair of keys, and the daemon's public one, but in no list."""
        return ClientKeys(KeyPair.new(), read_public(self.folder / f"{SERVER}{PUBLIC}"))


class Recorder:
    """A TCP relay that keeps what the client said."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.said = bytearray()
        self._thread = threading.Thread(target=self._serve, name="recorder")
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            with client, socket.create_connection(("127.0.0.1", self._port)) as server:
                back = threading.Thread(target=_pump, args=(server, client, bytearray()))
                back.start()
                _pump(client, server, self.said)
                back.join()

    def close(self) -> None:
        """Wait until the client has gone."""
        self._thread.join(PATIENCE_S)
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def recorded(port: int) -> Iterator[Recorder]:
    """Relay one connection to a port, and keep what the client said."""
    recorder = Recorder(port)
    try:
        yield recorder
    finally:
        recorder.close()


def say(port: int, data: bytes, timeout_s: float = PATIENCE_S) -> bytes:
    """Send bytes to a port; what it said until it hung up."""
    heard = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout_s) as one, suppress(OSError):
        one.sendall(data)
        while more := one.recv(65536):
            heard += more
    return bytes(heard)
