"""Write configs/reference.toml: every key with its help, default, unit and range, from the schema.

The file loads as it stands: it holds the defaults, and an example where a key must be given.
"""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from streamlearn.config import Config
from streamlearn.plan import CATALOGUE
from streamlearn.schema import Field, Section, describe, resolve

TARGET: Final = Path(__file__).resolve().parent.parent / "configs" / "reference.toml"

HEAD: Final = """\
# Every key of a streamlearn configuration, with what it takes in brackets. Made by
# tools/gen_reference.py from the settings' own help; change that, then run `make reference`.
#
# A key below has its default, unless it says otherwise; one that is commented out has none. The
# lists prepare, layer and head take any number of tables, in order; here stands one of each kind.
# Keys marked live can change while the daemon runs: edit the file and send SIGHUP, or use
# `streamlearn ctl ENDPOINT set key=store.keep value=5`.
"""

EXAMPLES: Final[dict[str, Any]] = {"shape": [28, 28], "classes": 10, "units": 100}
"""Where a key has no default, or one that a whole configuration cannot keep."""

EXAMPLES_IN: Final[Mapping[str, Mapping[str, Any]]] = {
    "forward_forward_fields": {"reads": ["input"]},
    "forward_forward_top_down": {"units": [100, 100]},
    "window": {"rows": 1, "hop": 1},
    "patches": {"side": 1},
    "spectrum": {"hop": 19, "bands": 28},
}
"""The same for the keys of one kind of layer, head or step."""

EXAMPLE_OF: Final[Mapping[str, Any]] = {"dtype": "|u1"}
"""What a commented key could be."""

WIDTH: Final = 100


def reference() -> str:
    """The whole file."""
    fields = describe(Config)
    plain = [f for f in fields if _section(f) is None and f.name not in CATALOGUE]
    blocks = [HEAD, "\n".join(line for f in plain for line in _key(f))]
    for field in fields:
        section = _section(field)
        if section is not None:
            blocks.append(_table(f"[{field.name}]", section))
        elif field.name in CATALOGUE:
            blocks += _list(field.name)
    return "\n".join(block.rstrip("\n") + "\n" for block in blocks)


def _section(field: Field) -> type[Section] | None:
    """The struct of a key that is a table."""
    kind = Config.__annotations__[field.name]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _list(name: str) -> Iterator[str]:
    """One table for each kind that a list can hold, as its registry names them."""
    chooser, names = CATALOGUE[name]
    for word, target in names.items():
        section = resolve(target).Options
        yield _table(f"[[{name}]]", section, {chooser: word}, ", ".join(names))


def _table(
    head: str,
    section: type[Section],
    chosen: Mapping[str, Any] | None = None,
    choices: str = "",
) -> str:
    """One table: what it is for, its head, its keys; `chosen` says of which kind it is."""
    about = (section.__doc__ or "").strip().splitlines()[0]
    lines = [*_wrapped(about), head]
    for field in describe(section):
        if chosen and field.name in chosen:
            lines += _wrapped(f"{field.help} [one of {choices}]")
            lines.append(f"{field.name} = {_toml(chosen[field.name])}")
        else:
            lines += _key(field, EXAMPLES_IN.get(next(iter((chosen or {}).values()), ""), {}))
    return "\n".join(lines)


def _key(field: Field, examples: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """Comment lines, then the key with its value."""
    value = ({**EXAMPLES, **examples}).get(field.name, field.default)
    unset = value is None
    shown = _toml(EXAMPLE_OF[field.name] if unset else value)
    return [*_wrapped(_about(field, value)), f"{'# ' if unset else ''}{field.name} = {shown}"]


def _about(field: Field, value: Any) -> str:
    """Help, then in brackets what the key takes."""
    facts = [f"{field.takes} {field.unit}".strip()]
    if field.required:
        facts.append("required")
    elif value != field.default:
        facts.append(f"default {_toml(field.default)}")
    if field.live:
        facts.append("live")
    return f"{field.help} [{'; '.join(facts)}]"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _toml(value: Any) -> str:
    """A value as TOML writes it; JSON's strings, numbers and lists are also TOML's."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(TARGET.read_text("utf-8") != reference())
    TARGET.write_text(reference(), encoding="utf-8")
