"""What sends rows to a daemon: the plain way, or kept until they are acknowledged."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamlearn.client.courier import Courier
from streamlearn.client.pusher import Pusher
from streamlearn.client.spool import Spool
from streamlearn.errors import ArgumentError, NoAnswerError, RejectedError, UsageError
from streamlearn.wire.keys import Keys, client_keys
from streamlearn.wire.message import (
    MAX_PRODUCER_BYTES,
    Heartbeat,
    Label,
    Sample,
    stream_name,
)
from streamlearn.wire.rows import labels_of, wire_array

_SPOOL_BYTES: Final = 256 << 20


class Keeping(TypedDict, total=False):
    """How `Producer` sees to it that nothing is lost."""

    ack: bool
    """Keep rows until the daemon says that they are durable, send them again where it does not."""
    spool: str | Path | None
    """Folder where they are kept, so that they outlive this process; None: in memory."""
    spool_bytes: int
    """Most bytes in it; beyond, `send` waits for the daemon. 256 MiB unless told."""


class More(Keeping, total=False):
    """What a producer can be given besides."""

    keys: Keys | None
    """The folder of this client's keys, where the daemon has keys: what `keygen` made for it."""


class Producer:
    """Sends rows of one stream. For one thread.

    Parameters
    ----------
    endpoint
        Where the daemon listens: `ingest.pull` for kind "push", `ingest.sub` for kind "pub",
        `ingest.router` with `ack`.
    stream
        The stream's name: 1 to 128 of `A-Z a-z 0-9 . _ / -`.
    producer
        Who numbers the rows, at most 64 bytes; leave it out while a stream has one producer. With
        `ack` it is needed, and keeps its name when it starts anew.
    bind
        Listen at `endpoint` and let the daemon connect, instead of connecting to it.
    kind
        "push": nothing is dropped while both run, a slow daemon makes `send` wait. "pub": the
        newest rows win, `send` waits only until the daemon is there, which counts what it missed.
    timeout_s
        How long to wait for the daemon: at the start, when it takes no more rows, and on closing
        for what was sent to leave. None: for ever.
    shape
        Shape of one row; left out, the first `send`, of one row then, or `send_rows` fixes it.
    more
        See `More`: `keys=DIR`, `ack=True`, `spool=DIR`.

    """

    def __init__(
        self,
        endpoint: str,
        stream: str = "default",
        producer: str | None = None,
        *,
        bind: bool = False,
        kind: Literal["push", "pub"] = "push",
        timeout_s: float | None = None,
        shape: tuple[int, ...] | None = None,
        **more: Unpack[More],
    ) -> None:
        _refuse_unknown(more)
        keys = client_keys(more.get("keys"))
        self._stream = _checked_stream(stream)
        name = _checked_producer(producer or "")
        self._producer, self._timeout_s, self._shape = name, timeout_s, shape
        self._seq: int | None = 0
        self._seqs: dict[str, int | None] = {}
        self._courier: Courier | None = None
        self._way: Courier | Pusher
        if not more.get("ack"):
            if more.get("spool"):
                raise ArgumentError(
                    "spool", "keeps rows until they are acknowledged; give ack=True"
                )
            self._way = Pusher(endpoint, kind, timeout_s, bind=bind, keys=keys)
            return
        if not name or bind or kind != "push":
            raise ArgumentError("ack", "needs producer=NAME, and goes with neither bind nor kind")
        self._seq, folder = None, more.get("spool")
        spool = Spool(folder, name) if folder else None
        most = more.get("spool_bytes", _SPOOL_BYTES)
        self._way = self._courier = Courier(endpoint, name, spool, most, timeout_s, keys)

    @property
    def seq(self) -> int:
        """Number of the next row. Set it before the first row to go on counting after a restart.

        With `ack` the daemon or the spool knows it, and it need not be set.
        """
        if self._seq is None:
            assert self._courier is not None
            self._seq = self._courier.position(self._stream)
        return self._seq

    @seq.setter
    def seq(self, seq: int) -> None:
        self._seq = seq

    @property
    def durable_seq(self) -> int:
        """Rows of the stream below it are durable at the daemon or settled; only with `ack`."""
        if self._courier is None:
            raise UsageError("durable_seq: without ack=True nobody tells")
        return max(0, self._courier.box(self._stream).next_seq)

    @property
    def rejected(self) -> int:
        """Rows that the daemon said it will never learn; only with `ack`."""
        return self._courier.rejected if self._courier else 0

    @property
    def kept_rows(self) -> int:
        """Rows kept here or in the spool, as nobody acknowledged them yet; only with `ack`."""
        return self._courier.kept_rows if self._courier else 0

    @property
    def silence(self) -> str:
        """Why rows may not be acknowledged yet: the daemon is not there, refuses us, is full."""
        return self._courier.silence if self._courier else ""

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until every row is durable or settled; False where that takes longer."""
        return self._courier.flush(timeout_s) if self._courier else True

    def switch(self, stream: str) -> None:
        """Go on as another stream through the same socket; each counts its own rows from 0."""
        self._seqs[self._stream] = self._seq
        self._stream = _checked_stream(stream)
        self._seq = self._seqs.get(stream, None if self._courier else 0)

    def send(
        self,
        x: ArrayLike,
        y: int | Sequence[int] | NDArray[Any] | None = None,
        t: float | None = None,
    ) -> int:
        """Send one row, or several as one message.

        Parameters
        ----------
        x
            A row of the stream's shape, or [n, *shape] rows. The eight types of the wire go out as
            they are, other numbers as `<f8`. Numbers must be finite as float32.
        y
            Class, or [n] classes; -1 or None where not known.
        t
            Seconds since 1970 when the first row was measured.

        Returns
        -------
        int
            The first row's number, for `label`.

        Raises
        ------
        UsageError
            The shape, type or labels do not fit.
        NoAnswerError
            The daemon took no row within `timeout_s`; the rows were not sent.

        """
        rows = wire_array(x)
        if self._shape is None:
            self._shape = _only_row(rows, y)
        if rows.shape == self._shape:
            rows = rows[np.newaxis]
        elif rows.shape[1:] != self._shape or not len(rows):
            wanted = f"{self._shape} for a row or (n, {str(self._shape)[1:]} for n rows"
            raise UsageError(f"x: expected shape {wanted}, got {rows.shape}")
        n, first = len(rows), self.seq
        when = math.nan if t is None else t
        labels = None if y is None else labels_of(y, n)
        self._way.send(Sample(self._stream, self._producer, first, n, when, rows, labels))
        self.seq = first + n
        return first

    def send_rows(
        self, X: ArrayLike, y: ArrayLike | None = None, rows_per_message: int = 64
    ) -> int:
        """Send a whole array [n, *shape], `rows_per_message` at a time; raises like `send`."""
        rows, first = wire_array(X), self.seq
        labels = None if y is None else labels_of(y, len(rows))
        if self._shape is None:
            self._shape = rows.shape[1:]
        for i in range(0, len(rows), rows_per_message):
            part = slice(i, i + rows_per_message)
            self.send(rows[part], None if labels is None else labels[part])
        return first

    def label(self, seq: int, y: int | Sequence[int] | NDArray[Any]) -> None:
        """Send the class of a row sent before, or of consecutive rows from `seq` on."""
        labels = labels_of(y, np.size(y))
        self._way.send(Label(self._stream, self._producer, seq, labels))

    def heartbeat(self) -> None:
        """Say that the producer lives though it has no row to send."""
        self._way.send(Heartbeat(self._stream, self._producer, self.seq))

    def close(self) -> None:
        """Wait until what was sent has left, at most `timeout_s`, and let go of the socket.

        With `ack`: until it is durable. What is not stays in the spool, where there is one.

        Raises
        ------
        NoAnswerError
            Some of it did not leave, or is not durable, and is lost.

        """
        self._way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, NoAnswerError):
            self._way.release()
        else:
            self.close()


def _checked_stream(stream: str) -> str:
    try:
        return stream_name(stream.encode())
    except RejectedError:
        text = f"expected 1 to 128 of A-Z a-z 0-9 . _ / -, got {stream!r}"
        raise ArgumentError("stream", text) from None


def _checked_producer(producer: str) -> str:
    size = len(producer.encode())
    if size > MAX_PRODUCER_BYTES:
        raise ArgumentError("producer", f"expected at most {MAX_PRODUCER_BYTES} bytes, got {size}")
    return producer


def _only_row(rows: NDArray[Any], y: Any) -> tuple[int, ...]:
    """The shape of a row that is the first; labels for several say that it is not one."""
    if np.size(y) > 1:
        raise UsageError(
            f"x: expected one row, as Producer was given no shape, got shape {rows.shape} with "
            f"{np.size(y)} labels; send them with send_rows, or give shape={rows.shape[1:]}"
        )
    return rows.shape


def _refuse_unknown(more: More) -> None:
    for name in more:
        if name not in More.__annotations__:
            raise TypeError(f"Producer: unexpected argument {name!r}")
