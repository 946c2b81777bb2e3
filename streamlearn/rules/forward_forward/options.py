"""The options of `forward_forward`, a group for each thing they decide, and which go together."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.rules.only import Need, Table, above, among, below, either, idle, only
from streamlearn.rules.options import (
    Average,
    DecayRows,
    Margin,
    RateFloor,
    ReservoirRows,
    Scale,
    Smoothing,
)


class ForwardForwardOptions(LayerOptions, frozen=True, kw_only=True):
    """Forward-Forward (Hinton 2022): a layer with an objective of its own."""

    units: Annotated[int, Meta(ge=2, le=65536, description="How many units.")]
    labels: Annotated[
        Literal["projection", "blocks", "overlay", "none"],
        Meta(
            description="How labels take part: a softmax of the layer's own, units in class "
            "blocks, the label in the input against a wrong one, or not at all."
        ),
    ] = "projection"
    activation: Annotated[
        Literal["relu", "student_t"],
        Meta(description="A unit's activity (overlay, none)."),
    ] = "relu"

    start: Annotated[
        Literal["random", "local"],
        Meta(
            description="First weights (overlay, none): Gaussian noise, or smooth noise in a "
            "window of the image for each unit."
        ),
    ] = "random"

    goodness: Annotated[
        Literal["squares", "minus_squares", "sum", "minus_sum", "split"],
        Meta(
            description="What is made large for real rows (overlay, none): the mean square or the "
            "mean of the activities, or minus that; split: half the units each way."
        ),
    ] = "squares"
    loss: Annotated[
        Literal["pair", "threshold"],
        Meta(
            description="Real against made-up rows (overlay, none): their difference, or each "
            "against the threshold."
        ),
    ] = "pair"
    threshold: Annotated[
        float, Meta(ge=-1e4, le=1e4, description='Goodness that parts them (loss = "threshold").')
    ] = 1.0
    margin: Margin = 0.0
    scale: Scale = 8.0
    peer: Annotated[
        float,
        Meta(ge=0.0, le=1.0, description="Pull of every unit to the layer's mean activity."),
    ] = 0.0

    label_strength: Annotated[
        float, Meta(gt=0.0, le=1e4, description="Size of a label in the input (overlay).")
    ] = 28.0
    wrong_label: Annotated[
        Literal["hard", "random"],
        Meta(description="Wrong labels (overlay): as the layer believes them, or all alike."),
    ] = "hard"
    candidates: Annotated[
        bool,
        Meta(description="Carry every label up, not one right and one wrong (overlay); K times."),
    ] = False

    negatives: Annotated[
        Literal["hybrid", "pairing", "shuffled", "generated"],
        Meta(
            description="Made-up rows without labels: two rows under a mask, two rows added, a "
            "window's steps in another order, the layer's own top-down prediction."
        ),
    ] = "hybrid"
    reservoir_rows: ReservoirRows = 256
    phases: Annotated[
        Literal["together", "apart"],
        Meta(description="Real and made-up rows at once, or awake and asleep in turn."),
    ] = "together"
    wake_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Rows from one sleep to the next, which learns from all their negatives "
            'at once (phases = "apart").',
            extra={"unit": "rows"},
        ),
    ] = 100

    step: Annotated[
        Literal["sgd", "adagrad"],
        Meta(description="Size of a step: one for all weights, or each weight's own."),
    ] = "sgd"
    rate: Annotated[float, Meta(gt=0.0, le=10.0, description="First step of the weights.")] = 0.03
    read_rate: Annotated[
        float, Meta(gt=0.0, le=10.0, description="First step of the layer's own softmax.")
    ] = 0.003
    decay_rows: DecayRows = 2000.0
    rate_floor: RateFloor = 0.1
    average: Average = True
    memory_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Rows that the average remembers, fading; 0: a quarter of all.",
            extra={"unit": "rows"},
        ),
    ] = 20_000
    smoothing: Smoothing = 0.1
    decorrelate: Annotated[
        bool,
        Meta(
            description="Step through the inverse of the inputs' second moments (projection, "
            "blocks)."
        ),
    ] = False
    damping: Annotated[
        float,
        Meta(gt=0.0, le=1e3, description="Added to the second moments, in mean variances."),
    ] = 10.0
    revisits: Annotated[
        int, Meta(ge=0, le=10, description="How often each kept row is learned from again.")
    ] = 0
    kept_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Labelled rows kept for revisits.",
            extra={"unit": "rows"},
        ),
    ] = 100
    unlabelled: Annotated[
        float,
        Meta(ge=0.0, le=1.0, description="Size of the step from a row without a label; 0: none."),
    ] = 0.0


_CONTRAST: Final = among("labels", "overlay", "none")
_FROM_LABELS: Final = among("labels", "projection", "blocks")
_LABELLED: Final = among("labels", "projection", "blocks", "overlay")
_THRESHOLD_COUNTS: Final = Need(
    ("goodness", "units"),
    'another goodness than "split", or an odd number of units,',
    lambda options: options.goodness != "split" or options.units % 2 == 1,
)
"""Halves of the same size have the threshold once with either sign."""
ONLY: Final[Table] = (
    only("activation", "start", "goodness", "peer", beside=_CONTRAST),
    only("loss", "threshold", "margin", beside=_CONTRAST),
    only("negatives", "reservoir_rows", "phases", "wake_rows", beside=_CONTRAST),
    only("threshold", beside=among("loss", "threshold")),
    only("threshold", beside=_THRESHOLD_COUNTS),
    only("margin", beside=among("loss", "pair")),
    only("scale", beside=among("labels", "blocks", "overlay", "none")),
    only("label_strength", "wrong_label", "candidates", beside=among("labels", "overlay")),
    only("reservoir_rows", beside=among("negatives", "hybrid", "pairing", "generated")),
    only("wake_rows", beside=among("phases", "apart")),
    only("read_rate", beside=among("labels", "projection")),
    only("smoothing", "decorrelate", "damping", beside=_FROM_LABELS),
    only("damping", beside=among("decorrelate", True)),
    only("decay_rows", "rate_floor", beside=among("step", "sgd")),
    only("decay_rows", beside=below("rate_floor", 1)),
    only("memory_rows", beside=either(among("average", True), among("step", "adagrad"))),
    only("revisits", "kept_rows", "unlabelled", beside=_LABELLED),
    only("kept_rows", beside=above("revisits", 0)),
)
"""Options that mean something only beside others. What the first layer of a stack does for those
above it (labels, negatives) they may be told too, so that their sections can be alike."""


def check(options: ForwardForwardOptions) -> None:
    """Refuse options that would be ignored.

    Raises
    ------
    ConfigError
        With a line for each.

    """
    if lines := idle(options, ONLY):
        raise ConfigError(list(lines.values()))
