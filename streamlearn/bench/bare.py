"""A PULL socket that throws away what it gets: how fast this machine's sockets are by themselves.

`python -m streamlearn.bench.bare ENDPOINT MESSAGES` prints the seconds from the first message to
the last.
"""

import subprocess
import sys
import time

import zmq

from streamlearn.bench.load import Feed
from streamlearn.bench.process import LOOPBACK, free_ports
from streamlearn.data.dataset import Dataset

_QUEUE_MESSAGES = 64


def bare_hz(dataset: Dataset, total: int, rows_per_message: int) -> float:
    """Rows a second from the same sender into a process that does nothing with them."""
    endpoint = f"tcp://{LOOPBACK}:{free_ports(1)[0]}"
    messages = total // rows_per_message
    command = [sys.executable, "-m", __name__, endpoint, str(messages)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver,  # noqa: S603  our own
        Feed(endpoint, dataset, rows_per_message, total),
    ):
        said, _ = receiver.communicate()
    return (messages - 1) * rows_per_message / float(said)


def main() -> None:
    """Receive and forget."""
    endpoint, messages = sys.argv[1], int(sys.argv[2])
    context = zmq.Context()
    with context, context.socket(zmq.PULL) as socket:
        socket.rcvhwm = _QUEUE_MESSAGES
        socket.bind(endpoint)
        socket.recv_multipart()
        began = time.perf_counter()
        for _ in range(messages - 1):
            socket.recv_multipart()
        sys.stdout.write(f"{time.perf_counter() - began}\n")


if __name__ == "__main__":
    main()
