"""What a target of the fuzzer is, how its input is laid out, and what counts as a finding.

A target takes bytes. It returns where they decode, raises one of our own errors where they are
refused, and anything else is a finding: another exception, a warning, an exception that was only
logged, an encoding that does not decode to the same again.

Some decoders take several frames or files. Their input is all of them, each after its length in
four bytes, so that one of them can be changed without moving the others.
"""

import logging
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from streamlearn.errors import StreamlearnError

OURS: Final = "streamlearn"
MOST_FRAMES: Final = 8
_INTERESTING: Final = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff" * 8, b"\0" * 8, b"[", b'"', b"-1")


class Target(NamedTuple):
    """One decoder."""

    run: Callable[[bytes, Path], None]
    """Decodes bytes; the folder is empty but for what its earlier calls left there."""
    seeds: Callable[[Path], list[bytes]]
    """Inputs that decode, made by our own writers in a folder."""
    framed: bool = False
    """Whether the input is several frames."""
    most_bytes: int = 4096
    """Longest input that is made."""


class Finding(NamedTuple):
    """Something that must not happen."""

    kind: str
    """The exception's type."""
    place: str
    """The innermost function of ours that it passed through."""
    text: str

    @property
    def key(self) -> str:
        """Two findings of one key are one."""
        return f"{self.kind} in {self.place}"


def joined(frames: Sequence[bytes]) -> bytes:
    """Several frames as one input."""
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


def split(data: bytes) -> list[bytes]:
    """The frames of an input; the last one may be cut short. The reverse of `joined`."""
    frames = []
    while data and len(frames) < MOST_FRAMES:
        end = 4 + int.from_bytes(data[:4], "big")
        frames.append(data[4:end])
        data = data[end:]
    return frames


def several(data: bytes, count: int) -> list[bytes]:
    """Exactly so many frames; those that are missing are empty."""
    return [*split(data), *[b""] * count][:count]


def attempt(target: Target, data: bytes, folder: Path) -> Finding | None:
    """Run a target once; what it must not have done, or None."""
    with _logged() as raised:
        try:
            target.run(data, folder)
        except StreamlearnError:
            pass
        except Exception as error:  # noqa: BLE001  that is what is looked for
            raised.append(error)
    return _finding(raised[0]) if raised else None


@contextmanager
def _logged() -> Iterator[list[BaseException]]:
    """Collect exceptions that are logged instead of raised."""
    heard = _Heard()
    logger = logging.getLogger(OURS)
    logger.addHandler(heard)
    try:
        yield heard.raised
    finally:
        logger.removeHandler(heard)


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.raised: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.raised.append(record.exc_info[1])


def _finding(error: BaseException) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f"/{OURS}/" in f.filename and "site-packages" not in f.filename]
    inner = (own or frames)[-1]
    path = Path(inner.filename)
    place = f"{path.parent.name}/{path.name}:{inner.name}"
    return Finding(type(error).__name__, place, f"{error}"[:300])


def mutated(data: bytes, chance: random.Random, target: Target) -> bytes:
    """The input with one to four small changes; of several frames, in some of them."""
    frames = split(data) if target.framed else [data]
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(frames) or 1)
        frames = frames or [b""]
        frames[place] = _changed(frames[place], chance)
    if target.framed and chance.random() < 0.05:
        frames = chance.choice((frames[:-1], [*frames, b""], frames[::-1]))
    whole = joined(frames) if target.framed else frames[0]
    return whole[: target.most_bytes]


def _changed(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data) + 1)
    end = min(len(data), begin + chance.choice((0, 1, 1, 2, 4, 8, 64)))
    kind = chance.randrange(5)
    if kind == 0 and begin < len(data):
        return data[:begin] + bytes([data[begin] ^ 1 << chance.randrange(8)]) + data[begin + 1 :]
    if kind == 1:
        return data[:begin] + data[end:]
    if kind == 2:
        return data[:end] + data[begin:]
    new = chance.choice(_INTERESTING) if kind == 3 else chance.randbytes(end - begin + 1)
    return data[:begin] + new + data[end:]
