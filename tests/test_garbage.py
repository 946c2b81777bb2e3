"""Garbage: what stays does not keep what goes from being collected."""

import gc
import subprocess
import sys
import weakref

from streamlearn.garbage import settle

OLD_GARBAGE = """
import gc, sys
from collections import deque
from streamlearn import garbage

class Node:
    living = 0
    def __init__(self):
        self.own = self
        Node.living += 1
    def __del__(self):
        Node.living -= 1

stays = [[] for _ in range(400_000)]
gc.collect()
if sys.argv[1] == "settled":
    garbage.settle()
# Each outlives the young generations, and is garbage after that.
window, most = deque(maxlen=3_000), 0
for _ in range(300_000):
    window.append(Node())
    most = max(most, Node.living)
print(most)
"""


def most_living(how: str) -> int:
    """How many of 300,000 objects in cycles were alive at once; 3,000 of them are in use."""
    done = subprocess.run(
        [sys.executable, "-c", OLD_GARBAGE, how],
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    return int(done.stdout)


def test_old_garbage_goes_though_much_stays() -> None:
    """Beside 400,000 objects that stay, garbage is collected as if they were not there."""
    assert most_living("settled") < 10_000
    assert most_living("not settled") > 90_000


def test_what_was_set_aside_goes_once_it_is_garbage() -> None:
    """A learner that was replaced by one with a layer more is not kept for ever."""

    class Cycle:
        def __init__(self) -> None:
            self.own = self

    one = Cycle()
    alive = weakref.ref(one)
    thresholds = gc.get_threshold()
    try:
        settle(anew=True)
        assert gc.get_freeze_count() > 1000
        del one
        gc.collect()
        assert alive() is not None
        settle(anew=True)
        assert alive() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
