"""The process's signals: the first SIGTERM or SIGINT asks it to stop, the second ends it."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Final

_FORCED: Final = 130


def catch(stack: ExitStack, on_stop: Callable[[int], None], on_reload: Callable[[], None]) -> None:
    """Catch signals until the stack is left.

    Parameters
    ----------
    stack
        Puts back what was there before.
    on_stop
        Called with the number of the first SIGTERM or SIGINT, on the main thread.
    on_reload
        Called at SIGHUP.

    """
    signals = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        _ = frame
        signals += 1
        if signals > 1:
            os.write(2, b"second signal: ending at once, nothing saved\n")
            os._exit(_FORCED)
        on_stop(number)

    def reload(number: int, frame: FrameType | None) -> None:
        _ = number, frame
        on_reload()

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    for number, handler in handlers.items():
        stack.callback(signal.signal, number, signal.signal(number, handler))
