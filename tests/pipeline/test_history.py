"""Late labels find their rows: the history against a plain list of everything that ever came."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.pipeline.history import History

message = st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 9))


@given(keep=st.integers(0, 12), messages=st.lists(message, max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_label_finds_the_row_that_a_plain_list_finds(keep, messages):
    """The last keep rows are found by (source, seq), the newest numbering wins, older are not."""
    history = History(keep, 1, np.float32)
    everything: list[tuple[int, int, float]] = []
    numbered: dict[int, int] = {}
    value = 0.0
    for source, seq, count in messages:
        if seq < numbered.get(source, 0):
            everything = [(-1, 0, v) if s == source else (s, q, v) for s, q, v in everything]
        numbered[source] = seq + count
        x = np.arange(value, value + count, dtype=np.float32)[:, None]
        value += count
        everything += [(source, seq + i, float(v)) for i, v in enumerate(x[:, 0])]
        history.add(source, seq, x, None)
    reachable = {(s, q): i for i, (s, q, _) in enumerate(everything) if i >= len(everything) - keep}
    for source in range(3):
        for seq in range(24):
            assert history.find(source, seq) == reachable.get((source, seq), -1)
    for sample in reachable.values():
        row = history.label(sample, 1)
        assert row is not None
        assert row[0] == everything[sample][2]


@given(keep=st.integers(1, 12), messages=st.lists(message, max_size=30), cut=st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_a_restored_history_finds_the_same(keep, messages, cut):
    """What the arrays hold is all there is to know."""
    history = History(keep, 1, np.float32)
    for source, seq, count in messages[:cut]:
        history.add(source, seq, np.ones((count, 1), np.float32), None)
    other = History(keep, 1, np.float32)
    for name, array in other.arrays().items():
        array[...] = history.arrays()[name]
    other.restored(history.samples)
    assert [other.find(s, q) for s in range(3) for q in range(24)] == [
        history.find(s, q) for s in range(3) for q in range(24)
    ]


def test_a_label_is_joined_once():
    """A row that has its label does not take another."""
    history = History(4, 1, np.float32)
    history.add(0, 0, np.ones((2, 1), np.float32), np.array([3, -1], np.int32))
    assert history.label(0, 1) is None
    assert history.label(1, 1) is not None
    assert history.label(1, 2) is None


def test_memory_does_not_grow_with_the_stream():
    """Law 4: many sources in turn, one that numbers every row 0: the index stays small."""
    history = History(10, 1, np.float32)
    x = np.ones((1, 1), np.float32)
    for i in range(5000):
        history.add(i % 50, i // 50, x, None)
        history.add(50, 0, x, None)
    spans = sum(len(s.seqs) for s in history._spans.values())
    assert len(history._order) <= 12
    assert spans <= 200
