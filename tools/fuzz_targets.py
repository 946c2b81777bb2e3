"""All targets of the fuzzer by name, and what was found in them before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fuzz_files
import fuzz_store
import fuzz_wire
from fuzz_input import Target

TARGETS: Final[dict[str, Target]] = fuzz_wire.TARGETS | fuzz_store.TARGETS | fuzz_files.TARGETS
FOUND: Final = Path(__file__).resolve().parent.parent / "tests" / "fuzz" / "found"
"""TARGET-WHAT.bin, an input that once made a finding."""


def found_before() -> Iterator[tuple[str, bytes]]:
    """(target, input) of every finding that was mended."""
    for path in sorted(FOUND.glob("*.bin")):
        yield path.name.partition("-")[0], path.read_bytes()
