"""The options of `forward_forward_top_down`, and which of them go together."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.part import Place
from streamlearn.rules.only import Need, Table, among, idle, only
from streamlearn.rules.options import Average, Scale, Threshold

Units = Annotated[int, Meta(ge=2, le=65536)]


class ForwardForwardTopDownOptions(LayerOptions, frozen=True, kw_only=True):
    """Forward-Forward with top-down connections (Hinton 2022): several levels in one layer."""

    units: Annotated[
        Units | Annotated[tuple[Units, ...], Meta(min_length=1, max_length=16)],
        Meta(description="Units of each level, from below; a number: of the only one."),
    ]
    labels: Annotated[
        Literal["overlay", "none"],
        Meta(
            description="overlay: the label is the level on top, a wrong one the negative; none: "
            "the stream against rows in a wrong order."
        ),
    ] = "none"
    steps: Annotated[
        int,
        Meta(ge=1, le=64, description="Steps of the net a row.", extra={"unit": "steps"}),
    ] = 1
    update: Annotated[
        Literal["synchronous", "alternating"],
        Meta(
            description="All levels from the step before, or the odd ones first and then the even."
        ),
    ] = "alternating"
    damping: Annotated[
        float, Meta(ge=0.0, lt=1.0, description="Share of its last activity that a unit keeps.")
    ] = 0.3
    carry: Annotated[
        bool, Meta(description="Go on from the row before, for video; false: begin anew.")
    ] = True

    frames: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Last rows that the lowest level sees side by side.",
            extra={"unit": "rows"},
        ),
    ] = 3
    shrink: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Rows are images: mean of squares of this side, first.",
            extra={"unit": "pixels"},
        ),
    ] = 1
    background_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 30,
            description="Take away the mean of so many last rows, fading; 0: do not.",
            extra={"unit": "rows"},
        ),
    ] = 0
    negatives: Annotated[
        Literal["reversed", "returned", "stored", "mixed"],
        Meta(
            description="Without labels: the window backwards, its newest row replaced by the one "
            "two before or by a stored one, or one of these in turn."
        ),
    ] = "reversed"
    stored_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description='Past rows kept for negatives = "stored" and "mixed".',
            extra={"unit": "rows"},
        ),
    ] = 64

    wrong_label: Annotated[
        Literal["hard", "random"],
        Meta(description="Wrong labels (overlay): as the net believes them, or all alike."),
    ] = "hard"
    label_strength: Annotated[
        float, Meta(gt=0.0, le=1e4, description="Size of a label on top (overlay).")
    ] = 3.0
    candidates: Annotated[
        Literal["never", "asked", "always"],
        Meta(
            description="When to settle the net under every label for scores (overlay; K times the "
            "work): never, for rows not learned from, always. Else: its own softmax."
        ),
    ] = "asked"
    score_from: Annotated[
        int, Meta(ge=1, le=64, description="First step whose goodness counts for scores.")
    ] = 3
    score_to: Annotated[
        int, Meta(ge=1, le=64, description="Last step whose goodness counts for scores.")
    ] = 5
    settled: Annotated[
        bool,
        Meta(description="Give activities after the steps; false: of the first way up, cheaper."),
    ] = True
    evidence: Annotated[
        bool,
        Meta(
            description="Add two numbers a level to the output: how goodness stands to its mean, "
            "and to that of the window backwards (labels = none)."
        ),
    ] = False

    loss: Annotated[
        Literal["pair", "threshold"],
        Meta(description="Real against negative: their difference, or each to the threshold."),
    ] = "pair"
    threshold: Threshold = 1.0
    margin: Annotated[
        float, Meta(ge=0.0, le=1e4, description='Log odds they should reach (loss = "pair").')
    ] = 2.0
    scale: Scale = 8.0
    learn_from: Annotated[
        int, Meta(ge=1, le=64, description="First step that is learned from.")
    ] = 1
    peer: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Pull of every unit to its level's mean activity.")
    ] = 0.0
    rate: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Largest change of a weight by one row; it falls.")
    ] = 0.01
    decay_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Rows after which the step is 0.71 of itself, as 1/root(rows); 0: never.",
            extra={"unit": "rows"},
        ),
    ] = 0
    memory_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Rows that steps and averages remember, fading; 0: all.",
            extra={"unit": "rows"},
        ),
    ] = 3000
    average: Average = False


def levels_of(options: ForwardForwardTopDownOptions) -> tuple[int, ...]:
    """Units of every level, from below."""
    return (options.units,) if isinstance(options.units, int) else tuple(options.units)


_SEVERAL_LEVELS: Final = Need(
    ("units",), "several levels of units", lambda options: len(levels_of(options)) > 1
)
_LABEL_FREE: Final = among("labels", "none")
_LABELLED: Final = among("labels", "overlay")
ONLY: Final[Table] = (
    only("wrong_label", "label_strength", "candidates", "score_from", "score_to", beside=_LABELLED),
    only("score_from", "score_to", beside=among("candidates", "asked", "always")),
    only("negatives", "stored_rows", beside=_LABEL_FREE),
    only("stored_rows", beside=among("negatives", "stored", "mixed")),
    only("threshold", beside=among("loss", "threshold")),
    only("margin", beside=among("loss", "pair")),
    only("update", beside=_SEVERAL_LEVELS),
)
"""Options that mean something only beside others."""


def check(options: ForwardForwardTopDownOptions, place: Place) -> None:
    """See that the options go together and fit their place, and that none would be ignored.

    Raises
    ------
    ConfigError
        With one line for each that does not.

    """
    lines = [*idle(options, ONLY).values(), *_labels(options, place), *_frames(options, place)]
    if options.learn_from > options.steps:
        lines.append(
            f"learn_from: expected at most steps = {options.steps}, got {options.learn_from}; "
            "take an earlier step"
        )
    if lines:
        raise ConfigError(lines)


def _labels(options: ForwardForwardTopDownOptions, place: Place) -> list[str]:
    if options.labels == "none":
        return []
    lines = []
    if place.classes < 2:
        lines.append(
            'labels: "overlay" needs stream.classes of 2 or more, got '
            f"{place.classes}; set it, or take none"
        )
    last = min(options.score_to, options.steps)
    if options.candidates != "never" and options.score_from > last:
        lines.append(
            f"score_from: expected at most score_to = {options.score_to} and steps = "
            f"{options.steps}, got {options.score_from}; take an earlier step"
        )
    if options.frames > 1 and not options.carry:
        lines.append(
            f"frames: expected 1 for labelled rows that begin anew, got {options.frames}; "
            "set frames = 1, or carry = true"
        )
    if options.evidence:
        lines.append('evidence: expected false with labels = "overlay", got true; leave it out')
    return lines


def _frames(options: ForwardForwardTopDownOptions, place: Place) -> list[str]:
    lines = []
    least = {"reversed": 2, "returned": 3, "stored": 1, "mixed": 3}[options.negatives]
    least = 1 if options.labels == "overlay" else max(least, 2 if options.evidence else 1)
    if options.frames < least:
        lines.append(
            f"frames: expected {least} or more for negatives = {options.negatives} or evidence, "
            f"got {options.frames}; a window of so few rows has no wrong order"
        )
    sides = place.shape_in
    if options.shrink > 1 and (len(sides) != 2 or any(side % options.shrink for side in sides)):
        lines.append(
            f"shrink: expected images with sides that {options.shrink} divides, got rows of shape "
            f"{list(sides)}; take a divisor of both"
        )
    return lines
