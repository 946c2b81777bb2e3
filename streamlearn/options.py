"""The options: every key of the configuration as a field of a frozen struct.

A field has its default, its range, one line of help, its unit where it has one, and `live` where it
can change while the daemon runs. `streamlearn.config` reads them; rules, heads and prepare steps
derive their own options from `LayerOptions`, `HeadOptions` and `StepOptions`.
"""

from typing import Annotated, Literal

from msgspec import Meta

from streamlearn.options_outside import ObserveOptions, SecurityOptions
from streamlearn.schema import Section

Dtype = Literal["|u1", "|i1", "<i2", "<u2", "<i4", "<f2", "<f4", "<f8"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,64}$")]


class LayerOptions(Section, frozen=True, kw_only=True):
    """What every `[[layer]]` has, whatever its rule."""

    rule: Annotated[str, Meta(description="The learning rule.")]
    name: Annotated[Name, Meta(description='Its name in figures; "" is layer1, layer2, …')] = ""
    frozen: Annotated[bool, Meta(description="Start frozen: respond, learn nothing.")] = False
    reads: Annotated[
        tuple[str, ...],
        Meta(description='Layers before it, side by side; "input": prepared row; []: the last.'),
    ] = ()
    learns_from: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 60,
            description="Row of the learner's life from which on it learns; before, it responds.",
            extra={"unit": "rows"},
        ),
    ] = 0
    learns_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 60,
            description="Rows that it learns from, then it only responds; 0: without end.",
            extra={"unit": "rows"},
        ),
    ] = 0


class HeadOptions(Section, frozen=True, kw_only=True):
    """What every `[[head]]` has, whatever its kind."""

    kind: Annotated[str, Meta(description="How scores are made of activities.")]
    name: Annotated[Name, Meta(description='Its name in figures; "" is its kind.')] = ""
    reads: Annotated[
        tuple[str, ...],
        Meta(description='Layers it reads, by name; "input" is the prepared row; []: all.'),
    ] = ()
    learns_from: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 60,
            description="Row of the learner's life from which on it learns, for example once the "
            "layers below stand still.",
            extra={"unit": "rows"},
        ),
    ] = 0


class StepOptions(Section, frozen=True, kw_only=True):
    """What every `[[prepare]]` step has."""

    step: Annotated[str, Meta(description="What is done to each row.")]


class StreamOptions(Section, frozen=True, kw_only=True):
    """`[stream]`: what one row is."""

    shape: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1 << 20)], ...],
        Meta(min_length=1, max_length=4, description="Shape of one row."),
    ]
    dtype: Annotated[
        Dtype | None, Meta(description="Type that rows must have on the wire; left out: any.")
    ] = None
    classes: Annotated[
        int, Meta(ge=0, le=10_000, description="How many classes labels may name; 0: no labels.")
    ] = 0
    live: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 16,
            description="Streams whose last rows are kept at once, for windows and context; one "
            "more takes the place of the one that was silent longest.",
        ),
    ] = 64
    gap_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="A stream begins anew where t goes on by more from one message to the "
            "next; make it longer than a message lasts; 0: however far.",
            extra={"unit": "s"},
        ),
    ] = 0.0


class IngestOptions(Section, frozen=True, kw_only=True):
    """`[ingest]`: where rows come in, and how much at once."""

    pull: Annotated[
        str, Meta(description='PULL socket, binds; nothing is dropped. "" turns it off.')
    ] = "tcp://127.0.0.1:5555"
    sub: Annotated[str, Meta(description='SUB socket, binds; newest data wins. "" is off.')] = ""
    sub_connect: Annotated[
        tuple[str, ...], Meta(description="PUB sockets of producers that SUB connects to.")
    ] = ()
    sub_pending_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Newest SUB rows kept while the ring is full; older ones are dropped.",
            extra={"unit": "rows"},
        ),
    ] = 1024
    router: Annotated[
        str,
        Meta(
            description="ROUTER socket, binds; what it acknowledges survives kill -9 and power "
            'loss, and is learned once. "" is off.'
        ),
    ] = ""
    credit_bytes: Annotated[
        int,
        Meta(
            ge=1 << 12,
            le=1 << 31,
            description="Most bytes that a producer of ROUTER may have on their way.",
            extra={"unit": "bytes"},
        ),
    ] = 4 << 20
    max_message_bytes: Annotated[
        int,
        Meta(ge=1024, le=1 << 31, description="Largest frame taken in.", extra={"unit": "bytes"}),
    ] = 16 << 20
    max_rows: Annotated[
        int,
        Meta(ge=1, le=1 << 20, description="Most rows a message.", extra={"unit": "rows"}),
    ] = 4096
    max_streams: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 16,
            description="Most (stream, producer) pairs in a learner's life; one more is refused.",
        ),
    ] = 1024
    dream_after_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="Quiet after which rules with phases apart sleep on; 0: never.",
            extra={"unit": "s"},
        ),
    ] = 0.0
    dream_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 16,
            description="Kept negatives learned from in each quiet second.",
            extra={"unit": "rows"},
        ),
    ] = 100


class LabelOptions(Section, frozen=True, kw_only=True):
    """`[labels]`: labels that come after their rows."""

    keep_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 22,
            description="Rows that a late label can still reach; later still it is dropped.",
            extra={"unit": "rows"},
        ),
    ] = 1000
    rehearse_every: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 30,
            description="Fresh rows between two labelled rows of the past that go through the "
            "layers again, so that heads keep up with them; 0: none does.",
            extra={"unit": "rows"},
        ),
    ] = 0
    rehearse_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Labelled rows kept for that, every one so far with the same chance.",
            extra={"unit": "rows"},
        ),
    ] = 500


class FigureOptions(Section, frozen=True, kw_only=True):
    """`[figures]`: running figures."""

    recent_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 30,
            description="Length of the fading window of the recent figures.",
            extra={"unit": "rows"},
        ),
    ] = 1000


class PublishOptions(Section, frozen=True, kw_only=True):
    """`[publish]`: what goes out."""

    bind: Annotated[str, Meta(description='XPUB socket. "" turns it off.')] = "tcp://127.0.0.1:5556"
    head: Annotated[str, Meta(description='Head whose predictions go out; "" is the first.')] = ""
    embedding: Annotated[
        str, Meta(description='Layer whose activity is the embedding; "" the last, "all" all.')
    ] = ""
    embeddings_every_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 30,
            description="Every how many rows an embedding goes out; 0: none.",
            extra={"unit": "rows", "live": True},
        ),
    ] = 100
    metrics_every_s: Annotated[
        float,
        Meta(
            ge=0.05,
            le=3600.0,
            description="Time between two `metrics` messages.",
            extra={"unit": "s", "live": True},
        ),
    ] = 1.0
    anomaly_above: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e6,
            description="Surprise above which a stream is told as an `anomaly` event; 0: never.",
            extra={"unit": "standard deviations", "live": True},
        ),
    ] = 0.0
    anomaly_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Rows of a stream, one after the other, that must be above anomaly_above.",
            extra={"unit": "rows"},
        ),
    ] = 1
    queue_messages: Annotated[
        int,
        Meta(ge=1, le=1 << 20, description="Messages kept for a slow subscriber, then dropped."),
    ] = 1000


class ControlOptions(Section, frozen=True, kw_only=True):
    """`[control]`: questions and orders."""

    bind: Annotated[str, Meta(description='ROUTER socket. "" is off.')] = "tcp://127.0.0.1:5557"


class StoreOptions(Section, frozen=True, kw_only=True):
    """`[store]`: what survives a restart."""

    dir: Annotated[str, Meta(min_length=1, description="State folder; one daemon each.")] = "state"
    checkpoint_every_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="Time between checkpoints; 0: only at the end or when asked.",
            extra={"unit": "s", "live": True},
        ),
    ] = 30.0
    keep: Annotated[
        int, Meta(ge=1, le=1000, description="Newest checkpoints kept.", extra={"live": True})
    ] = 3


class JournalOptions(Section, frozen=True, kw_only=True):
    """`[journal]`: rows that are acknowledged and in no checkpoint yet; see `ingest.router`."""

    max_bytes: Annotated[
        int,
        Meta(
            ge=1 << 16,
            le=1 << 40,
            description="Most bytes kept; near it checkpoints come more often, and at it producers "
            "get no credit.",
            extra={"unit": "bytes"},
        ),
    ] = 512 << 20
    commit_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="How long a row may wait for others to be written with it.",
            extra={"unit": "ms"},
        ),
    ] = 5.0
    commit_rows: Annotated[
        int,
        Meta(ge=1, le=1 << 20, description="Most rows written at once.", extra={"unit": "rows"}),
    ] = 4096
    commit_bytes: Annotated[
        int,
        Meta(
            ge=1 << 10,
            le=1 << 30,
            description="Most bytes written at once, and one message more.",
            extra={"unit": "bytes"},
        ),
    ] = 4 << 20
    dead_bytes: Annotated[
        int,
        Meta(
            ge=1 << 16,
            le=1 << 40,
            description="Most bytes of messages that can never be learned; the oldest make room.",
            extra={"unit": "bytes"},
        ),
    ] = 16 << 20


class PipelineOptions(Section, frozen=True, kw_only=True):
    """`[pipeline]`: the ring and its threads. Nothing here changes what is learned."""

    ring_rows: Annotated[
        int,
        Meta(ge=2, le=1 << 22, description="Rows of the ring.", extra={"unit": "rows"}),
    ] = 4096
    block_rows: Annotated[
        int,
        Meta(
            ge=1, le=1 << 16, description="Most rows a stage takes at once.", extra={"unit": "rows"}
        ),
    ] = 64
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | Literal["auto"],
        Meta(description='Threads that the stages share; "auto" looks at cores and costs.'),
    ] = "auto"


class Config(Section, frozen=True, kw_only=True):
    """A whole configuration. `[[prepare]]`, `[[layer]]`, `[[head]]` are lists, in order."""

    stream: StreamOptions
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1, description="Keys every random choice.")] = 0
    ingest: IngestOptions = IngestOptions()
    labels: LabelOptions = LabelOptions()
    prepare: tuple[StepOptions, ...] = ()
    layer: tuple[LayerOptions, ...] = ()
    head: tuple[HeadOptions, ...] = ()
    figures: FigureOptions = FigureOptions()
    publish: PublishOptions = PublishOptions()
    control: ControlOptions = ControlOptions()
    observe: ObserveOptions = ObserveOptions()
    store: StoreOptions = StoreOptions()
    journal: JournalOptions = JournalOptions()
    pipeline: PipelineOptions = PipelineOptions()
    security: SecurityOptions = SecurityOptions()
