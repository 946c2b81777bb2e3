"""The rubbish generator keeps its own promises, before it is thrown at anything."""

from collections import Counter

import pytest
from wire.rubbish import FAULTS, messages

from streamlearn.errors import REASONS, RejectedError
from streamlearn.wire.message import Sample, Schema, decode

SCHEMAS = [
    Schema(shape=(4,), dtype=None, classes=3),
    Schema(shape=(8, 8), dtype="|u1", classes=10),
    Schema(shape=(16,), dtype="<f4", classes=2),
    Schema(shape=(3, 2), dtype="<f8", classes=5),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema.dtype))
def test_each_message_is_what_it_is_labelled(schema: Schema) -> None:
    """Every message is refused under its label's reason; valid rows are numbered without gaps."""
    counts: Counter[str] = Counter()
    seqs = []
    for frames, expected in messages(1, 3000, schema):
        got, found = None, ""
        try:
            got = decode(frames, schema)
        except RejectedError as error:
            found = error.reason
            counts[found] += 1
        assert found == expected or (found and expected is None), frames
        if isinstance(got, Sample):
            seqs.append(got.seq)
    assert seqs == list(range(600))
    assert set(counts) == set(FAULTS) == set(REASONS) - {"auth"}
    assert min(counts.values()) > 20


def test_the_same_seed_gives_the_same_rubbish() -> None:
    """A failure can be repeated."""
    first, again, other = (list(messages(seed, 200, SCHEMAS[0])) for seed in (1, 1, 2))
    assert first == again != other
