"""Options of the Forward-Forward rules: one is refused where, and only where, it means nothing."""

from typing import Any, Final

import msgspec
import numpy as np
import pytest

from streamlearn.config import parse
from streamlearn.errors import ConfigError
from streamlearn.part import F32, I32, UNLABELLED, Beside, Place, Rows
from streamlearn.plan import CATALOGUE, check
from streamlearn.rules import RULES
from streamlearn.rules.forward_forward import ForwardForward
from streamlearn.rules.forward_forward import options as dense
from streamlearn.rules.forward_forward_fields import ForwardForwardFields
from streamlearn.rules.forward_forward_fields import options as fields
from streamlearn.rules.forward_forward_top_down import ForwardForwardTopDown
from streamlearn.rules.forward_forward_top_down import options as top_down
from streamlearn.rules.only import Only, idle
from streamlearn.schema import resolve

Options = dict[str, Any]
SHAPE: Final = (6, 6)
WIDTH: Final = 36
CLASSES: Final = 3

CLASSES_OF: Final[dict[str, Any]] = {
    "forward_forward": ForwardForward,
    "forward_forward_fields": ForwardForwardFields,
    "forward_forward_top_down": ForwardForwardTopDown,
}
TABLES: Final = {
    "forward_forward": dense.ONLY,
    "forward_forward_fields": fields.ONLY,
    "forward_forward_top_down": top_down.ONLY,
}
STILL: Final[Options] = {
    "labels": "overlay", "units": (7, 5), "steps": 4, "carry": False, "frames": 1,
}  # fmt: skip

OTHER: Final[dict[str, Options]] = {
    "forward_forward": {
        "activation": "student_t", "start": "local", "goodness": "sum", "loss": "threshold",
        "threshold": 0.3, "margin": 3.0, "scale": 2.0, "peer": 1.0, "label_strength": 3.0,
        "wrong_label": "random", "candidates": True, "negatives": "pairing", "reservoir_rows": 3,
        "phases": "apart", "wake_rows": 7, "step": "adagrad", "rate": 0.2, "read_rate": 0.1,
        "decay_rows": 10.0, "rate_floor": 1.0, "average": False, "memory_rows": 10,
        "smoothing": 0.4, "decorrelate": True, "damping": 0.5, "revisits": 2, "kept_rows": 3,
        "unlabelled": 1.0,
    },
    "forward_forward_fields": {
        "field": 3, "stride": 2, "shared": False, "pool": 3, "pool_stride": 2, "pooling": "sum",
        "soften": 0.1, "negatives": "hybrid", "silence": 0.0, "patches": 5, "conscience": 0.5,
        "loss": "threshold", "threshold": 2.0, "margin": 5.0, "scale": 2.0, "reservoir_rows": 3,
        "smoothing": 0.4, "rate": 0.05, "read_rate": 0.2, "decay_rows": 10.0, "rate_floor": 1.0,
    },
    "forward_forward_top_down": {
        "steps": 5, "update": "synchronous", "damping": 0.6, "carry": False, "frames": 4,
        "background_rows": 10, "negatives": "mixed", "stored_rows": 3, "wrong_label": "random",
        "label_strength": 9.0, "candidates": "always", "score_from": 2, "score_to": 3,
        "settled": False, "loss": "threshold", "threshold": 0.2, "margin": 5.0,
        "scale": 2.0, "learn_from": 2, "peer": 1.0, "rate": 0.05, "decay_rows": 10,
        "memory_rows": 20, "average": True,
    },
}  # fmt: skip
"""For every option another value than its default."""

BESIDE: Final[dict[str, tuple[Options, ...]]] = {
    "forward_forward": (
        {},
        {"decorrelate": True},
        {"step": "adagrad"},
        {"average": False},
        {"average": False, "step": "adagrad", "rate": 0.2},
        {"rate_floor": 1.0},
        {"revisits": 1},
        {"labels": "blocks"},
        {"labels": "blocks", "step": "adagrad", "average": False},
        {"labels": "overlay"},
        {"labels": "overlay", "loss": "threshold", "revisits": 1},
        {"labels": "overlay", "step": "adagrad", "average": False},
        {"labels": "none"},
        {"labels": "none", "negatives": "shuffled", "average": False},
        {"labels": "none", "negatives": "generated", "phases": "apart", "loss": "threshold"},
        {"labels": "none", "goodness": "split", "loss": "threshold"},
        {"labels": "none", "goodness": "split", "loss": "threshold", "units": 8},
    ),
    "forward_forward_fields": (
        {},
        {"negatives": "pairing"},
        {"negatives": "hybrid", "loss": "threshold"},
        {"negatives": "pairing", "rate_floor": 1.0},
        {"labels": "projection"},
        {"labels": "blocks", "units": 6},
    ),
    "forward_forward_top_down": (
        {"units": (7, 5), "steps": 2},
        {"units": 7, "steps": 2},
        {"units": (7, 5), "steps": 2, "loss": "threshold", "negatives": "stored"},
        STILL,
        {**STILL, "candidates": "never"},
        {**STILL, "units": 7, "loss": "threshold"},
    ),
}
"""Options beside which each of the others is tried."""

every_beside = pytest.mark.parametrize(
    ("rule", "beside"),
    [
        pytest.param(
            rule,
            beside,
            id="-".join([rule, *(f"{key}={value}" for key, value in beside.items())]),
            marks=pytest.mark.xdist_group(f"{rule}-{beside.get('labels', '')}".rstrip("-")),
        )
        for rule, several in BESIDE.items()
        for beside in several
    ],
)


def options_of(rule: str, given: Options) -> Any:
    """Options of a small layer."""
    small: Options = {"units": 7}
    if rule == "forward_forward_fields":
        small |= {"field": 2, "stride": 1, "pool": 2, "pool_stride": 1}
    return resolve(RULES[rule]).Options(rule=rule, **{**small, **given})


def stream(count: int) -> tuple[F32, I32]:
    """Rows [B, 36] around one centre a class, some inputs zero; a third without a label."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, CLASSES, count).astype(np.int32)
    centres = rng.standard_normal((CLASSES, WIDTH))
    x = np.maximum(centres[y] + 0.5 * rng.standard_normal((count, WIDTH)), 0)
    y[rng.random(count) < 1 / 3] = UNLABELLED
    return np.ascontiguousarray(x, np.float32), y


def said(rule: str, given: Options) -> list[F32]:
    """All that a layer says while it learns, and when asked later."""
    part = CLASSES_OF[rule](options_of(rule, given), Place(WIDTH, SHAPE, CLASSES, 3))
    x, y = stream(150 if rule == "forward_forward_top_down" else 420)
    asked = np.full_like(y[:20], UNLABELLED)
    return [*through(part, part.learn, x, y), *through(part, part.respond, x[:20], asked)]


def through(part: Any, work: Any, x: F32, y: I32) -> list[F32]:
    """Activities, lanes, evidence up to a constant."""
    out = np.zeros((len(x), part.width_out), np.float32)
    lanes = np.zeros((len(x), part.lanes_out, part.width_out), np.float32)
    scores = np.zeros((len(x), CLASSES if part.scores_out else 0), np.float32)
    work(Rows(x, out, y, 0, Beside(np.zeros((len(x), 0, WIDTH), np.float32), lanes, scores)))
    return [out, lanes, scores - scores.mean(axis=1, keepdims=True) if scores.size else scores]


def differs(one: list[F32], other: list[F32]) -> bool:
    """Whether two layers say different things, by more than rounding."""
    return any(
        a.shape != b.shape or (a.size > 0 and float(np.abs(a - b).max()) > 1e-3)
        for a, b in zip(one, other, strict=True)
    )


@every_beside
def test_an_option_is_refused_where_it_changes_nothing_and_nowhere_else(
    rule: str, beside: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option is set beside others: what the layer says changes, or the table refuses it."""
    places = ("forward_forward.rule", "forward_forward_fields.layer")
    for place in (*places, "forward_forward_top_down.layer"):
        monkeypatch.setattr(f"streamlearn.rules.{place}.check", lambda *_: None)
    assert not idle(options_of(rule, beside), TABLES[rule])
    plain = said(rule, beside)
    wrong = []
    for name, value in OTHER[rule].items():
        given = {**beside, name: value}
        if name in beside or (name == "decorrelate" and beside.get("step") == "adagrad"):
            continue
        if (name, value) == ("step", "adagrad") and beside.get("decorrelate"):
            continue
        refused = name in idle(options_of(rule, given), TABLES[rule])
        if refused == differs(said(rule, given), plain):
            wrong.append(f"{name} = {value}: {'refused' if refused else 'ignored'}")
    assert not wrong


WHAT_IT_IS: Final = {
    *("rule", "name", "frozen", "reads", "learns_from", "learns_rows"),
    *("units", "labels", "shrink", "evidence"),
}
"""Options that say what the layer is, or what it writes."""


def test_every_option_is_tried() -> None:
    """Each has another value here, but for those that say what the layer is."""
    for rule, others in OTHER.items():
        names = {one.name for one in msgspec.structs.fields(resolve(RULES[rule]).Options)}
        assert names - WHAT_IT_IS == {*others}


PROJECTION: Final = "forward_forward", {}
BLOCKS: Final = "forward_forward", {"labels": "blocks"}
OVERLAY: Final = "forward_forward", {"labels": "overlay"}
NONE: Final = "forward_forward", {"labels": "none"}
COMPETE: Final = "forward_forward_fields", {}
MADE_UP: Final = "forward_forward_fields", {"negatives": "pairing"}
FIELDS: Final = "forward_forward_fields", {"labels": "blocks", "units": 6}
READ_OUT: Final = "forward_forward_fields", {"labels": "projection"}
VIDEO: Final = "forward_forward_top_down", {"units": (7, 5)}
LABEL: Final = "forward_forward_top_down", STILL
CONTRAST: Final = 'labels = "overlay" or "none"'

REFUSED: Final[tuple[tuple[tuple[str, Options], Options, str], ...]] = (
    *((PROJECTION, {name: OTHER["forward_forward"][name]}, CONTRAST) for name in (
        "activation", "start", "goodness", "peer", "loss", "margin", "negatives",
        "reservoir_rows", "phases", "wake_rows")),
    (BLOCKS, {"threshold": 0.3}, CONTRAST),
    (PROJECTION, {"threshold": 0.3}, CONTRAST),
    (NONE, {"threshold": 0.3}, 'loss = "threshold"'),
    (NONE, {"threshold": 0.3, "goodness": "split", "loss": "threshold", "units": 8},
     'another goodness than "split", or an odd number of units,'),
    (NONE, {"margin": 3.0, "loss": "threshold"}, 'loss = "pair"'),
    (PROJECTION, {"scale": 2.0}, 'labels = "blocks" or "overlay" or "none"'),
    *((NONE, {name: OTHER["forward_forward"][name]}, 'labels = "overlay"')
      for name in ("label_strength", "wrong_label", "candidates")),
    (NONE, {"reservoir_rows": 3, "negatives": "shuffled"},
     'negatives = "hybrid" or "pairing" or "generated"'),
    (NONE, {"wake_rows": 7}, 'phases = "apart"'),
    (BLOCKS, {"read_rate": 0.1}, 'labels = "projection"'),
    (OVERLAY, {"smoothing": 0.4}, 'labels = "projection" or "blocks"'),
    (OVERLAY, {"decorrelate": True}, 'labels = "projection" or "blocks"'),
    (OVERLAY, {"damping": 0.5, "decorrelate": True}, 'labels = "projection" or "blocks"'),
    (PROJECTION, {"damping": 0.5}, "decorrelate = true"),
    (OVERLAY, {"decay_rows": 10.0, "step": "adagrad"}, 'step = "sgd"'),
    (PROJECTION, {"rate_floor": 1.0, "step": "adagrad"}, 'step = "sgd"'),
    (PROJECTION, {"decay_rows": 10.0, "rate_floor": 1.0}, "rate_floor below 1"),
    (NONE, {"memory_rows": 10, "average": False}, 'average = true, or step = "adagrad"'),
    (NONE, {"revisits": 2}, 'labels = "projection" or "blocks" or "overlay"'),
    (NONE, {"unlabelled": 1.0}, 'labels = "projection" or "blocks" or "overlay"'),
    (NONE, {"kept_rows": 3, "revisits": 2}, 'labels = "projection" or "blocks" or "overlay"'),
    (OVERLAY, {"kept_rows": 3}, "revisits above 0"),
    *((FIELDS, {name: OTHER["forward_forward_fields"][name]}, 'labels = "none"') for name in (
        "silence", "patches", "conscience", "negatives", "loss", "threshold", "margin",
        "reservoir_rows")),
    *((MADE_UP, {name: OTHER["forward_forward_fields"][name]}, 'negatives = "none"')
      for name in ("silence", "patches", "conscience")),
    *((COMPETE, {name: OTHER["forward_forward_fields"][name]}, 'negatives = "hybrid" or "pairing"')
      for name in ("loss", "margin", "reservoir_rows")),
    (COMPETE, {"threshold": 2.0, "loss": "threshold"}, 'negatives = "hybrid" or "pairing"'),
    (MADE_UP, {"threshold": 2.0}, 'loss = "threshold"'),
    (MADE_UP, {"margin": 5.0, "loss": "threshold"}, 'loss = "pair"'),
    (READ_OUT, {"scale": 2.0}, 'labels = "blocks", or negatives = "hybrid" or "pairing"'),
    (COMPETE, {"smoothing": 0.4}, 'labels = "blocks" or "projection"'),
    (FIELDS, {"read_rate": 0.2}, 'labels = "projection"'),
    *((COMPETE, {name: OTHER["forward_forward_fields"][name]},
       'labels = "blocks" or "projection", or negatives = "hybrid" or "pairing"')
      for name in ("rate", "decay_rows")),
    (MADE_UP, {"decay_rows": 10.0, "rate_floor": 1.0}, "rate_floor below 1"),
    *((VIDEO, {name: OTHER["forward_forward_top_down"][name]}, 'labels = "overlay"') for name in (
        "wrong_label", "label_strength", "candidates", "score_from", "score_to")),
    *((LABEL, {name: 2, "candidates": "never"}, 'candidates = "asked" or "always"')
      for name in ("score_from", "score_to")),
    (LABEL, {"negatives": "mixed"}, 'labels = "none"'),
    (LABEL, {"stored_rows": 3, "negatives": "mixed"}, 'labels = "none"'),
    (VIDEO, {"stored_rows": 3}, 'negatives = "stored" or "mixed"'),
    (VIDEO, {"threshold": 0.2}, 'loss = "threshold"'),
    (VIDEO, {"margin": 5.0, "loss": "threshold"}, 'loss = "pair"'),
    (VIDEO, {"update": "synchronous", "units": 7}, "several levels of units"),
)  # fmt: skip
"""Rule and what is beside, options of which the first is refused, what it needs."""


@pytest.mark.parametrize(("where", "given", "wanted"), REFUSED, ids=str)
def test_what_means_nothing_is_refused(
    where: tuple[str, Options], given: Options, wanted: str
) -> None:
    """The line names key, need, what was found and the value; a file's has the path before it."""
    rule, beside = where
    name, value = next(iter(given.items()))
    layer = msgspec.to_builtins(options_of(rule, {**beside, **given}))
    config = {"stream": {"shape": [*SHAPE], "classes": CLASSES}, "layer": [layer]}
    with pytest.raises(ConfigError) as caught:
        check(parse(config, CATALOGUE), "my.toml")
    begin = f"my.toml: layer[0].{name}: expected {wanted} beside it, got "
    written = msgspec.json.encode(value).decode()
    end = f"under which {name} = {written} means nothing; change one of them"
    fitting = [one for one in caught.value.lines if one.startswith(begin) and one.endswith(end)]
    assert fitting, caught.value.lines


@pytest.mark.parametrize("rule", TABLES)
def test_every_row_of_the_tables_is_tried(rule: str) -> None:
    """For each option in each row something above is refused by it, and by no other row."""
    every = TABLES[rule]
    for i, row in enumerate(every):
        for name in row.names:
            kept = Only(tuple(one for one in row.names if one != name), row.need)
            less = (*every[:i], kept, *every[i + 1 :])
            tried = [
                options_of(rule, {**where[1], **given})
                for where, given, _ in REFUSED
                if where[0] == rule and next(iter(given)) == name
            ]
            lines = [(idle(one, every).get(name), idle(one, less).get(name)) for one in tried]
            assert any(one is not None and one != other for one, other in lines), (row, name)


def test_a_sleep_is_not_longer_than_the_stream_can_wait() -> None:
    """More rows awake than one sleep takes are refused, with the range."""
    layer = {"rule": "forward_forward", "units": 4, "labels": "none", "phases": "apart"}
    config = {"stream": {"shape": [3, 4]}, "layer": [{**layer, "wake_rows": 1001}]}
    with pytest.raises(ConfigError, match=r"layer\[0\]\.wake_rows: expected 1…1000, got 1001"):
        parse(config, CATALOGUE)
