"""Python's garbage collection, kept away from what stays.

Compiled kernels and loaded modules are some hundred thousand objects that never go. Beside them
Python thinks it too early, for hours, to look for garbage among all objects: what waits for it, and
the free lists that only this empties, take up memory little by little.
"""

import gc


def settle() -> None:
    """Collect garbage, and take all that is there now for something that stays.

    What was set aside before and has become garbage since goes, too.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.collect()  # Python takes from this how much stays, and so when to look again
