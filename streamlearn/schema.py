"""Reading a tree of plain values into structs, with an error line for everything that is wrong.

msgspec stops at the first error; people want all of them at once, each with its key's path, what is
expected there and what was found.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration; every field has a description, a default where it has one."""


S = TypeVar("S", bound=Section)

Catalogue = Mapping[str, tuple[str, Mapping[str, str]]]
"""List → (key that chooses, {name: import string of a class with an `Options` struct}).

For example `{"layer": ("rule", {"hebbian": "streamlearn.rules.hebbian:Hebbian"})}`.
"""


def resolve(import_string: str) -> Any:
    """The object that `package.module:name` names."""
    module, _, name = import_string.partition(":")
    return getattr(import_module(module), name)


def read_section(
    raw: Any, kind: type[S], path: str, errors: list[str], catalogue: Catalogue | None = None
) -> S | None:
    """Build a section, or add a line for each error (`path: expected …, got …`) and return None."""
    if not isinstance(raw, Mapping):
        errors.append(f"{path}: expected a table, got {shown(raw)}")
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    before = len(errors)
    errors += [_unknown(key, fields, path) for key in raw if key not in fields]
    values = {}
    for name, field in fields.items():
        place = f"{path}.{name}" if path else name
        if name in raw:
            values[name] = _value(raw[name], field.type, place, errors, catalogue or {})
        elif field.required:
            errors.append(f"{place}: missing; expected {expected(field.type)}")
    return None if len(errors) > before else kind(**values)


def _value(raw: Any, kind: Any, path: str, errors: list[str], catalogue: Catalogue) -> Any:
    if isinstance(kind, type) and issubclass(kind, Section):
        return read_section(raw, kind, path, errors)
    if path in catalogue:
        return _parts(raw, path, errors, catalogue)
    if isinstance(raw, float) and not math.isfinite(raw):
        errors.append(f"{path}: expected a finite number, got {raw}")
        return None
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError:
        errors.append(f"{path}: expected {expected(kind)}, got {shown(raw)}{_near(raw, kind)}")
        return None


def _parts(raw: Any, path: str, errors: list[str], catalogue: Catalogue) -> tuple[Any, ...]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        errors.append(f"{path}: expected [[{path}]] tables, got {shown(raw)}")
        return ()
    chooser, names = catalogue[path]
    return tuple(_part(item, f"{path}[{i}]", errors, chooser, names) for i, item in enumerate(raw))


def _part(raw: Any, path: str, errors: list[str], chooser: str, names: Mapping[str, str]) -> Any:
    chosen = raw.get(chooser) if isinstance(raw, Mapping) else None
    if not isinstance(chosen, str) or chosen not in names:
        got = "nothing" if chosen is None else shown(chosen)
        hint = nearest(chosen, names) if isinstance(chosen, str) else ""
        errors.append(f"{path}.{chooser}: expected one of {', '.join(names)}, got {got}{hint}")
        return None
    return read_section(raw, resolve(names[chosen]).Options, path, errors)


def _unknown(key: str, fields: Mapping[str, Any], path: str) -> str:
    place = f"{path}.{key}" if path else key
    hint = nearest(key, fields) or f"; expected one of {', '.join(fields)}"
    return f"{place}: unknown key{hint}"


def nearest(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """A hint that names the nearest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _near(raw: Any, kind: Any) -> str:
    words = [word for word in _literals(kind) if isinstance(word, str)]
    return nearest(raw, words) if isinstance(raw, str) else ""


def _literals(kind: Any) -> list[Any]:
    info = msgspec.inspect.type_info(kind)
    options = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return [v for t in options if isinstance(t, msgspec.inspect.LiteralType) for v in t.values]


def shown(value: Any) -> str:
    """A value as it stands in a TOML file, cut to a readable length."""
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= 60 else text[:57] + "…"


def expected(kind: Any) -> str:
    """What a field takes, in words: `1…65536`, `one of a, b`, `a string`."""
    return _words(msgspec.inspect.type_info(kind))


def _words(info: Any) -> str:  # noqa: PLR0911  one answer a type reads best as a ladder
    kinds = msgspec.inspect
    if isinstance(info, kinds.Metadata):
        return _words(info.type)
    if isinstance(info, kinds.IntType | kinds.FloatType):
        return _range(info)
    if isinstance(info, kinds.BoolType):
        return "true or false"
    if isinstance(info, kinds.LiteralType):
        return "one of " + ", ".join(map(str, info.values))
    if isinstance(info, kinds.StrType):
        return f"a string like {info.pattern}" if info.pattern else "a string"
    if isinstance(info, kinds.VarTupleType | kinds.ListType):
        return f"a list, each {_words(info.item_type)}"
    if isinstance(info, kinds.UnionType):
        options = [t for t in info.types if not isinstance(t, kinds.NoneType)]
        return " or ".join(map(_words, options))
    return "a table"


def _range(info: Any) -> str:
    word = "" if isinstance(info, msgspec.inspect.IntType) else "a number "
    low = info.ge if info.ge is not None else info.gt
    high = info.le if info.le is not None else info.lt
    if low is None and high is None:
        return "a number" if word else "a whole number"
    if high is None:
        return f"{word}{_plain(low)} or more" if info.ge is not None else f"{word}above {low}"
    return f"{word}{_plain(low)}…{_plain(high)}"


def _plain(bound: float) -> str:
    """A bound as people write it: 0.5, 1000, 1e+09."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


class Field(msgspec.Struct, frozen=True):
    """What is known of one key, for reference pages and live settings."""

    name: str
    help: str
    takes: str
    default: Any
    required: bool
    unit: str
    live: bool


def describe(kind: type[Section]) -> list[Field]:
    """Every key of a section, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return [_field(f, hints[f.name]) for f in msgspec.structs.fields(kind)]


def _field(field: Any, hint: Any) -> Field:
    metas = (
        [m for m in get_args(hint)[1:] if isinstance(m, msgspec.Meta)] if _annotated(hint) else []
    )
    extra = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    text = next((meta.description for meta in reversed(metas) if meta.description), "")
    default = None if field.required else field.default
    unit, live = str(extra.get("unit", "")), bool(extra.get("live", False))
    return Field(field.name, text, expected(field.type), default, field.required, unit, live)


def _annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated
