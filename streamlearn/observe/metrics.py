"""The one table of metrics: every name on the metrics page, with its meaning.

A name stands here without the prefix `streamlearn_`. The page, the `metrics` topic, `status`, the
table in docs/operations.md, the alert rules and the dashboard all follow this table, and tests hold
them to it. To add a metric, add its line here and the line in `Board` that gives its values.
"""

from typing import Final, Literal, NamedTuple

PREFIX: Final = "streamlearn_"

WINDOWS: Final = ("all", "recent")
"""Over all rows since the learner began, and over the fading window of figures.recent_rows."""
TRIVIAL_RULES: Final = ("majority", "repeat")
DROP_REASONS: Final = ("behind", "stopping", "rate")
"""Why valid rows are not learned from: SUB ingest was behind, so the newest rows won; the daemon
was ending; the client sent more a second than its file allows."""
LATE_OUTCOMES: Final = ("learned", "dropped")
"""A late label found its row; or it came after labels.keep_rows newer rows, or a second time."""
TOPICS: Final = ("prediction", "embedding", "surprise", "metrics", "event")
BEGIN_REASONS: Final = ("new", "gap", "clock")
"""Why a stream begins: see `streamlearn.pipeline.streams`."""
DEAD_FATES: Final = ("kept", "dropped")
"""A message was set aside; an older one made room for it."""
LOG_LEVELS: Final = ("warning", "error")

CLASSES_SHOWN: Final = 100
"""With more classes than this, figures by class are left out of the page: too many series."""

LATENCY_BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 1.0, 10.0),
)
"""Upper bounds of the latency histogram's buckets; one more takes what is longer."""


class Metric(NamedTuple):
    """One line of the table."""

    name: str
    """Without the prefix; the `_total` of a counter is part of it."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    """What it means, and how to read it."""
    unit: str
    """Of one step of the value."""
    labels: tuple[str, ...] = ()


METRICS: Final = (
    Metric("build_info", "gauge", "Always 1; the labels say what runs.", "", ("version", "rules")),
    Metric("ready", "gauge", "1 while samples are learned from; see /readyz for why not.", "bool"),
    Metric("samples_received_total", "counter", "Rows taken in at ingest.", "rows"),
    Metric("samples_learned_total", "counter", "Rows that the last stage has finished.", "rows"),
    Metric(
        "samples_rejected_total",
        "counter",
        "Messages refused as they break the wire format, and, as auth, connections and requests of "
        "those who may not; nothing of them is learned.",
        "messages",
        ("reason",),
    ),
    Metric(
        "samples_dropped_total",
        "counter",
        "Valid rows given up on purpose: SUB ingest was behind and newer rows won; the daemon was "
        "ending; a client sent more a second than it may.",
        "rows",
        ("reason",),
    ),
    Metric("samples_missed_total", "counter", "Gaps in the producers' numbers: rows lost.", "rows"),
    Metric(
        "labels_late_total",
        "counter",
        "Labels that came after their row: learned; dropped, as the row is forgotten or labelled.",
        "rows",
        ("outcome",),
    ),
    Metric(
        "last_learned_timestamp_seconds",
        "gauge",
        "When a row was last learned from; 0: not since the start.",
        "s",
    ),
    Metric("latency_seconds", "histogram", "From received to learned, one value a row.", "s"),
    Metric("ring_rows", "gauge", "Rows that the ring holds.", "rows"),
    Metric(
        "stage_busy_seconds_total",
        "counter",
        "Time a stage has worked; its rate is the share of one core that it uses.",
        "s",
        ("stage",),
    ),
    Metric(
        "stage_rows_behind",
        "gauge",
        "Rows that wait for a stage; near ring_rows, it is the slowest and holds the rest up.",
        "rows",
        ("stage",),
    ),
    Metric(
        "prequential_error",
        "gauge",
        "Share of labelled rows that the published head got wrong before learning them.",
        "ratio",
        ("window",),
    ),
    Metric(
        "head_error",
        "gauge",
        "Share of labelled rows that a head got wrong before learning them.",
        "ratio",
        ("head", "window"),
    ),
    Metric(
        "head_log_loss", "gauge", "Mean of -ln(p of the true class).", "nats", ("head", "window")
    ),
    Metric(
        "trivial_error",
        "gauge",
        "The same rows, by a rule that does not look: the commonest class, or the last label.",
        "ratio",
        ("rule", "window"),
    ),
    Metric("kappa", "gauge", "Cohen's kappa of the published head: 0 is chance, 1 perfect.", ""),
    Metric("class_recall", "gauge", "Share of a class's rows that are found.", "ratio", ("class",)),
    Metric(
        "class_precision",
        "gauge",
        "Share of right ones among calls of a class.",
        "ratio",
        ("class",),
    ),
    Metric("labelled_total", "counter", "Rows scored against a label.", "rows"),
    Metric("published_total", "counter", "Messages handed to subscribers.", "messages", ("topic",)),
    Metric(
        "publish_dropped_total",
        "counter",
        "Messages not handed on, as a subscriber's queue was full.",
        "messages",
        ("topic",),
    ),
    Metric(
        "streams_begun_total",
        "counter",
        "Streams that began or began anew, where layers or windows look back along them: new or "
        "silent for long, after missing rows, or as their clock jumped.",
        "streams",
        ("begin",),
    ),
    Metric("streams_kept", "gauge", "Streams whose last rows are kept now.", "streams"),
    Metric(
        "anomalies_total",
        "counter",
        "Times a stream was above publish.anomaly_above for publish.anomaly_rows in a row.",
        "times",
    ),
    Metric("checkpoints_total", "counter", "Checkpoints written.", "checkpoints"),
    Metric(
        "checkpoint_failures_total",
        "counter",
        "Checkpoints that could not be written; learning goes on, the log says why.",
        "checkpoints",
    ),
    Metric("checkpoint_rows", "gauge", "Rows learned in the newest checkpoint.", "rows"),
    Metric("checkpoint_bytes", "gauge", "Size of the newest checkpoint.", "bytes"),
    Metric(
        "checkpoint_seconds", "gauge", "How long the newest checkpoint took to reach the disk.", "s"
    ),
    Metric(
        "checkpoint_last_success_timestamp_seconds",
        "gauge",
        "When the newest checkpoint was written; 0: none yet.",
        "s",
    ),
    Metric(
        "journal_bytes", "gauge", "Acknowledged messages that no old checkpoint has yet.", "bytes"
    ),
    Metric("journal_rows", "gauge", "Rows in them.", "rows"),
    Metric("journal_commits_total", "counter", "Batches written to the journal.", "batches"),
    Metric(
        "journal_commit_seconds", "gauge", "How long the last batch took to reach the disk.", "s"
    ),
    Metric(
        "journal_failures_total",
        "counter",
        "Batches that the disk had no room for; nothing is acknowledged until it has.",
        "batches",
    ),
    Metric(
        "credit_bytes",
        "gauge",
        "What a producer may have on its way; 0: journal or disk is full, producers wait.",
        "bytes",
    ),
    Metric(
        "hellos_total",
        "counter",
        "Times a producer of ROUTER said hello for a stream: it is new, or comes back after a lost "
        "connection. Rising fast, a network or a producer is bad.",
        "hellos",
    ),
    Metric(
        "dead_letters_total",
        "counter",
        "Messages that can never be learned: set aside; dropped, as newer ones needed the room.",
        "messages",
        ("fate",),
    ),
    Metric(
        "recovery_rows", "gauge", "Rows of the journal to learn again since the last start.", "rows"
    ),
    Metric("recovery_rows_left", "gauge", "Those of them that are not learned again yet.", "rows"),
    Metric("log_lines_total", "counter", "Log lines that need a look.", "lines", ("level",)),
)

LAYER_GAUGE: Final = Metric(
    "layer_{gauge}",
    "gauge",
    "What a layer's rule tells of itself; the names are the rule's own and fixed from the start.",
    "",
    ("layer",),
)
PREPARE_GAUGE: Final = LAYER_GAUGE._replace(
    name="prepare_{gauge}",
    help="What a prepare step tells of itself; the names are its own and fixed from the start.",
    labels=("step",),
)
HEAD_GAUGE: Final = LAYER_GAUGE._replace(
    name="head_{gauge}",
    help="What a head tells of itself; the names are its own and fixed from the start.",
    labels=("head",),
)


def series(name: str, labels: dict[str, str]) -> str:
    """Write a series as it stands on the metrics page: `name{reason="dtype"}`."""
    if not labels:
        return name
    # Prometheus writes labels in alphabetical order.
    inside = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
