"""A checkpoint is a row number: each stage copies its state when its cursor reaches it."""

import threading

from streamlearn.part import Arrays


class Barrier:
    """Copies of every stage's state at one row number, gathered while the stream goes on.

    Parameters
    ----------
    position
        The row number; no stage may have passed it yet.
    stages
        How many stages there are.

    """

    def __init__(self, position: int, stages: int) -> None:
        self.position = position
        self._copies: list[Arrays | None] = [None] * stages
        self._whole = threading.Event()

    def waits_for(self, stage: int) -> bool:
        """Whether this stage has not given its copy yet."""
        return self._copies[stage] is None

    def give(self, stage: int, arrays: Arrays) -> None:
        """Copy one stage's arrays; called by the stage's own thread, between two blocks."""
        self._copies[stage] = {name: array.copy() for name, array in arrays.items()}
        if all(copy is not None for copy in self._copies):
            self._whole.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until every stage has given its copy; False where the time ran out."""
        return self._whole.wait(timeout_s)

    def arrays(self) -> Arrays:
        """All copies together, by name."""
        return {name: a for copy in self._copies if copy for name, a in copy.items()}
