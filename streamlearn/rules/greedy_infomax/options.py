"""What a module of Greedy InfoMax can be told, and which options go together."""

from typing import Annotated, Literal

from msgspec import Meta

from streamlearn.config import LayerOptions


class GreedyInfomaxOptions(LayerOptions, frozen=True, kw_only=True):
    """Greedy InfoMax (Löwe et al. 2019): learns what tells a stream's next rows."""

    units: Annotated[int, Meta(ge=1, le=65536, description="Numbers in a code.")] = 128
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
            description="Rows that a row is told from at every step.",
            extra={"unit": "rows"},
        ),
    ] = 16
    negatives_from: Annotated[
        Literal["other", "same", "device", "any"],
        Meta(
            description="Of which streams negatives are: other ones, the same, others of the same "
            "device, or any; where none of them is stored, from the next wider circle."
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
            description="Rows that are stored before anything is learned.",
            extra={"unit": "rows"},
        ),
    ] = 64
    rate: Annotated[
        float,
        Meta(ge=0.0, le=0.1, description="How far a weight moves in a step (Adam); 0: not at all."),
    ] = 1e-3
