"""Sends one-row messages at fixed times, in a process of its own: the other end of `latency`.

Row i is due at start + i / rate, whatever became of the rows before it, so that a slow daemon
meets the load that it would meet in life. Writes `start` (seconds since 1970), then sends.
"""

import sys
import time

from streamlearn.bench.learners import rows
from streamlearn.client import Producer

_LEAD_S = 0.5
_NAP_S = 0.0005


def main(endpoint: str, name: str, rate_hz: float, seconds: float) -> None:
    """Send for `seconds`, `rate_hz` rows each second."""
    dataset = rows(name)
    with Producer(endpoint, timeout_s=60.0) as producer:
        start = time.time() + _LEAD_S
        sys.stdout.write(f"{start}\n")
        sys.stdout.flush()
        for i in range(int(rate_hz * seconds)):
            due = start + i / rate_hz
            while (early := due - time.time()) > 0:
                time.sleep(min(early, _NAP_S))
            producer.send(dataset.X[i % dataset.rows], t=due)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
