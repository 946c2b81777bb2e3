"""What came in, as plain numbers."""

from streamlearn.errors import REASONS
from streamlearn.pipeline.streams import BEGIN_REASONS


class Counts:
    """What came in and what became of it; plain numbers that only intake writes."""

    def __init__(self) -> None:
        self.received = 0
        self.messages = 0
        self.missed = 0
        self.labels_late = 0
        self.labels_dropped = {"too_late": 0, "known": 0}
        self.begun = dict.fromkeys(BEGIN_REASONS, 0)
        self.rejected = dict.fromkeys(REASONS, 0)
        self.dropped: dict[str, int] = {"behind": 0, "stopping": 0, "rate": 0}
        self.examples: dict[str, str] = {}
        """Reason → the last message refused for it, in words."""
