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
from streamlearn.wire.message import Sample, Schema, decode, encode

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


def turning(n: int, phase: float = 0.0) -> NDArray[np.float32]:
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


def play(one: Learner, stream: str, seq: int, x: NDArray[np.float32], t: float = math.nan) -> None:
    """Rows of a stream as one message, learned before this returns."""
    offer(one, Sample(stream, "", seq, len(x), t, x, None))
    one.pipeline.wait_done()
    one.pipeline.check()


def gauges(one: Learner) -> dict[str, float]:
    """Of the module."""
    stage = one.layer("layer1")
    assert stage is not None
    return stage.gauges()


@pytest.mark.parametrize(
    "trouble",
    [
        np.zeros((900, 3), np.float32),
        np.full((900, 3), 3e4, np.float32),
        np.sign(turning(900)) * np.float32(1e6),
        turning(900) * np.array([1, 0, 1], np.float32),
    ],
    ids=["silent", "stuck at its limit", "saturated", "a channel gone"],
)
def test_trouble_ends_when_good_data_come_back(
    learner: Learner, trouble: NDArray[np.float32]
) -> None:
    """Whatever came for a while, codes vary and steps are told apart afterwards.

    `standardize` has to forget for that: what is 10^6 times too large is out of its variance after
    28 times `memory_rows`.
    """
    for k in range(3):
        play(learner, f"a/{k}", 0, turning(600, phase=k))
    play(learner, "a/0", 600, trouble)
    for k in range(3):
        play(learner, f"a/{k}", 2000, turning(3000, phase=k))
    told = gauges(learner)
    assert all(math.isfinite(value) for value in told.values())
    assert told["variance"] > 0.05
    assert told["accuracy"] > 0.4
    for stage in learner.parts:
        assert all(np.isfinite(array).all() for array in stage.part.arrays().values())


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
