"""Writes checkpoints and tells of them: on the board, in the log, as an event."""

import logging
import time
from collections import deque
from typing import Any

from streamlearn.errors import StateError
from streamlearn.observe.board import Board
from streamlearn.store.checkpoint import Checkpoints, Snapshot
from streamlearn.store.manifest import Manifest

log = logging.getLogger(__name__)


class Saver:
    """The daemon's checkpoints.

    Parameters
    ----------
    store
        Where they go.
    board
        Where figures hang.
    events
        Where events wait to be published.

    """

    def __init__(self, store: Checkpoints, board: Board, events: deque[dict[str, Any]]) -> None:
        self.store = store
        self.last: Snapshot | None = None
        """The newest checkpoint, without its arrays."""
        self._board, self._events = board, events

    def is_behind(self, position: int) -> bool:
        """Whether rows or late labels were learned since the last checkpoint."""
        return position != (self.last.position if self.last else 0)

    def note(self, snapshot: Snapshot) -> None:
        """Remember a checkpoint that is on the disk."""
        self.last = snapshot._replace(arrays={})
        self._board.set("checkpoint_rows", snapshot.rows_learned)

    def write(self, snapshot: Snapshot) -> Snapshot:
        """Put a snapshot on the disk.

        Raises
        ------
        StateError
            It could not be written; the checkpoints before are as they were.

        """
        board = self._board
        try:
            written = self.store.save(snapshot)
        except StateError:
            board.add("checkpoint_failures_total", 1)
            raise
        self.note(snapshot)
        board.add("checkpoints_total", 1)
        board.set("checkpoint_bytes", written.size_bytes)
        board.set("checkpoint_seconds", written.seconds)
        board.set("checkpoint_last_success_timestamp_seconds", time.time())
        rows, digest = snapshot.rows_learned, snapshot.digest
        self._events.append({"name": "checkpoint", "rows_learned": rows, "digest": digest})
        log.info("checkpoint", extra={"rows_learned": rows, "seconds": written.seconds})
        return snapshot

    def read_back(self) -> list[Manifest]:
        """What the whole checkpoints say of themselves, the newest as it is on the disk now."""
        return self.store.kept()
