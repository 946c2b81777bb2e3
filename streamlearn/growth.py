"""A layer more for a daemon that runs: what was learned stays, bit by bit, and no row is lost.

Layers do not wait for each other's gradient, so one can be put on top at any time. The heads that
are there go on reading what they read; the new layer may bring a head of its own. What was added is
kept in the checkpoint, so a restart with the old file has it, too.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from streamlearn import live
from streamlearn.config import Config, learner_part, parse
from streamlearn.errors import ConfigError, UsageError
from streamlearn.heads import HEADS
from streamlearn.plan import CATALOGUE
from streamlearn.rules import RULES
from streamlearn.schema import nearest, resolve
from streamlearn.store.manifest import Manifest

Addition = Mapping[str, Any]
"""Options of a layer as in a file, and `head`: the kind of a head that reads it, or "" for none."""

_RESERVED: Final = ("v", "verb")


def addition(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a control request wants to add.

    Raises
    ------
    UsageError
        Where it names no rule, or none that is known.

    """
    wanted = {key: value for key, value in request.items() if key not in _RESERVED}
    rule = wanted.get("rule")
    if not isinstance(rule, str) or rule not in RULES:
        hint = nearest(str(rule), RULES)
        raise UsageError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}{hint}")
    head = wanted.setdefault("head", "")
    if head and (not isinstance(head, str) or head not in HEADS):
        hint = nearest(str(head), HEADS)
        raise UsageError(f"head: expected one of {', '.join(HEADS)}, got {head!r}{hint}")
    return wanted


def grown(config: Config, added: Addition) -> Config:
    """The configuration with a layer more, on top of the last; heads read what they read before.

    Raises
    ------
    UsageError
        Where the layer's options are wrong; one line an error.

    """
    raw: dict[str, Any] = live.given(msgspec.to_builtins(config))
    options = {key: value for key, value in added.items() if key != "head"}
    options.setdefault("name", f"layer{len(config.layer) + 1}")
    raw["head"] = [_pinned(config, head) for head in raw["head"]]
    raw["publish"]["embedding"] = _embedding(config)
    raw["layer"].append(options)
    if added.get("head"):
        name = f"{added['head']}-{options['name']}"
        raw["head"].append({"kind": added["head"], "name": name, "reads": [options["name"]]})
    try:
        return parse(raw, CATALOGUE, "add_layer")
    except ConfigError as error:
        raise UsageError("; ".join(error.lines)) from None


def check_turn(config: Config, learned: int) -> None:
    """Refuse a new layer whose turn to learn is over before it comes.

    Parameters
    ----------
    config
        With the new layer, the last one.
    learned
        Rows learned so far.

    Raises
    ------
    UsageError
        With the row that it could begin at.

    """
    layer = config.layer[-1]
    end = layer.learns_from + layer.learns_rows
    if layer.learns_rows and end <= learned:
        raise UsageError(
            f"learns_rows: expected a turn that is to come, got rows {layer.learns_from}…{end - 1} "
            f"of the learner's life, which is at row {learned}; add learns_from={learned}"
        )


def _pinned(config: Config, head: dict[str, Any]) -> dict[str, Any]:
    """A head that names what it reads, so that a new layer does not change it."""
    if head["reads"]:
        return head
    layers = [layer.name for layer in config.layer] or ["input"]
    if resolve(HEADS[head["kind"]]).READS_SCORES:
        return head  # it takes what layers give evidence, and a new one that does is asked, too
    return {**head, "reads": layers}


def _embedding(config: Config) -> str:
    chosen = config.publish.embedding
    return chosen or (config.layer[-1].name if config.layer else "")


def with_added(config: Config, running: Config, added: Sequence[Addition]) -> Config:
    """The configuration of a file, read anew, with the layers that a daemon was given meanwhile.

    Parameters
    ----------
    config
        Of the file. Where it has by now what was added, it is right as it is.
    running
        What the daemon runs.
    added
        Layers that were added to it, in order.

    """
    if learner_part(config) != learner_part(running):
        for one in added:
            with suppress(UsageError):  # the file may have this one, and differ elsewhere
                config = grown(config, one)
    return config


def reread(
    path: Path, settings: Sequence[str], running: Config, added: Sequence[Addition]
) -> list[tuple[str, Any]]:
    """What of a file changes live now, as (key, value); layers that were added stay."""
    grow = partial(with_added, running=running, added=added)
    return live.reread(path, settings, running, grow)


def resumed(config: Config, newest: Manifest | None) -> Config:
    """The configuration of a file with the layers that were added to it while a daemon ran.

    Parameters
    ----------
    config
        Of the file.
    newest
        The checkpoint that a daemon goes on from; None where there is none. Where the file has by
        now what was added, it is not added twice.

    """
    if newest is None or learner_part(config) == dict(newest.config):
        return config
    for one in newest.meta.get("added", ()):
        config = grown(config, one)
    return config
