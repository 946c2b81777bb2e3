"""One target of the fuzzer under atheris, in a process with bounds; `tools/fuzz.py` starts it.

Findings do not end it: each kind is written down once, with its input, and the search goes on. What
takes too long or too much memory ends it, and libFuzzer writes that input down.
"""

import logging
import random
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import atheris
import msgspec

MEMORY_BYTES: Final = 512 << 20
"""Address space that decoding may take beside what the program itself has."""
INSTRUMENTED: Final = ("streamlearn", "tomllib", "wsgiref", "http", "zipfile", "email")
"""Whose branches guide the search; what is written in C is seen only by what it lets through."""


def main(name: str, out: Path, options: list[str]) -> None:
    """Fuzz a target.

    Parameters
    ----------
    name
        Its name.
    out
        Folder for the corpus and for findings.
    options
        libFuzzer's own.

    """
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from fuzz_input import attempt  # noqa: PLC0415  imported here to be seen
        from fuzz_targets import TARGETS  # noqa: PLC0415
    target = TARGETS[name]
    corpus = out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    logging.getLogger("streamlearn").propagate = False
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        place = Path(folder)
        for i, seed in enumerate(target.seeds(place)):
            (corpus / f"seed-{i}").write_bytes(seed)
            attempt(target, seed, place)  # loads what is loaded late
        warnings.simplefilter("error")
        more = {"custom_mutator": _one_frame} if target.framed else {}
        length = f"-max_len={target.most_bytes}"
        atheris.Setup(
            [sys.argv[0], length, *options, str(corpus)], _run(target, place, out), **more
        )
        bounded()
        atheris.Fuzz()


def _fast() -> str | None:
    """A folder in memory, where there is one: a decoder that writes should not wait for a disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def bounded() -> None:
    """Let the system refuse memory beyond `MEMORY_BYTES` more than there is now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _run(target: Any, folder: Path, out: Path) -> Callable[[bytes], None]:
    from fuzz_input import attempt  # noqa: PLC0415

    known: set[str] = set()

    def one(data: bytes) -> None:
        found = attempt(target, data, folder)
        if found is not None and found.key not in known:
            known.add(found.key)
            path = out / f"finding-{len(known)}-{found.kind}"
            path.write_bytes(data)
            path.with_suffix(".json").write_bytes(msgspec.json.encode(found._asdict()))

    return one


def _one_frame(data: bytes, most: int, seed: int) -> bytes:
    """Change one frame, and its length with it; now and then how many there are."""
    from fuzz_input import joined, split  # noqa: PLC0415

    chance = random.Random(seed)  # noqa: S311  no secret
    frames = split(data) or [b""]
    place = chance.randrange(len(frames))
    kind = chance.randrange(20)
    if kind == 0:
        frames.insert(place, frames[place])
    elif kind == 1:
        del frames[place]
    else:
        room = max(1, most - len(data) + len(frames[place]))
        frames[place] = bytes(atheris.Mutate(frames[place], room))
    return joined(frames)[:most]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
