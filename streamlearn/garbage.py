"""Python's garbage collection, kept away from what stays.

Compiled kernels and loaded modules are some hundred thousand objects that never go. Beside them
Python thinks it too early, for hours, to look for garbage among all objects: what waits for it, and
the free lists that only this empties, take up memory little by little. When it does look, no thread
can go on meanwhile.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ROUNDS: Final = 1
"""Collections of a generation before one of the next, instead of 10: a full one is cheap now.

Python still waits for a quarter more where what came after that is large.
"""


@contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage while modules are loaded, and not among what they brought after that."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle(*, anew: bool = False) -> None:
    """Collect garbage, and take all that is there now for something that stays.

    Parameters
    ----------
    anew
        Look among what was set aside before, too: something large of it has become garbage.

    """
    if anew:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(gc.get_threshold()[0], _ROUNDS, _ROUNDS)
    gc.collect()  # Python takes from this how much stays, and so when to look again
