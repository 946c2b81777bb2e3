"""Orders for the main thread: left by any other, answered one after the other."""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from streamlearn.errors import NoAnswerError
from streamlearn.pipeline.threads import settle

Order = Callable[[], Any]


class Orders:
    """What the main thread is to do."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Order, Future[Any]]] = queue.SimpleQueue()
        self._ends = False

    def give(self, order: Order) -> "Future[Any]":
        """Leave an order; the future tells what it gave or raised."""
        answer: Future[Any] = Future()
        self._waiting.put((order, answer))
        if self._ends:
            self.refuse()
        return answer

    def carry_out(self, timeout_s: float) -> None:
        """Carry out the next order, if one comes within the time."""
        with suppress(queue.Empty):
            settle(*self._waiting.get(timeout=timeout_s))

    def refuse(self) -> None:
        """From now on nobody carries out orders: say so to everyone who waits."""
        self._ends = True
        while not self._waiting.empty():
            with suppress(queue.Empty):
                _, answer = self._waiting.get_nowait()
                answer.set_exception(NoAnswerError("the daemon is ending; start it again"))
