"""Compiles a learner's kernels in a process of its own, whose memory goes when it ends.

The compiler takes some 130 MiB that a process never gives back. A daemon that finds its kernels not
compiled yet has them compiled by a child, and then loads them like any later start.
"""

import hashlib
import logging
import platform
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numba
from llvmlite.binding import get_host_cpu_name

from streamlearn import live
from streamlearn.config import Config, parse
from streamlearn.instruments import build_board
from streamlearn.kernels.compile import HOME
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE

log = logging.getLogger(__name__)

_SMALL: Final = {"block_rows": 2, "threads": 1}

KEPT: Final = "kernels kept from an earlier start"
COMPILED: Final = "kernels compiled"
LEFT: Final = "kernels not compiled aside; the daemon compiles them itself, and takes more memory"


def ensure(config: Config) -> str:
    """Have the kernels compiled where they are not; returns `KEPT`, `COMPILED` or `LEFT`.

    A child that fails is no failure here: the daemon then compiles by itself, and says what fails.
    """
    mark = _mark(config)
    if mark is None:
        return LEFT
    if mark.exists():
        return KEPT
    done = subprocess.run(
        [sys.executable, "-m", "streamlearn.precompile"],
        input=msgspec.json.encode(config),
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        return LEFT
    with suppress(OSError):
        mark.touch()
    return COMPILED


def ensure_and_tell(config: Config) -> None:
    """The same, with a line in the log before and after: it may take minutes."""
    began = time.perf_counter()
    log.info("compiling kernels, unless they are kept from an earlier start")
    done = ensure(config)
    log.info(done, extra={"seconds": time.perf_counter() - began})


def _mark(config: Config) -> Path | None:
    """The file that says that these parts are compiled for this machine; None: nothing is kept."""
    if HOME is None:
        return None
    parts = {_choices(part) for name in CATALOGUE for part in getattr(config, name)}
    made_by = (sys.version, numba.__version__, platform.machine(), get_host_cpu_name())
    digest = hashlib.sha256(repr((sorted(parts, key=repr), made_by)).encode()).hexdigest()
    return HOME / f"compiled-{digest[:16]}"


def _choices(options: Any) -> tuple[tuple[str, Any], ...]:
    """What decides which kernels a part needs: every choice by word, and what is off at zero."""
    values: dict[str, Any] = msgspec.to_builtins(options)
    values.pop("name", None)
    words = {k: v for k, v in values.items() if isinstance(v, str | bool)}
    numbers = {k: v != 0 for k, v in values.items() if isinstance(v, int | float)}
    return tuple(sorted((numbers | words).items()))


def small(encoded: bytes) -> Learner:
    """A learner with the kernels of a configuration, given as JSON, and little else."""
    raw = live.given(msgspec.json.decode(encoded))
    raw["pipeline"] |= _SMALL
    return Learner(parse(raw, CATALOGUE))


def main() -> None:
    """Compile the kernels of the configuration, as JSON, on standard input."""
    learner = small(sys.stdin.buffer.read())
    learner.assemble()
    learner.warm()
    build_board(learner.config).latency.warm()


if __name__ == "__main__":
    main()
