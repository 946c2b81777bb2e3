"""`pool`: each stream's own last rows, from where it begins."""

import numpy as np
import pytest
from naive.pool import Pool as Naive

from streamlearn.errors import ConfigError
from streamlearn.part import F32, Origin, Place, Rows
from streamlearn.rules.pool import Pool

PLACE = Place(width_in=3, shape_in=(3,), classes=0, seed=1, live=4)


def rows_of(x: F32, slot: list[int], begins: list[int], width: int) -> Rows:
    """Rows with an origin, to be answered."""
    none = np.zeros(len(x), np.int32)
    origin = Origin(np.array(slot, np.int32), np.array(begins, np.uint8), none, none)
    out = np.full((len(x), width), np.nan, np.float32)
    return Rows(x, out, np.full(len(x), -1, np.int32), 0, None, origin)


def test_streams_are_pooled_each_by_itself() -> None:
    """Rows of streams in turn, some beginning anew, are as the slow twin has them."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 3)).astype(np.float32)
    slot = rng.integers(0, 5, 300).tolist()
    begins = (rng.random(300) < 0.05).astype(int).tolist()
    options = Pool.Options(rule="pool", rows=4)
    fast, slow = Pool(options, PLACE), Naive(options, PLACE)
    ours, theirs = rows_of(x, slot, begins, 6), rows_of(x, slot, begins, 6)
    fast.learn(ours)
    slow.learn(theirs)
    np.testing.assert_allclose(ours.out, theirs.out, 1e-5, 1e-5)


def test_a_question_with_an_origin_is_a_stream_of_its_own() -> None:
    """It is pooled from its first row, whatever went before, and leaves nothing behind."""
    pool = Pool(Pool.Options(rule="pool", rows=3), PLACE)
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    pool.learn(rows_of(100 + x, [0] * 4, [1, 0, 0, 0], 6))
    before = {name: array.copy() for name, array in pool.arrays().items()}
    question = rows_of(x, [0] * 4, [1, 0, 0, 0], 6)
    pool.respond(question)
    np.testing.assert_allclose(question.out[0], [0, 1, 2, 0, 0, 0])
    np.testing.assert_allclose(question.out[3, :3], x[1:].mean(axis=0))
    for name, array in pool.arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_too_many_rows_are_refused() -> None:
    """All streams' rows together take at most 1 GiB."""
    place = PLACE._replace(width_in=4096, live=4096)
    with pytest.raises(ConfigError, match=r"rows: .* GB; make it or stream\.live smaller"):
        Pool(Pool.Options(rule="pool", rows=100), place)
