"""The configuration: one TOML file, checked whole, read into frozen structs.

Every key is a field in `streamlearn.options`; `reference.toml`, the error lines and the docs are
made from these fields. Layers, heads and prepare steps bring their own options: the caller passes a
catalogue, so that this module knows none of them.

This is the only module that reads the configuration file and the environment.
"""

import hashlib
import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamlearn.errors import ConfigError, UsageError
from streamlearn.options import (
    Config,
    ControlOptions,
    HeadOptions,
    IngestOptions,
    LayerOptions,
    PublishOptions,
    StepOptions,
)
from streamlearn.schema import Catalogue, read_section

__all__ = [
    "Config",
    "ControlOptions",
    "Environment",
    "HeadOptions",
    "IngestOptions",
    "LayerOptions",
    "PublishOptions",
    "StepOptions",
    "config_hash",
    "environment",
    "learner_part",
    "load",
    "parse",
]


class Environment(NamedTuple):
    """What the environment says; see `environment`."""

    data: Path | None
    """`$STREAMLEARN_DATA`: folder with standard data sets."""
    cache: Path
    """Where downloads are kept: `$XDG_CACHE_HOME/streamlearn`, else `~/.cache/streamlearn`."""


def environment() -> Environment:
    """Read the environment; the only place that does, beside the compiler's cache folder."""
    data = os.environ.get("STREAMLEARN_DATA")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Environment(Path(data) if data else None, cache / "streamlearn")


def load(path: str | Path, catalogue: Catalogue, settings: Sequence[str] = ()) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    path
        The TOML file.
    catalogue
        Options structs by list and name; see `streamlearn.schema.Catalogue`.
    settings
        `a.b=v` overrides, as from `--set`; lists by number: `layer.0.units=100`.

    Raises
    ------
    ConfigError
        With one line an error: `FILE: layer[1].units: expected 1…65536, got -3`.

    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; name a TOML file"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start}: not UTF-8; save it as UTF-8"]) from None
    except (ValueError, RecursionError) as error:  # not TOML, a number too long, nested for ever
        raise ConfigError([f"{path}: not TOML: {error}"]) from None
    for setting in settings:
        _override(raw, setting)
    return parse(raw, catalogue, str(path))


def parse(raw: Mapping[str, Any], catalogue: Catalogue, origin: str = "configuration") -> Config:
    """Check a decoded configuration and freeze it; raises `ConfigError` like `load`."""
    errors: list[str] = []
    config = read_section(raw, Config, "", errors, catalogue)
    if config is not None:
        config = _named(config)
        errors += _cross_checks(config)
    if errors or config is None:
        raise ConfigError([f"{origin}: {line}" for line in errors])
    return config


def _named(config: Config) -> Config:
    """Fill in the names that were left out."""
    layers = [
        msgspec.structs.replace(layer, name=layer.name or f"layer{i + 1}")
        for i, layer in enumerate(config.layer)
    ]
    heads = [msgspec.structs.replace(head, name=head.name or head.kind) for head in config.head]
    return msgspec.structs.replace(config, layer=tuple(layers), head=tuple(heads))


def _override(raw: dict[str, Any], setting: str) -> None:
    path, found, text = setting.partition("=")
    if not found or not path:
        raise UsageError(f"--set {setting}: expected key=value, for example layer.0.units=100")
    if any("\ud800" <= letter <= "\udfff" for letter in setting):
        raise UsageError(f"--set {setting!r}: not UTF-8; type it in a terminal that is")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):  # not TOML, a number too long, or nested for ever
        value = text
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    place: Any = raw
    try:
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (IndexError, ValueError, AttributeError, TypeError):
        raise UsageError(f"--set {setting}: there is no {path} in the file") from None


def _cross_checks(config: Config) -> list[str]:
    return [
        *_name_errors(config),
        *_read_errors(config),
        *_key_errors(config),
        *_bind_errors(config),
        *_page_errors(config),
        *_sizes(config),
    ]


def _name_errors(config: Config) -> list[str]:
    lines = []
    for kind, names in (
        ("layer", [layer.name for layer in config.layer]),
        ("head", [head.name for head in config.head]),
    ):
        lines += [
            f"{kind}[{i}].name: {name!r} is taken by {kind}[{names.index(name)}]; give it another"
            for i, name in enumerate(names)
            if names.index(name) < i or (kind == "layer" and name in ("input", "all"))
        ]
    return lines


def _read_errors(config: Config) -> list[str]:
    known = ["input", *(layer.name for layer in config.layer)]
    lines = [
        f"head[{i}].reads: expected some of {', '.join(known)}, got {read!r}"
        for i, head in enumerate(config.head)
        for read in head.reads
        if read not in known
    ]
    lines += [
        f"layer[{i}].reads: expected some of {', '.join(known[: i + 1])}, got {read!r}"
        for i, layer in enumerate(config.layer)
        for read in layer.reads
        if read not in known[: i + 1]
    ]
    heads = [head.name for head in config.head]
    if config.publish.head and config.publish.head not in heads:
        known_heads = ", ".join(heads) or "no head"
        lines.append(f"publish.head: expected one of {known_heads}, got {config.publish.head!r}")
    chosen = config.publish.embedding
    if chosen not in ("", "all", *known[1:]):
        lines.append(f"publish.embedding: expected one of {', '.join(known[1:])}, got {chosen!r}")
    if config.head and config.stream.classes < 2:
        lines.append(f"stream.classes: expected 2 or more for a head, got {config.stream.classes}")
    return lines


def _is_local(bind: str) -> bool:
    """Whether an address is reached from this machine alone."""
    host = bind.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind_errors(config: Config) -> list[str]:
    security = config.security
    if security.allow_plain:
        return []
    binds = {
        "ingest.pull": config.ingest.pull,
        "ingest.sub": config.ingest.sub,
        "ingest.router": config.ingest.router,
        "publish.bind": config.publish.bind,
        "control.bind": config.control.bind,
    }
    return [
        f"{key}: {bind!r} can be reached from other machines, in plain text; bind to 127.0.0.1, "
        "give keys, or set security.allow_plain = true"
        for key, bind in binds.items()
        if bind
        and not security.server_key
        and not bind.startswith(("ipc://", "inproc://"))
        and not _is_local(bind)
    ]


def _key_errors(config: Config) -> list[str]:
    """Files that mean nothing without another one."""
    security, observe = config.security, config.observe
    lines = []
    if security.server_key and not security.allowed:
        lines.append("security.allowed: missing; name the folder of allowed clients")
    if security.allowed and not security.server_key:
        lines.append("security.server_key: missing; name the daemon's key file")
    if bool(observe.certificate) != bool(observe.key):
        name = "key" if observe.certificate else "certificate"
        lines.append(f"observe.{name}: missing; certificate and key go together")
    if observe.client_ca and not observe.certificate:
        lines.append("observe.certificate: missing; observe.client_ca asks for TLS")
    return lines


def _page_errors(config: Config) -> list[str]:
    """The HTTP address is reached from elsewhere only encrypted, and by those who prove something.

    A token in plain text would be everybody's.
    """
    observe = config.observe
    guarded = observe.certificate and (observe.client_ca or observe.token_file)
    if config.security.allow_plain or not observe.bind or guarded or _is_local(observe.bind):
        return []
    reached = (
        f"observe.bind: {observe.bind!r} can be reached from other machines; bind to 127.0.0.1"
    )
    files = "observe.certificate, key, and client_ca or token_file"
    return [f"{reached}, give {files}, or set security.allow_plain = true"]


def _sizes(config: Config) -> list[str]:
    lines = []
    if config.pipeline.block_rows > config.pipeline.ring_rows:
        rows = config.pipeline.ring_rows
        got = config.pipeline.block_rows
        lines.append(
            f"pipeline.block_rows: expected at most pipeline.ring_rows = {rows}, got {got}"
        )
    if not (config.layer or config.head):
        lines.append("layer: expected at least one [[layer]] or [[head]]")
    ingest, journal = config.ingest, config.journal
    if not (ingest.pull or ingest.sub or ingest.sub_connect or ingest.router):
        lines.append("ingest: expected at least one of pull, sub, sub_connect, router")
    least = 2 * (ingest.max_message_bytes + journal.commit_bytes)
    if ingest.router and journal.max_bytes < least:
        lines.append(
            "journal.max_bytes: expected at least twice ingest.max_message_bytes and "
            f"journal.commit_bytes together = {least}, got {journal.max_bytes}"
        )
    return lines


LEARNER_KEYS = ("seed", "stream", "labels", "prepare", "layer", "head", "figures")
"""The part of a configuration that decides what is learned; a checkpoint is bound to it."""


def learner_part(config: Config) -> dict[str, Any]:
    """The keys that decide what is learned, as plain JSON values."""
    whole: dict[str, Any] = msgspec.to_builtins(config)
    return {key: whole[key] for key in LEARNER_KEYS}


def config_hash(config: Config) -> str:
    """SHA-256 over `learner_part`, in hex: equal hashes can share checkpoints."""
    text = msgspec.json.encode(learner_part(config), order="sorted")
    return hashlib.sha256(text).hexdigest()
