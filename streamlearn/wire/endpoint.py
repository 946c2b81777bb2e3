"""Binding sockets, with an answer to "why not" that a person can act on."""

import errno
import socket as plain
from typing import Any, Final

import zmq

from streamlearn.errors import StartError

_WAY_OUT: Final = {
    errno.EADDRINUSE: "is taken by another process; stop that one, or choose another address",
    errno.EACCES: "is not allowed; choose a port above 1023, or a folder you may write to",
    errno.EADDRNOTAVAIL: "is no address of this machine; choose 127.0.0.1 or one of its own",
    errno.ENODEV: "is no address of this machine; choose 127.0.0.1 or one of its own",
    errno.ENOENT: "lies in a folder that does not exist; make the folder",
    errno.ENAMETOOLONG: "is too long for a socket's path; choose a shorter one",
}


def bind(socket: zmq.Socket[bytes], key: str, address: str) -> str:
    """Bind a socket.

    Parameters
    ----------
    socket
        Not yet bound.
    key
        The configuration's key that holds the address, for the error's text.
    address
        `tcp://HOST:PORT` (port 0: any free one), `ipc://PATH`.

    Returns
    -------
    str
        The address as bound, with the real port.

    Raises
    ------
    StartError
        Naming key, address and way out.

    """
    try:
        _refuse_wrong_port(address)
        _refuse_live_path(address)
        socket.bind(address)
    except (zmq.ZMQError, OSError) as error:
        code = error.errno or 0
        way_out = _WAY_OUT.get(code, f"cannot be bound: {zmq.strerror(code)}; give tcp://HOST:PORT")
        raise StartError(f"{key}: {address} {way_out} (--set {key}=…)") from None
    last: Any = socket.getsockopt(zmq.LAST_ENDPOINT)
    return str(last.rstrip(b"\0").decode())


def _refuse_wrong_port(address: str) -> None:
    """A port beyond the last one would be taken modulo 65536."""
    port = address.rpartition(":")[2]
    if address.startswith("tcp://") and port.isdecimal() and int(port) > 65535:
        raise OSError(errno.EINVAL, "Invalid argument")


def _refuse_live_path(address: str) -> None:
    """Binding ipc would take the path away from a process that listens there; look first."""
    path = address.removeprefix("ipc://")
    if path == address or path.startswith("@"):
        return
    with plain.socket(plain.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return  # nobody there, or no such path: binding will tell
    raise OSError(errno.EADDRINUSE, "Address already in use")
