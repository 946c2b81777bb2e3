"""Options that mean something only beside others: a table for each rule, a line for each idle one.

What is left at its default is never refused, so whoever leaves a key out is told nothing about it.
Switches that turn learning off (`frozen`, a rate of 0) leave all else as it is: they are there for
comparing, key for key, with a layer that learns.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec


class Need(NamedTuple):
    """What must hold of the other options."""

    keys: tuple[str, ...]
    """The options that it asks about."""
    wanted: str
    """What it asks for, as it would stand in the file."""
    met: Callable[[Any], bool]
    """Whether options have it."""


class Only(NamedTuple):
    """Options that mean something only where the need is met."""

    names: tuple[str, ...]
    need: Need


Table = tuple[Only, ...]
"""An option that stands in several rows needs all of them; the first that is not met is told."""


def only(*names: str, beside: Need) -> Only:
    """One row of a table."""
    return Only(names, beside)


def among(key: str, *values: Any) -> Need:
    """The option `key` has one of these values."""
    wanted = f"{key} = {' or '.join(map(_written, values))}"
    return Need((key,), wanted, lambda options: getattr(options, key) in values)


def above(key: str, bound: float) -> Need:
    """The option `key` is above a bound."""
    return Need((key,), f"{key} above {bound:g}", lambda options: getattr(options, key) > bound)


def below(key: str, bound: float) -> Need:
    """The option `key` is below a bound."""
    return Need((key,), f"{key} below {bound:g}", lambda options: getattr(options, key) < bound)


def either(*needs: Need) -> Need:
    """One of several needs is met."""
    return Need(
        tuple(key for need in needs for key in need.keys),
        ", or ".join(need.wanted for need in needs),
        lambda options: any(need.met(options) for need in needs),
    )


def idle(options: Any, table: Iterable[Only]) -> dict[str, str]:
    """Options that were set and mean nothing beside the others.

    Parameters
    ----------
    options
        The options of a layer.
    table
        Of its rule.

    Returns
    -------
    dict
        Name of the option → a line that names it, what it needs, what it found and the way out.

    """
    defaults = {one.name: one.default for one in msgspec.structs.fields(type(options))}
    lines: dict[str, str] = {}
    for names, need in table:
        if need.met(options):
            continue
        found = " and ".join(f"{key} = {_written(getattr(options, key))}" for key in need.keys)
        for name in names:
            value = getattr(options, name)
            if value != defaults[name]:
                line = (
                    f"{name}: expected {need.wanted} beside it, got {found}, under which {name} = "
                    f"{_written(value)} means nothing; change one of them"
                )
                lines.setdefault(name, line)
    return lines


def _written(value: Any) -> str:
    """A value as it stands in a file."""
    return msgspec.json.encode(value).decode()
