"""Which settings can change while the daemon runs, and what a change needs."""

import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamlearn.config import Config, load, parse
from streamlearn.errors import ConfigError, UsageError
from streamlearn.plan import CATALOGUE
from streamlearn.schema import Section, describe, nearest

log = logging.getLogger(__name__)


def reread(
    path: Path, settings: Sequence[str], config: Config, grow: Callable[[Config], Config]
) -> list[tuple[str, Any]]:
    """Read the file again: what changes live, as (key, value); what cannot is logged.

    `grow` puts on what was added to the file's configuration while the daemon ran.
    """
    try:
        wanted = grow(load(path, CATALOGUE, settings))
    except (ConfigError, UsageError) as error:
        log.error("not reloaded", extra={"error": str(error)})  # noqa: TRY400  text says all
        return []
    keys = differences(config, wanted)
    can = [key for key in keys if key in live_keys()]
    for key in keys:
        if key not in can:
            log.warning("not changed: restart to change it", extra={"key": key})
    log.info("reloaded", extra={"file": str(path), "differences": len(keys)})
    return [(key, operator.attrgetter(key)(wanted)) for key in can]


def live_keys() -> list[str]:
    """Paths of the settings that can change live, as their struct fields say."""
    sections = [(f.name, f.type) for f in msgspec.structs.fields(Config)]
    return [
        f"{name}.{field.name}"
        for name, kind in sections
        if isinstance(kind, type) and issubclass(kind, Section)
        for field in describe(kind)
        if field.live
    ]


def differences(old: Config, new: Config) -> list[str]:
    """Paths of all settings that differ between two configurations."""
    return list(_differences("", msgspec.to_builtins(old), msgspec.to_builtins(new)))


def _differences(path: str, old: Any, new: Any) -> Sequence[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in _differences(f"{path}.{key}" if path else key, old.get(key), new.get(key))
        ]
    return [] if old == new else [path]


def changed(config: Config, key: str, value: Any) -> Config:
    """The configuration with one live setting changed.

    Raises
    ------
    UsageError
        Where the key cannot change live, or the value is out of its range.

    """
    keys = live_keys()
    if key not in keys:
        hint = nearest(key, keys)
        raise UsageError(f"{key}: cannot change while running{hint}; live: {', '.join(keys)}")
    raw: dict[str, Any] = msgspec.to_builtins(config)
    section, _, name = key.partition(".")
    raw[section][name] = value
    return parse(given(raw), CATALOGUE, "set")


def given(value: Any) -> Any:
    """Leave out what TOML has no word for, as it stands for "not set"."""
    if isinstance(value, Mapping):
        return {key: given(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [given(item) for item in value]
    return value
