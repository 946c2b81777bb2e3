"""The errors of streamlearn: one tree, each with what the catcher should do.

::

    StreamlearnError            exit 1  it ran and failed: show the text, stop
    ├── UsageError              exit 2  the call is wrong: show the text, change the call
    │   ├── ArgumentError       exit 2  an argument is: the same, under the name the caller gave it
    │   └── ConfigError         exit 2  the file is wrong: one line an error, change the file
    ├── StartError              exit 3  port taken, state locked, folder read-only: mend, start
    ├── RejectedError           -       one message is refused: count it under its reason, go on
    ├── StateError              exit 1  what is on disk cannot be used: say which, keep it, stop
    │   ├── DamagedError        exit 1  a checksum fails: fall back to the checkpoint before
    │   ├── NoSpaceError        exit 1  the disk is full: wait, try again, take nothing in meanwhile
    │   └── ChangedError        exit 1  made under another configuration: refuse, say what differs
    ├── StageError              exit 1  a stage failed: our state may be wrong, stop without saving
    └── NoAnswerError           exit 1  the other side is silent: wait, or look whether it runs

Each text names the place (key path, frame, file), the value found and the way out.
"""

from collections.abc import Sequence
from typing import Final, Literal, get_args

Reason = Literal[
    "frames",
    "header",
    "version",
    "stream",
    "dtype",
    "shape",
    "length",
    "label",
    "seq",
    "nonfinite",
    "size",
    "auth",
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class StreamlearnError(Exception):
    """Any error that streamlearn raises on purpose; ends a command with `exit_code`."""

    exit_code = 1


class UsageError(StreamlearnError):
    """The call is wrong; the text says which argument and what it takes."""

    exit_code = 2


class ArgumentError(UsageError):
    """An argument is wrong; its name is apart, for a command line that has another word for it."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class ConfigError(UsageError):
    """The configuration is wrong; `lines` has one entry an error, each with its key's path."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class StartError(StreamlearnError):
    """The daemon cannot start here and now; what is on disk is as it was."""

    exit_code = 3


class RejectedError(StreamlearnError):
    """One message is refused under `reason`; the daemon counts it and goes on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StateError(StreamlearnError):
    """What the state folder holds cannot be used."""


class DamagedError(StateError):
    """A checkpoint's checksum, size or format is wrong; the one before may be good."""


class NoSpaceError(StateError):
    """The disk is full; nothing was written, and it may be tried again."""


class ChangedError(StateError):
    """A checkpoint was made under another configuration."""


class StageError(StreamlearnError):
    """A stage failed; the learner's state may be wrong, so nothing of it is saved."""


class NoAnswerError(StreamlearnError):
    """A daemon did not answer, or took no more rows, within the time given."""
