"""What sensors do when they go wrong: bounded, counted, and over once good data are back."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlearn.config import parse
from streamlearn.errors import ConfigError, RejectedError
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE, check
from streamlearn.wire.message import Label, Sample, Schema, decode, encode

Samples = NDArray[np.float32]

RAW = {
    "stream": {"shape": [3], "dtype": "<f4", "classes": 2, "live": 3, "gap_s": 5.0},
    "prepare": [
        {"step": "window", "rows": 6, "hop": 3},
        {"step": "standardize", "memory_rows": 60},
    ],
    "layer": [
        {
            "rule": "greedy_infomax",
            "units": 12,
            "negatives": 3,
            "warm_rows": 8,
            "negatives_from": "device",
        },
        {"rule": "pool", "rows": 4},
    ],
    "head": [{"kind": "least_squares"}],
    "ingest": {"max_streams": 50},
}


def turning(n: int, phase: float = 0.0) -> Samples:
    """A sensor that turns."""
    t = np.arange(n) / 3.0 + phase
    return np.stack([np.sin(t), np.cos(t), np.sin(2 * t)], axis=1).astype(np.float32)


@pytest.fixture
def learner():
    """A learner whose threads run."""
    one = running(RAW)
    yield one
    one.pipeline.close()


def running(raw: dict[str, Any]) -> Learner:
    """A learner whose threads run until they are closed."""
    one = Learner(parse(raw, CATALOGUE))
    one.assemble()
    one.warm()
    one.pipeline.start()
    return one


def play(one: Learner, stream: str, seq: int, x: Samples, t: float = math.nan) -> None:
    """Rows of a stream as one message, learned before this returns."""
    offer(one, Sample(stream, "", seq, len(x), t, x, None))
    one.pipeline.wait_done()
    one.pipeline.check()


def gauges(one: Learner) -> dict[str, float]:
    """Of the module."""
    stage = one.layer("layer1")
    assert stage is not None
    return stage.gauges()


def after(trouble: Samples, names: int, step: dict[str, Any]) -> dict[str, float]:
    """Gauges of a module that turned, saw trouble on so many of four streams, and turned again."""
    window, stream = RAW["prepare"][0], {**RAW["stream"], "live": 4}
    one = running({**RAW, "stream": stream, "prepare": [window, step]})
    try:
        for k in range(4):
            play(one, f"a/{k}", 0, turning(600, phase=k))
        for begin in range(0, len(trouble), 100):
            for k in range(names):
                play(one, f"a/{k}", 600 + begin, trouble[begin : begin + 100])
        for begin in range(0, 3000, 100):
            for k in range(4):
                part = turning(3000, phase=k)[begin : begin + 100]
                play(one, f"a/{k}", 20_000 + begin, part)
        for stage in one.parts:
            assert all(np.isfinite(array).all() for array in stage.part.arrays().values())
        return gauges(one)
    finally:
        one.pipeline.close()


@pytest.fixture(scope="module")
def calm() -> dict[str, float]:
    """Gauges of a module that saw no trouble."""
    return after(np.zeros((0, 3), np.float32), 0, REMEMBERS)


FORGETS = {"step": "standardize", "memory_rows": 60, "patience_rows": 100}
REMEMBERS = {"step": "standardize"}
WILD = np.random.default_rng(1).uniform(-1e30, 1e30, (10_000, 3)).astype(np.float32)


@pytest.mark.parametrize("step", [FORGETS, REMEMBERS], ids=["forgets", "remembers"])
@pytest.mark.parametrize(
    ("trouble", "names"),
    [
        (np.zeros((900, 3), np.float32), 1),
        (np.full((900, 3), 3e4, np.float32), 1),
        (np.sign(turning(900)) * np.float32(1e6), 1),
        (WILD[:6], 1),
        (turning(900) * np.array([1, 0, 1], np.float32), 1),
        (WILD, 4),
    ],
    ids=["silent", "stuck", "saturated", "one row", "a channel gone", "wild"],
)
def test_trouble_ends_when_good_data_come_back(
    trouble: Samples, names: int, step: dict[str, Any], calm: dict[str, float]
) -> None:
    """Whatever came, 4,000 rows later a module tells steps as well as one that saw no trouble.

    Half of these rows are what `standardize` may take to believe them; figures fade over 1,000.
    """
    told = after(trouble, names, step)
    assert all(math.isfinite(value) for value in told.values())
    assert calm["accuracy"] > 0.85
    assert told["accuracy"] > calm["accuracy"] - 0.05
    assert told["loss"] < calm["loss"] + 0.15
    assert told["rank"] > 0.8 * calm["rank"]
    assert told["variance"] > 0.8 * calm["variance"]


def test_a_late_label_finds_its_row_as_its_stream_sees_it() -> None:
    """Two sensors on different levels: a row that comes again has the statistics of its own."""
    step = {"step": "standardize", "per": "stream"}
    one = running({**RAW, "prepare": [step], "layer": []})
    try:
        for stream, level in (("a", 0.0), ("b", 1000.0)):
            play(one, stream, 0, turning(300) + np.float32(level))
        one.intake.label(Label("b", "", 299, np.ones(1, np.int32)), 0, 1)
        one.intake.flush()
        one.pipeline.wait_done()
        shown = one.ring.column(one.prepared)[(one.ring.head - 1) % one.ring.rows]
        np.testing.assert_allclose(shown, turning(300)[-1] * np.sqrt(2), atol=0.1)
    finally:
        one.pipeline.close()


def test_a_thousand_names_take_the_place_of_fifty(learner: Learner) -> None:
    """Beyond `ingest.max_streams` messages are refused; of the fifty, three are kept."""
    refused = 0
    for k in range(1000):
        try:
            play(learner, f"a/{k}", 0, turning(7))
        except RejectedError:
            refused += 1
    assert refused == 950
    assert learner.intake.streams_kept == 3
    assert learner.intake.counts.begun["new"] == 50
    assert learner.learned() == 50


def test_ten_thousand_names_take_no_more_room_than_three() -> None:
    """Where so many are known, what is kept of each but a number is the same few places."""
    one = running({**RAW, "ingest": {"max_streams": 10_000}})
    try:
        room = sizes(one)
        for k in range(10_000):
            offer(one, Sample(f"a/{k}", "", 0, 7, math.nan, turning(7), None))
        one.pipeline.wait_done()
        one.pipeline.check()
        assert one.learned() == one.intake.counts.begun["new"] == 10_000
        assert one.intake.streams_kept == 3
        assert sizes(one) == room
    finally:
        one.pipeline.close()


def sizes(one: Learner) -> dict[str, int]:
    """Bytes of everything that a checkpoint holds of layers, windows and streams."""
    arrays = one.learning_arrays() | one.intake.snapshot()[0]
    return {name: array.nbytes for name, array in arrays.items()}


def test_a_stream_may_start_in_mid_recording(learner: Learner) -> None:
    """Whatever its first number is, it begins there, and nothing counts as missed."""
    play(learner, "a", 5000, turning(12))
    play(learner, "a", 5012, turning(3))
    assert learner.learned() == 4
    assert learner.intake.counts.begun == {"new": 1, "gap": 0, "clock": 0}
    assert learner.intake.counts.missed == 0


def test_rows_with_a_channel_less_are_refused_and_leave_a_gap(learner: Learner) -> None:
    """They do not reach the learner; what comes after them begins anew."""
    schema = Schema(shape=(3,), dtype="<f4", classes=2)
    x = turning(24)
    for begin, channels in ((0, 3), (6, 2), (12, 3), (18, 3)):
        part = np.ascontiguousarray(x[begin : begin + 6, :channels])
        frames = encode(Sample("a", "", begin, 6, math.nan, part, None))
        if channels == 3:
            offer(learner, decode(frames, schema))
            continue
        with pytest.raises(RejectedError, match=r"expected \[n ≥ 1, 3\], got \[6, 2\]"):
            decode(frames, schema)
    learner.pipeline.wait_done()
    assert learner.learned() == 1 + 3
    assert learner.intake.counts.begun == {"new": 1, "gap": 1, "clock": 0}
    assert learner.intake.counts.missed == 6


def test_a_window_may_be_longer_than_the_ring() -> None:
    """Windows are cut before the ring: one of a thousand samples is one row of it."""
    window = {"step": "window", "rows": 1000, "hop": 500}
    raw = {**RAW, "prepare": [window, RAW["prepare"][1]], "pipeline": {"ring_rows": 256}}
    one = running(raw)
    try:
        play(one, "a", 0, turning(2000))
        assert one.learned() == 3
    finally:
        one.pipeline.close()


def test_gaps_and_clocks_that_jump_begin_anew(learner: Learner) -> None:
    """No window reaches across a gap; each is counted under its reason."""
    play(learner, "a", 0, turning(8), t=100.0)
    play(learner, "a", 8, turning(1), t=101.0)
    assert learner.learned() == 2
    play(learner, "a", 20, turning(5), t=102.0)
    play(learner, "a", 25, turning(5), t=50.0)
    play(learner, "a", 30, turning(5), t=500.0)
    assert learner.learned() == 2
    assert learner.intake.counts.begun == {"new": 1, "gap": 1, "clock": 2}
    assert learner.intake.counts.missed == 11


def test_what_cannot_work_is_refused_by_name() -> None:
    """Hops of zero, windows after other steps, more rows than the ring or a past has."""
    window, step = RAW["prepare"]
    for changed, line in (
        ({"prepare": [{**window, "hop": 0}]}, r"prepare\[0\]\.hop: expected 1…65536, got 0"),
        ({"prepare": [step, window]}, r"prepare\[1\]\.step: 'window' cuts the stream itself"),
        (
            {"layer": [{"rule": "pool", "rows": 9000}]},
            r"pipeline\.ring_rows: expected at least 9000, .* got 4096; make it larger",
        ),
        (
            {"prepare": [{**window, "rows": 200_000_000}]},
            r"prepare\[0\]\.rows: expected 1…\d+, got 200000000",
        ),
        (
            {"layer": [{"rule": "greedy_infomax", "units": 4, "steps": 65}]},
            r"layer\[0\]\.steps: expected 1…64, got 65",
        ),
    ):
        with pytest.raises(ConfigError, match=line):
            check(parse({**RAW, **changed}, CATALOGUE), "file")
