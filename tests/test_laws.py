"""The laws of the pipeline that hold over every rule and head; the daemon's are in tests/faults.

1 order and blocks · 2 predicted before learned · 4 memory bounded · 5 no generator state ·
6 only checked rows · 8 no pickle (in test_structure).
"""

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.data.dataset import Dataset
from streamlearn.errors import UsageError
from streamlearn.evaluate import evaluate, offer
from streamlearn.heads import HEADS
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.prepare import STEPS
from streamlearn.rules import RULES
from streamlearn.schema import resolve
from streamlearn.wire.message import Sample

SMALL: dict[str, dict[str, Any]] = {
    "hebbian": {"units": 24},
    "forward_forward": {"units": 20},
    "forward_forward_fields": {"units": 5, "field": 3, "pool": 3, "reads": ["input"]},
    "forward_forward_top_down": {"units": [20, 12]},
    "greedy_infomax": {"units": 12, "negatives": 3, "warm_rows": 8},
    "pool": {"rows": 3},
    "geometric_spiking": {
        "units": 12,
        "window_ms": 200.0,
        "latency_ms": 20.0,
        "between": "carry",
    },
    "patches": {"side": 1},
    "neighbours": {"memory_rows": 60},
}
"""Options that a rule, head or step cannot do without."""


KEEPING = [step for step in STEPS if step != "spectrum"]
"""Steps that leave an image an image."""


def config(rules: list[str], heads: list[str], steps: list[str], **pipeline: int | str) -> Config:
    """A learner of 8 by 8 digits; a head that wants evidence gets a layer that gives it."""
    if any(resolve(HEADS[head]).READS_SCORES for head in heads):
        rules = [*rules, "forward_forward"]
    raw = {
        "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
        "prepare": [{"step": step, **SMALL.get(step, {})} for step in steps],
        "layer": [{"rule": rule, **SMALL.get(rule, {})} for rule in rules],
        "head": [{"kind": head, **SMALL.get(head, {})} for head in heads],
        "pipeline": pipeline,
    }
    return parse(raw, CATALOGUE)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The first 300 rows of optdigits."""
    return load("optdigits").train.first(300)


CUTS = [
    {"threads": 1, "block_rows": 1, "ring_rows": 6},
    {"threads": 3, "block_rows": 7, "ring_rows": 16},
    {"threads": 6, "block_rows": 64, "ring_rows": 4096},
]


PAIRS = [
    *((rule, "softmax") for rule in RULES),
    *(("hebbian", head) for head in HEADS if head != "softmax"),
]
"""Every rule and every head once: what one learns does not depend on the other."""


@pytest.mark.parametrize(("rule", "head"), PAIRS)
def test_law_1_blocks_and_threads_change_nothing(rule: str, head: str, digits: Dataset) -> None:
    """Two layers, every step, any cut and number of threads: the same weights to the bit."""
    results = [evaluate(config([rule, rule], [head], KEEPING, **cut), digits) for cut in CUTS]
    assert len({result["digest"] for result in results}) == 1
    assert len({str(result["prequential"]) for result in results}) == 1
    other = config([rule, rule], [head], KEEPING)
    turned = Dataset("turned", digits.X[::-1], digits.y[::-1], None, 10)
    assert evaluate(other, turned)["digest"] != results[0]["digest"]


@pytest.mark.parametrize("head", HEADS)
def test_law_2_a_row_is_predicted_before_it_is_learned(head: str) -> None:
    """Labels that are pure chance cannot be predicted, however often the head could learn them.

    A head that learned a row before it scored it would be nearly always right here.
    """
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 17, (400, 8, 8)).astype(np.uint8)
    labels = rng.integers(0, 10, 400).astype(np.int32)
    result = evaluate(config([], [head], ["unit_norm"]), Dataset("chance", rows, labels, None, 10))
    assert 0.83 < result["prequential"]["error"] < 0.97


def test_law_4_memory_does_not_grow_with_the_stream(digits: Dataset) -> None:
    """Ten times the rows leave no more Python memory behind than once the rows."""
    learner = config(list(RULES), list(HEADS), KEEPING, threads=1)
    evaluate(learner, digits)
    peaks = []
    for passes in (2, 20):
        tracemalloc.start()
        evaluate(learner, digits, passes=passes)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 200_000


def test_law_5_a_restored_learner_makes_the_same_choices(digits: Dataset, tmp_path: Any) -> None:
    """A learner that is saved, rebuilt and fed the rest ends as one that was never stopped."""

    def play(learner: Learner, begin: int, end: int) -> None:
        x = digits.X[begin:end].reshape(end - begin, -1)
        offer(learner, Sample("s", "", begin, end - begin, 0.0, x, digits.y[begin:end]))
        assert learner.pipeline.wait_done(60)

    def begin() -> Learner:
        learner = Learner(config(list(RULES), list(HEADS), KEEPING, block_rows=5))
        learner.assemble()
        learner.warm()  # compiling takes minutes, learning has sixty seconds
        return learner

    whole, first, second = begin(), begin(), begin()
    for learner in (whole, first):
        learner.pipeline.start()
    play(whole, 0, 300)
    play(first, 0, 137)
    second.restore(first.finish_snapshot(first.begin_snapshot(), 60))
    second.pipeline.start()
    play(second, 137, 300)
    for learner in (whole, first, second):
        learner.pipeline.close()
    assert second.digest() == whole.digest()
    assert second.reports() == whole.reports()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"X": np.full((3, 8, 8), np.nan)}, "row 0 is not finite"),
        ({"X": np.full((3, 8, 8), 1e39)}, "row 0 is not finite"),
        ({"X": np.zeros((3, 9))}, "shape"),
        ({"y": np.array([0, 1, 10], np.int32)}, r"y\[2\] is 10; stream.classes = 10 takes 0…9"),
    ],
)
def test_law_6_only_checked_rows_reach_a_kernel(change: dict[str, Any], says: str) -> None:
    """What the daemon refuses a message for, evaluate refuses a data set for, by name."""
    raw = {
        "stream": {"shape": [8, 8], "classes": 10},
        "layer": [{"rule": "hebbian", "units": 4}],
        "head": [{"kind": "softmax"}],
    }
    parts = {"X": np.zeros((3, 8, 8)), "y": np.zeros(3, np.int32)} | change
    with pytest.raises(UsageError, match=says):
        evaluate(parse(raw, CATALOGUE), Dataset("bad", parts["X"], parts["y"], None, 10))


def test_a_rule_that_is_not_used_is_not_imported() -> None:
    """Running one head never compiles another: its module is not even read."""
    code = (
        "import sys; from streamlearn.config import parse; "
        "from streamlearn.learner import Learner; from streamlearn.plan import CATALOGUE; "
        "raw = {'stream': {'shape': [4], 'classes': 2}, 'head': [{'kind': 'softmax'}]}; "
        "Learner(parse(raw, CATALOGUE)); "
        "print(*(m for m in sys.modules if m.startswith(('streamlearn.rules.', "
        "'streamlearn.heads.'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "streamlearn.heads.softmax" in done.stdout
    assert "least_squares" not in done.stdout
    assert "hebbian" not in done.stdout
