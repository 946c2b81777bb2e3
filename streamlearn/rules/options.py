"""Options that mean the same in several rules; each rule says what it begins with."""

from typing import Annotated

from msgspec import Meta

Threshold = Annotated[
    float, Meta(ge=0.0, le=1e4, description='Goodness that parts them (loss = "threshold").')
]
Margin = Annotated[
    float, Meta(ge=0.0, le=1e4, description='By how much they should differ (loss = "pair").')
]
Scale = Annotated[float, Meta(gt=0.0, le=1e4, description="Factor from goodness to log odds.")]
ReservoirRows = Annotated[
    int,
    Meta(
        ge=1,
        le=1 << 20,
        description="Past rows kept to make negatives of.",
        extra={"unit": "rows"},
    ),
]
Smoothing = Annotated[
    float, Meta(ge=0.0, le=0.5, description="Share of the target for the other classes.")
]
DecayRows = Annotated[
    float,
    Meta(
        gt=0.0,
        le=1e12,
        description="Rows after which the step is 0.71 of the first; it falls as 1/root(rows).",
        extra={"unit": "rows"},
    ),
]
RateFloor = Annotated[
    float, Meta(ge=0.0, le=1.0, description="Share of the first step where falling ends.")
]
Average = Annotated[bool, Meta(description="Answer with averaged weights, learn with the others.")]
