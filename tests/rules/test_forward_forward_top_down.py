"""The net with top-down connections: as written, without gaps in time, and able to see order."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.forward_forward_top_down import ForwardForwardTopDown as Naive

from streamlearn.errors import ConfigError
from streamlearn.part import F32, I32, UNLABELLED, Beside, Place, Rows
from streamlearn.rules.forward_forward_top_down import ForwardForwardTopDown

SEED = 31
CLASSES = 3
STILL: dict[str, Any] = {
    "units": (7, 5),
    "labels": "overlay",
    "steps": 4,
    "update": "synchronous",
    "carry": False,
    "frames": 1,
    "score_to": 4,
}
VIDEO: dict[str, Any] = {"units": (7, 5), "frames": 3, "evidence": True}


def net(shape: tuple[int, ...] = (3, 4), cls: Any = ForwardForwardTopDown, **options: Any) -> Any:
    """A net of the fast rule, or of its slow twin."""
    place = Place(int(np.prod(shape)), shape, CLASSES, SEED)
    made = ForwardForwardTopDown.Options(rule="forward_forward_top_down", **options)
    return cls(made, place)


def wide(part: Any) -> int:
    """Numbers a row that a net of the tests, or its twin, writes."""
    units = part.options.units
    units = (units,) if isinstance(units, int) else units
    return int(sum(units) + (2 * len(units) if part.options.evidence else 0))


def learn(part: Any, x: F32, y: I32 | None = None, first: int = 0) -> tuple[F32, F32]:
    """Learn rows [B, D]; returns what was written: outputs [B, H] and scores [B, K]."""
    return _written(part, "learn", x, y, first)


def respond(part: Any, x: F32) -> tuple[F32, F32]:
    """Ask about rows [B, D]; the same."""
    return _written(part, "respond", x, None, 0)


def _written(part: Any, how: str, x: F32, y: I32 | None, first: int) -> tuple[F32, F32]:
    x = np.ascontiguousarray(x.reshape(len(x), math.prod(x.shape[1:])), np.float32)
    out = np.full((len(x), wide(part)), np.nan, np.float32)
    scores = np.zeros((len(x), CLASSES if part.options.labels == "overlay" else 0), np.float32)
    none = np.zeros((len(x), 0, 0), np.float32)
    y = np.full(len(x), UNLABELLED, np.int32) if y is None else y
    getattr(part, how)(Rows(x, out, y, first, Beside(none, none, scores)))
    return out, scores


def digits(count: int, seed: int = SEED) -> tuple[F32, I32]:
    """Rows [B, 12] around one centre a class, some inputs zero; a quarter without a label."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((CLASSES, 12))
    y = rng.integers(0, CLASSES, count).astype(np.int32)
    x = np.maximum(centres[y] + 0.4 * rng.standard_normal((count, 12)), 0)
    y[rng.random(count) < 0.25] = UNLABELLED
    return np.ascontiguousarray(x, np.float32), y


def drifting(count: int, seed: int = SEED, shape: tuple[int, int] = (4, 12)) -> F32:
    """A film [T, h, w]: spots that move to the right, round and round, over a fixed picture."""
    rng = np.random.default_rng(seed)
    h, w = shape
    speed, place = rng.uniform(0.4, 1.2, (h, 2)), rng.uniform(0, w, (h, 2))
    across = np.arange(w)
    picture = 50 * rng.random(shape)
    film = np.empty((count, h, w))
    for t in range(count):
        far = (across - (place + speed * t)[..., None]) % w
        spots = np.exp(-0.5 * np.minimum(far, w - far) ** 2).sum(axis=1)
        film[t] = picture + 60 * spots + rng.standard_normal(shape)
    return film.astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [
        STILL,
        STILL | {"loss": "threshold", "peer": 0.1, "decay_rows": 30, "learn_from": 2},
        STILL | {"update": "alternating", "wrong_label": "random", "units": (6, 5, 4)},
        STILL | {"average": True, "settled": False, "candidates": "always", "memory_rows": 0},
        STILL
        | {
            "units": 8,
            "update": "alternating",
            "carry": True,
            "frames": 2,
            "candidates": "always",
        },
        VIDEO,
        VIDEO | {"negatives": "mixed", "stored_rows": 5, "background_rows": 20, "average": True},
        VIDEO | {"negatives": "returned", "update": "synchronous", "steps": 3, "evidence": False},
        VIDEO | {"negatives": "stored", "carry": False, "units": (6, 4, 3), "shrink": 1},
        {"units": 6, "frames": 2, "loss": "threshold"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_step_is_that_of_the_slow_twin(options: dict[str, Any]) -> None:
    """After each row outputs, scores and state are those of the equations, worked out slowly."""
    fast, slow = net(**options), net(cls=Naive, **options)
    film = drifting(100, shape=(3, 4)).reshape(100, -1)
    x, y = digits(100) if options.get("labels") == "overlay" else (film, digits(100)[1])
    # Rounding grows from row to row, and row 83 of this film alone makes it twenty times as large.
    for b in range(80):
        ours, theirs = (learn(part, x[b : b + 1], y[b : b + 1], b) for part in (fast, slow))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, 2e-3, 2e-3, err_msg=f"row {b}")
        for name, array in slow.arrays().items():
            mine = fast.arrays()[name]
            np.testing.assert_allclose(mine, array, 2e-3, 2e-3, err_msg=f"{name}, row {b}")


def test_images_are_shrunk_to_the_means_of_their_squares() -> None:
    """A net that shrinks rows is one without, on rows that were shrunk before."""
    film = drifting(80, shape=(4, 12))
    small = film.reshape(80, 2, 2, 6, 2).mean(axis=(2, 4))
    one, other = net((4, 12), shrink=2, **VIDEO), net((2, 6), **VIDEO)
    np.testing.assert_allclose(learn(one, film)[0], learn(other, small)[0], 1e-3, 1e-3)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 90), max_size=6), options=st.sampled_from([STILL, VIDEO]))
def test_where_blocks_end_changes_nothing(cuts: list[int], options: dict[str, Any]) -> None:
    """Any cut of a stream into blocks gives the same bits: time goes on across blocks."""
    x, y = digits(90)
    whole, cut = net(**options), net(**options)
    together = learn(whole, x, y)[0]
    pieces = [learn(cut, x[a:b], y[a:b], a)[0] for a, b in pairwise([0, *sorted(cuts), 90])]
    assert np.concatenate(pieces).tobytes() == together.tobytes()
    assert _state(cut) == _state(whole)


def _state(part: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in part.arrays().items()}


@pytest.mark.parametrize("negatives", ["reversed", "mixed"])
def test_a_restart_in_mid_film_changes_no_bit(negatives: str) -> None:
    """A fresh net into which the arrays are copied goes on from the same frames and activities."""
    film = drifting(120).reshape(120, -1)
    options = VIDEO | {"negatives": negatives, "background_rows": 30, "average": True}
    first, second = net((4, 12), **options), net((4, 12), **options)
    learn(first, film[:61])
    for name, array in first.arrays().items():
        second.arrays()[name][...] = array
    second.restored()
    after = [learn(part, film[61:], None, 61)[0].tobytes() for part in (first, second)]
    assert after[0] == after[1]
    assert _state(first) == _state(second)


def test_the_row_before_counts() -> None:
    """With `carry` and a window the same frame is answered by what came before it; else not."""
    film = drifting(60).reshape(60, -1)
    for carry, frames in ((True, 1), (False, 2), (False, 1)):
        part = net((4, 12), units=(9, 6), carry=carry, frames=frames, negatives="stored", rate=0.0)
        answers = [(learn(part, film[:n]), respond(part, film[50:51]))[1][0] for n in (20, 21)]
        assert (answers[0].tobytes() == answers[1].tobytes()) == (not carry and frames == 1)


def test_an_upper_level_reaches_a_lower_one() -> None:
    """What is above at one step is seen below at the next, and only then."""
    x, _ = digits(1)
    for steps, reaches in ((1, False), (2, True)):
        options = STILL | {"steps": steps, "units": (7, 5), "score_from": 1}
        low = [_lowest_under(label, x, options) for label in (0, 1)]
        assert (low[0].tobytes() != low[1].tobytes()) == reaches


def _lowest_under(label: int, x: F32, options: dict[str, Any]) -> F32:
    """Activities of the lowest level at the last step under a label."""
    part = net(**options)
    learn(part, x, np.array([label], np.int32))
    lowest: F32 = part._room.h[2, -1, :7].copy()
    return lowest


def test_asking_leaves_no_trace() -> None:
    """A question is answered like the row itself would be, and changes nothing."""
    film = drifting(70).reshape(70, -1)
    part = net((4, 12), background_rows=30, **VIDEO)
    learn(part, film[:60])
    for t in range(60, 70):
        before = _state(part)
        answer = respond(part, film[t : t + 1])[0]
        assert _state(part) == before
        np.testing.assert_array_equal(learn(part, film[t : t + 1], None, t)[0], answer)


def test_time_backwards_is_told_from_time_forwards() -> None:
    """After one pass over a film the lowest level's evidence says which way fresh frames run."""
    film = drifting(700)
    part = net((4, 12), units=(40, 20), frames=4, evidence=True, background_rows=50)
    learn(part, film[:600])
    kept = {name: array.copy() for name, array in part.arrays().items()}
    evidence = {}
    for name, frames in (("forwards", film[600:]), ("backwards", film[:600:-1])):
        for key, array in kept.items():
            part.arrays()[key][...] = array
        part.options = part.options.__class__(**_changed(part, rate=0.0))
        evidence[name] = learn(part, frames, None, 600)[0][8:, -3]
    assert (evidence["forwards"] > 0).mean() > 0.8
    assert (evidence["backwards"] < 0).mean() > 0.8


def _changed(part: Any, **changed: Any) -> dict[str, Any]:
    fields = part.options.__struct_fields__
    return {name: getattr(part.options, name) for name in fields} | changed


def test_labels_are_learned_with_the_label_on_top() -> None:
    """One pass teaches classes, by the goodness under each label and by the net's own softmax."""
    part = net(**STILL | {"units": (40, 30), "rate": 0.02})
    learn(part, *digits(1500))
    x, y = digits(400, seed=5)
    known = y >= 0
    by_goodness = respond(part, x)[1].argmax(axis=1)
    by_softmax = learn(part, x)[1].argmax(axis=1)
    assert (by_goodness == y)[known].mean() > 0.85
    assert (by_softmax == y)[known].mean() > 0.85


def test_a_film_of_one_frame_teaches_nothing() -> None:
    """A still has no order of time: the weights of the window stay as they are."""
    still = np.repeat(drifting(1), 50, axis=0).reshape(50, -1)
    part = net((4, 12), **VIDEO)
    before = part.arrays()["up1"].copy()
    learn(part, still)
    np.testing.assert_allclose(part.arrays()["up1"], before, atol=1e-5)


@pytest.mark.parametrize("options", [STILL, VIDEO, VIDEO | {"negatives": "mixed", "peer": 0.1}])
def test_extreme_rows_do_no_harm(options: dict[str, Any]) -> None:
    """Zeros, constants, huge and tiny rows leave all finite, and learning goes on."""
    x, y = digits(60)
    largest = np.full_like(x[:2], np.finfo(np.float32).max) * np.float32([[1], [-1]])
    wild = np.concatenate([0 * x[:3], 0 * x[:3] + 7, 1e6 * x[:3], largest, 1e-42 + 0 * x[:3]])
    part = net(**options | {"background_rows": 10})
    for _ in range(4):
        for rows, labels in ((x, y), (wild, y[: len(wild)])):
            out, scores = learn(part, rows.astype(np.float32), labels)
            assert np.isfinite(out).all()
            assert np.isfinite(scores).all()
    before = part.arrays()["up1"].copy()
    learn(part, x, y)
    assert (part.arrays()["up1"] != before).any()
    assert all(np.isfinite(array).all() for array in part.arrays().values())
    assert np.isfinite(list(part.gauges().values())).all()


def test_gauges_show_what_is_learned() -> None:
    """Goodness of the stream rises above that of its negatives, and no unit is dead."""
    part = net((4, 12), units=(30, 20), frames=4, background_rows=50)
    fresh = part.gauges()
    learn(part, drifting(500))
    later = part.gauges()
    assert fresh.keys() == later.keys() == set(ForwardForwardTopDown.GAUGES)
    assert later["goodness_positive"] > later["goodness_negative"]
    assert later["margin_lowest"] > 0.02
    assert later["dead_share"] < 0.2


def test_receptive_fields_are_images_of_the_newest_frame() -> None:
    """One small image a unit of the lowest level, a copy."""
    part = net((4, 12), shrink=2, **VIDEO)
    fields = part.receptive_fields()
    assert fields.shape == (7, 2, 6)
    np.testing.assert_array_equal(fields[3].ravel(), part.arrays()["up1"][:12, 3])
    assert not np.shares_memory(fields, part.arrays()["up1"])


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"frames": 1}, "frames"),
        ({"frames": 2, "negatives": "returned"}, "frames"),
        ({"shrink": 5}, "shrink"),
        (STILL | {"steps": 2}, "score_from"),
        (STILL | {"frames": 2}, "frames"),
        (STILL | {"evidence": True}, "evidence"),
        ({"learn_from": 2}, "learn_from"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], key: str) -> None:
    """One line names the key, what is expected and what was found."""
    with pytest.raises(ConfigError) as error:
        net(**{"units": 7, **options})
    assert [line for line in error.value.lines if line.startswith(f"{key}: expected")]
