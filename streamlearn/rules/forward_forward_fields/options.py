"""The options of `forward_forward_fields`, and which of them go together."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.rules.only import Table, among, below, either, idle, only
from streamlearn.rules.options import (
    DecayRows,
    Margin,
    RateFloor,
    ReservoirRows,
    Smoothing,
    Threshold,
)


class ForwardForwardFieldsOptions(LayerOptions, frozen=True, kw_only=True):
    """Forward-Forward in space: local receptive fields over an image, pooled by regions."""

    units: Annotated[int, Meta(ge=1, le=4096, description="Channels: units at every position.")]
    field: Annotated[
        int, Meta(ge=2, le=64, description="Side of a receptive field.", extra={"unit": "pixels"})
    ] = 7
    stride: Annotated[
        int, Meta(ge=1, le=64, description="From one field to the next.", extra={"unit": "pixels"})
    ] = 2
    shared: Annotated[
        bool, Meta(description="The same weights at every position (convolution), or own ones.")
    ] = True
    pool: Annotated[int, Meta(ge=1, le=64, description="Side of a region, in positions.")] = 5
    pool_stride: Annotated[
        int,
        Meta(ge=1, le=64, description="From one region to the next, in positions; at most pool."),
    ] = 2
    pooling: Annotated[
        Literal["root", "sum"],
        Meta(description="A channel's answer in a region: its activities' sum, or the root of it."),
    ] = "root"
    soften: Annotated[
        float,
        Meta(ge=0.01, le=100.0, description="Contrast at which a patch counts half; 1: its row's."),
    ] = 1.0

    labels: Annotated[
        Literal["none", "blocks", "projection"],
        Meta(
            description="How labels take part: not at all, channels in class blocks, or a softmax "
            "of the layer's own over the regions."
        ),
    ] = "none"
    negatives: Annotated[
        Literal["none", "hybrid", "pairing"],
        Meta(
            description='Made-up rows (labels = "none"): two rows under a mask, two rows added; '
            "none: channels compete for patches."
        ),
    ] = "none"

    silence: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Likeness up to which competing channels are 0.")
    ] = 0.3
    patches: Annotated[
        int,
        Meta(ge=0, le=4096, description="Patches of a row that channels compete for."),
    ] = 25
    conscience: Annotated[
        float,
        Meta(ge=0.0, le=1.0, description="Likeness that a channel with twice its share loses."),
    ] = 0.02

    loss: Annotated[
        Literal["pair", "threshold"],
        Meta(
            description="Real against made-up regions: their difference, or each against the "
            "threshold."
        ),
    ] = "pair"
    threshold: Threshold = 0.5
    margin: Margin = 1.0
    scale: Annotated[
        float, Meta(gt=0.0, le=1e4, description="Factor from goodness to log odds or evidence.")
    ] = 8.0
    reservoir_rows: ReservoirRows = 64
    smoothing: Smoothing = 0.1

    rate: Annotated[
        float,
        Meta(
            gt=0.0,
            le=10.0,
            description="First step; projection with roots takes 1. Competing starts with 1.",
        ),
    ] = 0.2
    read_rate: Annotated[
        float,
        Meta(
            gt=0.0, le=10.0, description="First step of the layer's own softmax; above 4 it swings."
        ),
    ] = 2.0
    decay_rows: DecayRows = 2000.0
    rate_floor: RateFloor = 0.001


_LABEL_FREE: Final = among("labels", "none")
_MADE_UP: Final = among("negatives", "hybrid", "pairing")
_FROM_LABELS: Final = among("labels", "blocks", "projection")
ONLY: Final[Table] = (
    only("silence", "patches", "conscience", beside=_LABEL_FREE),
    only("silence", "patches", "conscience", beside=among("negatives", "none")),
    only("negatives", "loss", "threshold", "margin", "reservoir_rows", beside=_LABEL_FREE),
    only("loss", "threshold", "margin", "reservoir_rows", beside=_MADE_UP),
    only("threshold", beside=among("loss", "threshold")),
    only("margin", beside=among("loss", "pair")),
    only("scale", beside=either(among("labels", "blocks"), _MADE_UP)),
    only("smoothing", beside=_FROM_LABELS),
    only("read_rate", beside=among("labels", "projection")),
    only("rate", "decay_rows", beside=either(_FROM_LABELS, _MADE_UP)),
    only("decay_rows", beside=below("rate_floor", 1)),
)
"""Options that mean something only beside others."""


def check(options: ForwardForwardFieldsOptions) -> None:
    """Refuse options that would be ignored.

    Raises
    ------
    ConfigError
        With a line for each.

    """
    if lines := idle(options, ONLY):
        raise ConfigError(list(lines.values()))
