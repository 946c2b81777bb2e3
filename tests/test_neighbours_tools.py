"""What measures the neighbours head: a full memory is timed, a copy of it knows as much."""

import neighbours
import numpy as np
from contract.parts import infer

from streamlearn.bench.neighbours import full


def test_a_full_memory_is_what_is_timed() -> None:
    """The head that is timed has every slot in use, and rows of every class among them."""
    head = full(300, 64)
    assert head.gauges()["rows"] == 300
    assert head.arrays()["memory"].any(axis=1).all()
    scores = infer(head, np.random.default_rng(3).standard_normal((200, 64)).astype(np.float32))
    assert (scores.sum(axis=0) > 0).all()


def test_raw_digits_are_read_by_their_neighbours() -> None:
    """One pass over optdigits as it came: 1.5 to 3 % of other writers' digits are misread."""
    row = neighbours.measured("optdigits", "neighbours, 5,000 rows kept", 1)
    assert row.name in neighbours.ORDER
    assert 1.5 < row.ours < 3


def test_a_search_that_is_taken_over_knows_what_was_learned() -> None:
    """A copy of what a head remembers answers as it does, exactly or with the index it has."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((400, 16)).astype(np.float32)
    known = neighbours.knowing(x, (x[:, 0] > 0).astype(np.int32))
    copy = neighbours.searching(x.shape, index="approximate")
    for name in neighbours.MEMORY + neighbours.INDEX:
        copy.arrays()[name][...] = known.arrays()[name]
    scores, _ = neighbours.answered(copy, x[:50] + np.float32(0.1), together=True)
    np.testing.assert_array_equal(scores, infer(known, x[:50] + np.float32(0.1)))
    alone, _ = neighbours.answered(copy, x[:50] + np.float32(0.1), together=False)
    np.testing.assert_array_equal(scores, alone)
