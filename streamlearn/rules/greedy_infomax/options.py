"""What a module of Greedy InfoMax can be told, and which options go together."""

import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.part import Place
from streamlearn.schema import shown


class GreedyInfomaxOptions(LayerOptions, frozen=True, kw_only=True):
    """Greedy InfoMax (Löwe et al. 2019): learns what tells a stream's next rows."""

    units: Annotated[int, Meta(ge=1, le=65536, description="Numbers in a code.")] = 128
    loss: Annotated[
        Literal["infonce", "hinge", "lpl"],
        Meta(
            description="infonce: tell the row from all negatives by a softmax; hinge: from one by "
            "a margin (CLAPP); lpl: hold still, spread, differ, without negatives."
        ),
    ] = "infonce"
    encoder: Annotated[
        Literal["dense", "convolution"],
        Meta(
            description="dense: units see the whole row; convolution: the same units at places "
            "along its first axis, averaged."
        ),
    ] = "dense"
    field: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 20,
            description="Samples that a unit sees at each place (convolution).",
            extra={"unit": "samples"},
        ),
    ] = 0
    stride: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="From place to place (convolution).",
            extra={"unit": "samples"},
        ),
    ] = 1
    positions: Annotated[
        bool,
        Meta(
            description="Rows [positions, D], or [rows, columns, D], are several positions; each "
            "has a code by the same units."
        ),
    ] = False
    predict: Annotated[
        Literal["time", "below"],
        Meta(
            description="What a position tells: itself some rows later, or the position so many "
            "grid rows below in the same row."
        ),
    ] = "time"
    steps: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="How many rows ahead are told, each by a matrix of its own.",
            extra={"unit": "rows"},
        ),
    ] = 2
    negatives: Annotated[
        int,
        Meta(
            ge=1,
            le=4096,
            description="Rows that a row is told from at every step (infonce).",
            extra={"unit": "rows"},
        ),
    ] = 16
    negatives_from: Annotated[
        Literal["other", "same", "device", "any", "positions"],
        Meta(
            description="Of which streams negatives are: other ones, the same, others of the same "
            "device, or any; where none of them is stored, from the next wider circle. positions: "
            "the row's other positions."
        ),
    ] = "other"
    reservoir_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Past rows that negatives are drawn from.",
            extra={"unit": "rows"},
        ),
    ] = 1024
    warm_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Rows that come before anything is learned.",
            extra={"unit": "rows"},
        ),
    ] = 64
    decorrelate: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="How strongly units are kept from saying the same (lpl); 0: they collapse.",
        ),
    ] = 1.0
    memory_rows: Annotated[
        int,
        Meta(
            ge=2,
            le=1_000_000,
            description="Rows that running averages remember (lpl, average).",
            extra={"unit": "rows"},
        ),
    ] = 500
    context: Annotated[
        Literal["none", "lru", "gru"],
        Meta(
            description="What rows ahead are told from: the code alone, or what a recurrent unit "
            "makes of all codes; lru: linear, learned through all of time; gru: gated, learned "
            "from one step back."
        ),
    ] = "none"
    context_units: Annotated[
        int,
        Meta(
            ge=0,
            le=65536,
            description="Numbers of the recurrent unit, complex ones for lru; 0: as many as units.",
        ),
    ] = 0
    gives: Annotated[
        Literal["code", "context", "both"],
        Meta(description="What the layer writes; contexts of lru are real and imaginary parts."),
    ] = "code"
    average: Annotated[
        bool,
        Meta(
            description="Answer with running means of the encoder's weights, for heads that learn "
            "while codes move."
        ),
    ] = False
    update_every: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Learn from one row of so many, or one position; all else goes on.",
            extra={"unit": "rows"},
        ),
    ] = 1
    rate: Annotated[
        float,
        Meta(ge=0.0, le=0.1, description="How far a weight moves in a step (Adam); 0: not at all."),
    ] = 1e-3


_CONTRAST: Final = ("infonce", "hinge")
_ONLY: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "steps": ("loss", _CONTRAST),
    "negatives": ("loss", ("infonce",)),
    "negatives_from": ("loss", _CONTRAST),
    "reservoir_rows": ("loss", _CONTRAST),
    "context": ("loss", _CONTRAST),
    "context_units": ("context", ("lru", "gru")),
    "gives": ("context", ("lru", "gru")),
    "decorrelate": ("loss", ("lpl",)),
    "field": ("encoder", ("convolution",)),
    "stride": ("encoder", ("convolution",)),
    "average": ("context", ("none",)),
    "predict": ("positions", (True,)),
}
"""Options that mean something only where another has one of these values."""


def check(options: GreedyInfomaxOptions, place: Place) -> None:
    """Refuse options that would be ignored, or that the rows do not fit.

    Raises
    ------
    ConfigError
        With a line for each.

    """
    lines = [*_ignored(options), *_misfits(options, place)]
    if lines:
        raise ConfigError(lines)


def _misfits(options: GreedyInfomaxOptions, place: Place) -> list[str]:
    lines = []
    if options.context_units > options.units:
        lines.append(
            f"context_units: expected at most units = {options.units}, got "
            f"{options.context_units}; a unit begins with a code's number each"
        )
    lines += _positions(options, place.shape_in)
    length = place.shape_in[0]
    if options.encoder == "convolution" and not 1 <= options.field <= length:
        lines.append(
            f"field: expected 1…{length}, as rows have {length} samples, got {options.field}; set "
            "field, or cut longer windows"
        )
    return lines


def _positions(options: GreedyInfomaxOptions, shape: tuple[int, ...]) -> list[str]:
    lines = []
    least = 3 if options.predict == "below" else 2
    if options.positions and len(shape) < least:
        wanted = "[rows, columns, D]" if least == 3 else "[positions, D]"
        lines.append(
            f"positions: expected rows of shape {wanted}, got {[*shape]}; cut them into patches, "
            "or leave it out"
        )
    if options.positions and options.encoder != "dense":
        lines.append(
            'encoder: expected "dense" beside positions = true, got "convolution"; leave one out'
        )
    if options.positions and options.context != "none":
        lines.append(
            f'context: expected "none" beside positions = true, got "{options.context}"; leave '
            "one out"
        )
    if options.negatives_from == "positions" and not (
        options.positions and math.prod(shape[:-1]) > 1
    ):
        lines.append(
            "negatives_from: expected positions = true and rows of several beside it, got "
            f"{[*shape]}; choose streams"
        )
    return lines


def _ignored(options: GreedyInfomaxOptions) -> list[str]:
    defaults = {one.name: one.default for one in msgspec.structs.fields(type(options))}
    lines = []
    for name, (key, allowed) in _ONLY.items():
        value: Any = getattr(options, name)
        chosen: Any = getattr(options, key)
        if value != defaults[name] and chosen not in allowed:
            wanted = " or ".join(map(shown, allowed))
            lines.append(
                f"{name}: expected {key} = {wanted} beside it, got {shown(chosen)}, under which "
                f"{name} = {shown(value)} means nothing; change one of them"
            )
    if options.negatives_from == "positions" and (
        options.reservoir_rows != defaults["reservoir_rows"]
    ):
        lines.append(
            'reservoir_rows: expected negatives_from other than "positions" beside it, under which '
            f"reservoir_rows = {options.reservoir_rows} means nothing; change one of them"
        )
    averages = options.average or options.loss == "lpl"
    if options.memory_rows != defaults["memory_rows"] and not averages:
        lines.append(
            'memory_rows: expected loss = "lpl" or average = true beside it, got neither, without '
            f"which memory_rows = {options.memory_rows} means nothing; change one of them"
        )
    return lines
