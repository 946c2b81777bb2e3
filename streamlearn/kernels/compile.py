"""How every kernel is compiled, and where the compiled code is kept between starts.

A kernel takes arrays and scalars, writes into arrays that it is given, allocates nothing and raises
nothing, so that it could be exported and run without the compiler.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numba.core.config
import numpy as np
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher

F = TypeVar("F", bound=Callable[..., Any])

FASTMATH: Final = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Sums may be reordered and vectorised; NaN and infinity keep their meaning, so guards hold."""


_OPTIONS: Final[dict[str, Any]] = {
    "nogil": True,
    "fastmath": FASTMATH,
    "error_model": "numpy",
    "_nrt": False,
}
"""Without numba's runtime nothing counts references, which costs a small layer most of its time,
and a kernel that would allocate does not compile. With numpy's errors a division looks for no zero,
so loops that divide are vectorised, too; whoever divides sees to it that there is none."""


_NO_WRAPPERS: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _source_digest() -> str:
    """Names the code that kernels are made of.

    numba looks only at the file of the kernel itself; a helper that it took in from another file
    may have changed since, so all of them choose the folder.
    """
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for room in ("kernels", "rules", "heads", "prepare", "prequential"):
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_home() -> Path | None:
    """Where compiled kernels are kept: `$NUMBA_CACHE_DIR`, the user's cache, or a temporary folder.

    A cache that can be read but not written (a read-only root) is copied to the temporary folder,
    so that a warm start stays warm. None where nothing can be written: then nothing is kept.
    """
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(user_cache) / "streamlearn" / "numba")
    wanted = home / _source_digest()
    if _writable(wanted):
        return wanted
    spare = Path(tempfile.gettempdir()) / f"streamlearn-{os.getuid()}" / wanted.name
    if not _writable(spare):
        return None
    if wanted.is_dir():
        shutil.copytree(wanted, spare, dirs_exist_ok=True)
    return spare


HOME: Final = cache_home()
"""Where compiled kernels are kept; None where nothing can be written."""

if HOME is not None:
    vars(numba.core.config)["CACHE_DIR"] = str(HOME)


class Helper(CPUDispatcher):
    """A dispatcher without the compiled way in from Python, so such a call must not reach it."""

    def __call__(self, *arguments: Any) -> Any:
        """Run the plain function."""
        with np.errstate(over="ignore"):  # compiled words wrap around without a word
            return self.py_func(*arguments)


class _Apart(Compiler):
    """Tells the optimiser that no array is written which overlaps another one of the same call.

    Else it would look when the code runs, and take plain loops where arrays lie within a few
    hundred bytes of each other. Those round differently, so a layer of a few units would now and
    then differ in the last bit from its like in another process.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)  # type: ignore[no-untyped-call]
        self.state.flags.noalias = True


def kernel(function: F) -> F:
    """Compile on first call, without the interpreter lock, and keep the code for the next start.

    Of arrays that overlap, a kernel or a helper may write none, or look at one only; a test holds
    it.
    """
    compile_it: Any = numba.njit(cache=HOME is not None, pipeline_class=_Apart, **_OPTIONS)
    return cast("F", compile_it(function))


def inlined(function: F) -> F:
    """Compile a helper that kernels take in whole, so that splitting a kernel costs nothing.

    Called from Python it is the plain function, uncompiled: leaving that way in out makes kernels
    compile in two thirds of the time.

    A kernel never calls another kernel: compiled apart, the copy that the first process runs and
    the copy that later processes load may round differently. A test holds it.
    """
    options = {"nopython": True, "forceinline": True, **_OPTIONS, **_NO_WRAPPERS}
    return cast("F", Helper(py_func=function, targetoptions=options, pipeline_class=_Apart))
