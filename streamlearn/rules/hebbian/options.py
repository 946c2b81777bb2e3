"""What a layer of competing units can be told, and which options go together."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError


class HebbianOptions(LayerOptions, frozen=True, kw_only=True):
    """Competing hidden units (Krotov & Hopfield), label-free."""

    units: Annotated[int, Meta(ge=1, le=65536, description="How many units compete.")]
    competition: Annotated[
        Literal["ranking", "dynamics", "soft", "none"],
        Meta(
            description="Who learns: ranks 1 and k, the steady state under inhibition, all by a "
            "softmax, or each for itself."
        ),
    ] = "ranking"
    plasticity: Annotated[
        Literal["sphere", "equation"],
        Meta(description="Steps that stay on the p-sphere, or the paper's eq. 2 as written."),
    ] = "sphere"
    p: Annotated[
        float, Meta(ge=2.0, le=10.0, description="Norm of the weights; 2 is Oja's rule.")
    ] = 2.0
    k: Annotated[
        int, Meta(ge=2, le=1024, description="Rank that is pushed away; above units: none is.")
    ] = 20
    delta: Annotated[
        float, Meta(ge=0.0, le=1.0, description="How strongly it is, against the winner's pull.")
    ] = 0.2
    inhibition: Annotated[
        float,
        Meta(ge=0.0, le=100.0, description="Of a unit by the activity of each other (dynamics)."),
    ] = 0.9
    h_star: Annotated[
        float,
        Meta(ge=0.0, description="Steady activity from which a unit is drawn to a row (dynamics)."),
    ] = 0.4
    max_steps: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Steps after which a row's dynamics are cut short.",
            extra={"unit": "steps"},
        ),
    ] = 1000
    sharpness: Annotated[
        float,
        Meta(gt=0.0, le=1000.0, description="Inverse temperature of the softmax (soft)."),
    ] = 12.0
    anti: Annotated[
        bool, Meta(description="Whether all but the winner are pushed away (soft).")
    ] = False
    power: Annotated[
        float, Meta(ge=1.0, le=10.0, multiple_of=0.5, description="Power of the activity.")
    ] = 3.0
    threshold: Annotated[
        Literal["mean", "zero"],
        Meta(description="Current from which a unit is active: the row's mean, or zero."),
    ] = "mean"
    product: Annotated[
        Literal["lebesgue", "dot"],
        Meta(
            description="What an activity is made of: the current that decides the competition, or "
            "the plain product of weights and row, the paper's read-out."
        ),
    ] = "lebesgue"
    scaled: Annotated[
        bool, Meta(description="Whether activities are divided by the row's root mean square.")
    ] = True
    start: Annotated[
        Literal["data", "random"],
        Meta(description="First weights: the first rows, one a unit, or Gaussian noise."),
    ] = "data"
    rate: Annotated[
        float, Meta(ge=0.0, le=0.9, description="A new unit's first step to a row; 0: none moves.")
    ] = 0.5
    rate_floor: Annotated[
        float, Meta(ge=0.0, le=0.9, description="Where a unit's rate stops falling.")
    ] = 0.01
    conscience: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Current that a unit with twice its share loses.")
    ] = 0.01
    patience: Annotated[
        float,
        Meta(
            ge=1.0,
            le=1e6,
            description="Rows a unit without a win, after which it takes a new place.",
            extra={"unit": "rows"},
        ),
    ] = 20.0
    radius: Annotated[
        float, Meta(gt=0.0, le=100.0, description="R of the p-sphere (equation).")
    ] = 1.0
    minibatch: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Rows that are learned with one step (equation).",
            extra={"unit": "rows"},
        ),
    ] = 1
    anneal_rows: Annotated[
        int,
        Meta(
            ge=0,
            description="Rows over which the rate falls to zero, as published; 0: units set theirs "
            "(equation).",
            extra={"unit": "rows"},
        ),
    ] = 0
    largest: Annotated[
        bool,
        Meta(
            description="Whether a step is measured by the weight that changes most, as in the "
            "published code (equation)."
        ),
    ] = False
    field: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Side of the square patches that units look at; 0: the whole row. Rows of "
            "rate_floor, patience and anneal_rows are images; those of a minibatch are patches.",
            extra={"unit": "pixels"},
        ),
    ] = 0
    stride: Annotated[
        int,
        Meta(ge=1, le=64, description="From patch to patch (field).", extra={"unit": "pixels"}),
    ] = 1
    pool: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Side of the squares of patches whose activities are averaged (field).",
            extra={"unit": "patches"},
        ),
    ] = 1


_LEAST_REACH: Final = 1e-3
_MOST_REACH: Final = 1e3
"""Of R^p."""
_ONLY: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "k": ("competition", ("ranking",)),
    "delta": ("competition", ("ranking", "dynamics")),
    "inhibition": ("competition", ("dynamics",)),
    "h_star": ("competition", ("dynamics",)),
    "max_steps": ("competition", ("dynamics",)),
    "sharpness": ("competition", ("soft",)),
    "anti": ("competition", ("soft",)),
    "conscience": ("competition", ("ranking", "dynamics")),
    "patience": ("competition", ("ranking", "dynamics", "soft")),
    "radius": ("plasticity", ("equation",)),
    "minibatch": ("plasticity", ("equation",)),
    "anneal_rows": ("plasticity", ("equation",)),
    "largest": ("plasticity", ("equation",)),
}
"""Options that mean something only where another has one of these values."""


def check(options: HebbianOptions) -> None:
    """Refuse options that contradict each other, or would be ignored.

    Raises
    ------
    ConfigError
        With a line for each.

    """
    lines = [*_contradictions(options), *_ignored(options)]
    if lines:
        raise ConfigError(lines)


def _contradictions(options: HebbianOptions) -> list[str]:
    lines = []
    if options.competition == "none" and options.plasticity != "equation":
        lines.append(
            'competition: expected one that chooses, got "none"; without one each unit follows '
            'plasticity = "equation"'
        )
    if options.competition == "soft" and options.plasticity != "sphere":
        lines.append(
            'plasticity: expected "sphere" beside competition = "soft", which has its own steps, '
            f'got "{options.plasticity}"; leave it out'
        )
    if options.competition == "soft" and options.p != 2:
        lines.append(
            f'p: expected 2 beside competition = "soft", got {options.p:g}; leave p out, or let '
            "ranks compete"
        )
    if options.competition == "dynamics" and options.h_star >= reach(options):
        lines.append(
            f"h_star: expected below {reach(options):g}, the largest current that there can be, "
            f"got {options.h_star:g}; no unit would ever be drawn to a row: lower it"
        )
    reached = options.radius**options.p
    if options.plasticity == "equation" and not _LEAST_REACH <= reached <= _MOST_REACH:
        lines.append(
            f"radius: expected radius^p from {_LEAST_REACH:g} to {_MOST_REACH:g}, by which eq. 2 "
            f"multiplies its steps, got {options.radius:g}^{options.p:g} = {reached:.3g}; bring "
            "radius nearer to 1"
        )
    return lines


def _ignored(options: HebbianOptions) -> list[str]:
    defaults = {one.name: one.default for one in msgspec.structs.fields(type(options))}
    lines = []
    for name, (key, allowed) in _ONLY.items():
        value: Any = getattr(options, name)
        chosen: str = getattr(options, key)
        if value != defaults[name] and chosen not in allowed:
            wanted = " or ".join(f'"{one}"' for one in allowed)
            lines.append(
                f'{name}: expected {key} = {wanted} beside it, got "{chosen}", under which '
                f"{name} = {value} means nothing; change one of them"
            )
    if options.anneal_rows and options.rate_floor != defaults["rate_floor"]:
        lines.append(
            f"rate_floor: expected anneal_rows = 0 beside it, got {options.anneal_rows}, under "
            f"which rate_floor = {options.rate_floor:g} means nothing; change one of them"
        )
    lines.extend(
        f"{name}: expected field above 0 beside it, got 0, under which it means nothing; "
        "give the patches a side, or leave it out"
        for name in ("stride", "pool")
        if getattr(options, name) != 1 and not options.field
    )
    return lines


def reach(options: HebbianOptions) -> float:
    """Largest current of a unit on its sphere: R^(p-1), by Hölder's inequality."""
    return float((options.radius if options.plasticity == "equation" else 1.0) ** (options.p - 1))
