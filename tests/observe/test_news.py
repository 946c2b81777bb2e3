"""News: what was refused is told once, with an example of its own."""

import logging
from collections import deque
from typing import Any

import pytest

from streamlearn.instruments import News
from streamlearn.options_outside import SecurityOptions
from streamlearn.pipeline.counts import Counts
from streamlearn.wire.gate import Gate


def test_an_example_is_told_with_what_it_is_of(caplog: pytest.LogCaptureFixture) -> None:
    """What is refused later at the gate, which gives none, is not told with an old one."""
    counts, gate = Counts(), Gate(SecurityOptions())
    news, events = News(counts, gate), deque[dict[str, Any]]()
    counts.rejected["auth"] = 2
    counts.examples["auth"] = "stream cam0: may not"
    with caplog.at_level(logging.WARNING):
        news.tell(events)
        gate.refuse("control: a key that is not in the list")
        news.tell(events)
        news.tell(events)
    told = [one for one in caplog.records if one.getMessage() == "rejected"]
    assert [one.__dict__.get("example") for one in told] == ["stream cam0: may not", None]
    assert [event["count"] for event in events] == [2, 1]
