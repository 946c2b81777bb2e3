"""A client's first contact: whether the daemon is there, and lets it in."""

from typing import Any, Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from streamlearn.errors import NoAnswerError

_REFUSED: Final = {
    zmq.Event.HANDSHAKE_FAILED_AUTH: "this client's key is not in its list of allowed clients, or "
    "has not this right",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "one side has keys and the other has none, or other ones; "
    "give those that its [security] asks for, by --keys DIR, in Python by keys=DIR",
}


REFUSALS: Final = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
"""Events of a monitor that say that the daemon refuses us."""


def refusal(event: int, endpoint: str) -> str:
    """Why the daemon refuses us, by an event of a monitor; "" where it does not."""
    whys = [why for kind, why in _REFUSED.items() if kind == event]
    return f"{endpoint}: the daemon refuses us: {whys[0]}" if whys else ""


class Handshake:
    """Hears of a socket's handshake; made before the socket connects.

    Parameters
    ----------
    socket
        The client's.
    endpoint
        Where the daemon is, for the error's text.

    """

    def __init__(self, socket: "zmq.Socket[bytes]", endpoint: str) -> None:
        self._socket, self._endpoint = socket, endpoint
        events = zmq.Event.HANDSHAKE_SUCCEEDED | REFUSALS
        self._monitor: zmq.Socket[bytes] | None = socket.get_monitor_socket(events)

    @property
    def over(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self._monitor is None

    def wait(self, timeout_ms: int) -> bool:
        """Wait until we are let in, -1: for ever; False where it takes longer.

        Raises
        ------
        NoAnswerError
            The daemon refuses us.

        """
        if self._monitor is None:
            return True
        if not self._monitor.poll(timeout_ms):
            return False
        event: Any = parse_monitor_message(self._monitor.recv_multipart())
        if why := refusal(event["event"], self._endpoint):
            raise NoAnswerError(why)
        self.stop()
        return True

    def stop(self) -> None:
        """Hear no more; before the socket is closed. Again is harmless."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None
