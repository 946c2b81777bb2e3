"""Starts the program with failpoints armed: `armed.py POINT:COUNT … run FILE`.

At the COUNT-th time that a point is reached, the process is killed as by `kill -9`.
"""

import os
import signal
import sys

from streamlearn import failpoints


def _dies_at(count: int) -> object:
    left = count

    def act() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def arm(specs: list[str]) -> None:
    """Arm the points that are given as POINT:COUNT."""
    for spec in specs:
        point, _, count = spec.partition(":")
        if point not in failpoints.POINTS:
            raise SystemExit(f"{point}: no such failpoint")
        failpoints.armed[point] = _dies_at(int(count or 1))  # type: ignore[assignment]


if __name__ == "__main__":
    begin = sys.argv.index("run")
    arm(sys.argv[1:begin])
    from streamlearn.cli import main

    main(sys.argv[begin:])
