"""`send`: play a data set to a daemon, at any rate, with labels in time, late or never."""
# ruff: noqa: PLC0415  what a verb needs is loaded when it runs

import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from streamlearn.cli.acknowledged import tell_known, until_acknowledged
from streamlearn.cli.keygen import keys_option
from streamlearn.cli.naming import told_as
from streamlearn.cli.progress import DownloadBar, progress
from streamlearn.errors import UsageError

if TYPE_CHECKING:
    from streamlearn.client import Producer
    from streamlearn.data import Dataset

_OPTIONS: Final = {
    "endpoint": "--to",
    "stream": "--stream",
    "producer": "--producer",
    "spool": "--spool",
}


def _size(_: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Read HxW, both 1 or more."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value or "")
    if value and found is None:
        raise click.BadParameter(
            f"{value!r}: expected height x width in pixels, like 72x96", param=option
        )
    return (int(found[1]), int(found[2])) if found else None


@click.command()
@click.argument("src")
@click.option(
    "--to",
    required=True,
    metavar="ENDPOINT",
    help="The daemon's ingest.pull; with --ack its ingest.router, with --pub its ingest.sub.",
)
@click.option("--stream", default="default", metavar="ID", help="Name of the stream.")
@click.option("--producer", metavar="ID", help="Who numbers the rows, where a stream has several.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="HZ",
    help="Rows a second; of a set of recordings, in each that is live.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after N rows.")
@click.option(
    "--rows", type=click.IntRange(1), metavar="N", help="Rows a message: 16; with --rate 1."
)
@click.option("--no-labels", is_flag=True, help="Keep the labels back.")
@click.option("--label-delay", type=click.IntRange(1), metavar="N", help="Send labels N rows late.")
@click.option(
    "--ack",
    is_flag=True,
    help="Send to ingest.router, which acknowledges; needs --producer.",
)
@click.option(
    "--spool",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --ack: folder that keeps rows until they are durable, across restarts.",
)
@click.option("--pub", is_flag=True, help="Send by PUB, to ingest.sub: newest data wins.")
@click.option(
    "--size", callback=_size, metavar="HxW", help="Bring images to this height and width."
)
@click.option(
    "--together",
    type=click.IntRange(1),
    default=16,
    metavar="N",
    help="Of a set of recordings, how many are streams at once: 16.",
)
@click.option("--timeout", type=float, metavar="S", help="Give up when the daemon takes nothing.")
@keys_option
def send(src: str, *, to: str, **how: Any) -> None:
    """Play a data set to a daemon.

    Rows that it holds out stay back. SRC is a set's name (optdigits, mnist, fashion-mnist,
    cifar10), a folder of idx files, a .npz with X, y and is_test or with frames, a .csv, or a video
    file, which is sent in grey; or a set of recordings, a .npz with offsets, or a folder of such
    with a class each. A slow daemon slows the sending. With --ack, rows that the daemon has of this
    producer are not sent again, so that the same command goes on where it ended. Exit code 1 where
    rows are left that are not acknowledged.
    """
    from streamlearn import data
    from streamlearn.client import Producer

    _refuse(**how)
    rows = data.load(src, new_bar=DownloadBar, size=how["size"]).train
    if how["ack"] and rows.series is not None:
        raise UsageError("--ack: a set of recordings is many streams; send it without")
    delay = None if how["no_labels"] else how["label_delay"] or 0
    message_rows = how["rows"] or (1 if how["rate"] else 16)
    rows = data.interleaved(rows, how["together"], message_rows, mixed=True)
    rows = rows.first(how["limit"] or rows.rows)
    kind: Literal["pub", "push"] = "pub" if how["pub"] else "push"
    with (
        told_as(**_OPTIONS),
        Producer(
            to,
            how["stream"],
            how["producer"],
            kind=kind,
            timeout_s=how["timeout"],
            shape=rows.shape,
            ack=how["ack"],
            spool=how["spool"],
            keys=how["keys"],
        ) as producer,
        until_acknowledged(producer, how["timeout"], how["spool"]) if how["ack"] else nullcontext(),
    ):
        if how["ack"]:
            tell_known(producer, how["producer"], rows.rows, to, how["spool"])
        rate = how["rate"] and how["rate"] * min(how["together"], len(rows.names) or 1)
        player = Player(producer, how["stream"], delay)
        with progress(f"sending {Path(rows.name).name}", rows.rows) as show:
            player.play(rows, message_rows, rate, show)
    if producer.rejected:
        click.echo(f"refused: {producer.rejected} rows; see streamlearn dead list", err=True)


def _refuse(*, no_labels: bool, label_delay: int | None, ack: bool, pub: bool, **how: Any) -> None:
    """Refuse options that mean nothing together, before anything is loaded."""
    if no_labels and label_delay:
        raise UsageError("--no-labels and --label-delay: labels come late or never; choose one")
    if how["spool"] and not ack:
        raise UsageError("--spool: keeps rows until they are acknowledged; give --ack as well")
    if ack and pub:
        raise UsageError("--ack and --pub: of a newest row nobody tells; choose one")
    if ack and not how["producer"]:
        text = "--ack: the daemon knows by a name which rows it has; give one with --producer"
        raise UsageError(f"{text}, the same when you send again")


class Player:
    """Sends rows in order, with labels in time, late or never.

    Parameters
    ----------
    producer
        Where they go.
    stream
        What the stream is called; recordings are STREAM/NAME.
    label_delay
        After how many rows a row's label follows; 0: with its row, None: never.

    """

    def __init__(self, producer: "Producer", stream: str, label_delay: int | None) -> None:
        self._producer, self._stream, self._delay = producer, stream, label_delay
        self._late: deque[tuple[int, int, int]] = deque()

    def play(
        self,
        data: "Dataset",
        message_rows: int,
        rate_hz: float | None,
        show: Callable[[int, str], None],
    ) -> None:
        """Send all rows.

        Parameters
        ----------
        data
            Rows, with labels where there are any.
        message_rows
            Most rows a message.
        rate_hz
            Rows a second; None is as fast as the daemon takes them.
        show
            Called with the count of rows sent.

        """
        from streamlearn.data import messages

        began = time.monotonic()
        there = 0 if data.series is not None else self._there(data, message_rows)
        for begin in range(there, data.rows, message_rows):
            end = min(begin + message_rows, data.rows)
            _wait_until(began + (end - there) / rate_hz if rate_hz else 0.0)
            for start, stop in messages(data, begin, end):
                self._send(data, start, stop)
            show(end, "")
        self._send_labels(data, data.rows + (self._delay or 0))

    def _there(self, data: "Dataset", message_rows: int) -> int:
        """How many rows the daemon has already; labels that may be missing are due once more."""
        there, delay = min(self._producer.seq, data.rows), self._delay or 0
        for start in range(max(0, there - delay), there, message_rows):
            self._late.append((start, start, min(start + message_rows, there)))
        return there

    def _send(self, data: "Dataset", start: int, stop: int) -> None:
        producer = self._producer
        if data.series is not None:
            producer.switch(data.stream(start, self._stream))
        y = None if data.y is None or self._delay != 0 else data.y[start:stop]
        first = producer.send(data.X[start:stop], y)
        if self._delay:
            self._late.append((first, start, stop))
            self._send_labels(data, stop)

    def _send_labels(self, data: "Dataset", sent: int) -> None:
        """Send the labels that are due after so many rows."""
        delay = self._delay or 0
        while self._late and data.y is not None and self._late[0][2] + delay <= sent:
            first, start, stop = self._late.popleft()
            if data.series is not None:
                self._producer.switch(data.stream(start, self._stream))
            self._producer.label(first, data.y[start:stop])


def _wait_until(due: float) -> None:
    left = due - time.monotonic()
    if left > 0:
        time.sleep(left)
