"""Version 1 is a promise: the same bytes mean the same for ever, in both directions."""

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from wire import golden

from streamlearn.errors import REASONS
from streamlearn.wire.message import Label, Sample, Schema, decode, encode
from streamlearn.wire.published import decode_published, encode_published

VERBS = (
    "ping",
    "status",
    "infer",
    "checkpoint",
    "pause",
    "resume",
    "freeze",
    "thaw",
    "add_layer",
    "set",
    "stop",
)
DOCS = Path(__file__).parents[2] / "docs" / "wire.md"
SCHEMA = Schema(shape=(2,), dtype=None, classes=10)
FRAMES = golden.frames()
TO, FROM = golden.to_daemon(), golden.from_daemon()


def plain(value: Any) -> Any:
    """A message as values that `==` compares, NaN too."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.reshape(len(value), -1).tolist()
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, msgspec.Struct):
        return {key: plain(item) for key, item in msgspec.structs.asdict(value).items()}
    return value


def test_the_file_holds_every_message() -> None:
    """Nothing in the file is left unread, nothing read is missing in it."""
    assert list(FRAMES) == [*TO, *FROM]


def test_the_example_of_the_specification() -> None:
    """Stream `cam0`, row 7, floats 0.5 and -2.0, class 1: byte for byte as promised."""
    assert [frame.hex() for frame in encode(TO["sample, one row"])] == [
        "63616d30",
        "86a17601a46b696e64a673616d706c65a373657107a56474797065a33c6634a57368617065920102a17901",
        "0000003f000000c0",
    ]


@pytest.mark.parametrize("name", TO)
def test_messages_to_the_daemon(name: str) -> None:
    """They are encoded to these bytes, and these bytes are decoded to them."""
    assert encode(TO[name]) == FRAMES[name]
    got = decode(FRAMES[name], SCHEMA)
    assert type(got) is type(TO[name])
    assert plain(got) == plain(TO[name])
    assert not isinstance(got, Sample) or got.x.shape == (got.n, 2)
    assert not isinstance(got, Label) or got.y.dtype == np.int32


@pytest.mark.parametrize("name", FROM)
def test_messages_from_the_daemon(name: str) -> None:
    """They are encoded to these bytes, and these bytes are decoded to them."""
    assert encode_published(FROM[name]) == FRAMES[name]
    assert FRAMES[name][0].decode() == FROM[name].topic
    got = decode_published(FRAMES[name])
    assert type(got) is type(FROM[name])
    assert plain(got) == plain(FROM[name])


def test_the_examples_of_the_docs_are_golden() -> None:
    """Every worked example in docs/wire.md is, frame by frame, the message it is named after."""
    block = re.compile(r"^```hex (.+)\n((?:[0-9a-f]+\n)+)```$", re.MULTILINE)
    found = block.findall(DOCS.read_text("utf-8"))
    assert len(found) >= 8
    for name, lines in found:
        assert lines.split() == [frame.hex() for frame in FRAMES[name]], name


def test_the_docs_name_every_reason_and_verb() -> None:
    """No reason and no verb is missing in the tables of docs/wire.md."""
    text = DOCS.read_text("utf-8")
    for word in (*REASONS, *VERBS):
        assert f"\n| `{word}` |" in text, word
