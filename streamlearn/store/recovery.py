"""Which checkpoint a daemon goes on from: the newest that is whole, if it is of this configuration.

Pure: no files are touched here; what reads a checkpoint is handed in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from streamlearn.errors import ChangedError, DamagedError, StateError

_NOT_SET: Final = object()


T = TypeVar("T")


def newest_whole(
    names: Sequence[str], read: Callable[[str], T]
) -> tuple[str, T, tuple[str, ...]] | None:
    """Read checkpoints, newest first, until one is whole.

    Parameters
    ----------
    names
        The checkpoints there are, newest first.
    read
        Reads one by name; raises `DamagedError` where it is not what was written.

    Returns
    -------
    tuple or None
        The name, what it holds, and one line for each damaged one that was passed over;
        None where there is none at all.

    Raises
    ------
    StateError
        There are checkpoints, but none is whole: learning anew would hide the loss.

    """
    notes: list[str] = []
    for name in names:
        try:
            return name, read(name), tuple(notes)
        except DamagedError as error:
            notes.append(str(error))
    if notes:
        raise StateError(
            f"none of the {len(notes)} checkpoints is whole:\n  "
            + "\n  ".join(notes)
            + "\nput back a copy of one, or move the folder away to learn anew"
        )
    return None


def refuse_changed(place: str, saved: Mapping[str, Any], configured: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another learner.

    Raises
    ------
    ChangedError
        With one line for each key that differs, and both values.

    """
    if lines := differences(saved, configured):
        raise ChangedError(
            f"{place} was made under another configuration:\n  "
            + "\n  ".join(lines)
            + "\nput these values back, or give this learner its own store.dir"
        )


def differences(saved: Mapping[str, Any], configured: Mapping[str, Any]) -> list[str]:
    """One line for each key that differs, by its path: `layer[0].units: saved 400, now 200`."""
    return [
        f"{path}: saved {_shown(was)}, now {_shown(now)}"
        for path, was, now in _pairs("", dict(saved), dict(configured))
    ]


def _pairs(path: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Walk both trees side by side down to the values that differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*was, *(key for key in now if key not in was)]:
            inner = f"{path}.{key}" if path else str(key)
            yield from _pairs(inner, was.get(key, _NOT_SET), now.get(key, _NOT_SET))
    elif _tables(was) and _tables(now):
        for i in range(max(len(was), len(now))):
            pair = (values[i] if i < len(values) else _NOT_SET for values in (was, now))
            yield from _pairs(f"{path}[{i}]", *pair)
    elif _plain(was) != _plain(now):
        yield path, was, now


def _tables(value: Any) -> bool:
    """Whether it is a list of tables, such as `[[layer]]`; lists of numbers are compared whole."""
    return isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value)


def _plain(value: Any) -> Any:
    """Lists for tuples, and 1 apart from True."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return (isinstance(value, bool), value)


def _shown(value: Any) -> str:
    return "not set" if value is _NOT_SET else repr(value)
