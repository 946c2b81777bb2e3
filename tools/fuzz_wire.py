"""Targets of the fuzzer that come over a socket: messages, answers, requests, keys, pages."""

import socket
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import msgpack
import msgspec
import numpy as np
from fuzz_input import Target, joined, split

from streamlearn.cli.show import as_json
from streamlearn.cli.talk import plain
from streamlearn.client.outbox import Outbox, Parcel
from streamlearn.commands import rows_of
from streamlearn.growth import addition
from streamlearn.observe.access import Access
from streamlearn.observe.board import Board
from streamlearn.observe.http import _Handler, start_http
from streamlearn.options_outside import ObserveOptions, SecurityOptions
from streamlearn.wire import acknowledged as ack
from streamlearn.wire import published as out
from streamlearn.wire.control import Control, read_answer
from streamlearn.wire.gate import Gate
from streamlearn.wire.keygen import make_keys
from streamlearn.wire.keys import read_public
from streamlearn.wire.message import Heartbeat, Label, Message, Sample, Schema, decode, encode
from streamlearn.wire.watch import Watch

SCHEMAS: Final = (
    Schema((4,), None, 3),
    Schema((8, 8), "|u1", 10),
    Schema((2, 3), "<f8", 2),
)
TOKEN: Final = "0123456789abcdef-fuzz"  # noqa: S105  of no door


def same(one: Any, other: Any) -> bool:
    """Whether two messages are equal to the bit; NaN is NaN."""
    if type(one) is not type(other):
        return False
    values = [(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__]
    return all(_same(a, b) for a, b in values)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return repr(a) == repr(b)


def message(data: bytes, _: Path) -> None:
    """A message to the daemon; the first frame says of which stream."""
    which, *frames = split(data) or [b""]
    schema = SCHEMAS[sum(which[:1]) % len(SCHEMAS)]
    found = decode(frames, schema)
    again = found
    if isinstance(found, Sample):
        again = msgspec.structs.replace(found, x=found.x.reshape(-1, *schema.shape))
    assert same(decode(encode(again), schema), found)


def _messages(_: Path) -> list[bytes]:
    found = []
    for i, schema in enumerate(SCHEMAS):
        x = np.arange(2 * schema.width).reshape(2, *schema.shape).astype(schema.dtype or "<f4")
        y = np.array([1, -1], np.int32)
        messages: list[Message] = [
            Sample("cam0", "p", 7, 2, 1.5, x, y),
            Sample("a/b", "", 2**64 - 1, 1, float("nan"), x[:1], None),
            Label("cam0", "p", 3, y),
            Heartbeat("cam0", "", 9),
        ]
        found += [joined([bytes([i]), *encode(one)]) for one in messages]
    return found


def hello(data: bytes, _: Path) -> None:
    """A message to the router before its rows are looked at: a hello, or numbers to settle."""
    frames = split(data)
    if (found := ack.decode_hello(frames)) is not None:
        assert same(ack.decode_hello(ack.encode_hello(found)), found)
    if (rows := ack.numbers(frames)) is not None:
        place = ack.Place(rows.stream, rows.producer, 5)
        assert -1 <= ack.judge(place, rows.seq, rows.n) <= rows.n


def _hellos(folder: Path) -> list[bytes]:
    told = (ack.Hello("cam0", "p"), ack.Hello("a/b", "p" * 64, 7, 2**64 - 2))
    samples = [joined(split(one)[1:]) for one in _messages(folder)]
    return [*(joined(ack.encode_hello(one)) for one in told), *samples]


def answers(data: bytes, _: Path) -> None:
    """What a daemon says to a producer that waits for acknowledgements."""
    box = Outbox("cam0", "p", lambda _: None)
    for number in range(4):
        box.add(Parcel(number, 3 * number, 3 if number % 2 else 0, 40, (b"",)))
    box.hello(anew=True)
    for frame in split(data):
        answer = ack.decode_answer(frame)
        if answer is not None and box.heard(answer):
            ack.decode_hello(ack.encode_hello(box.hello()))
        while box.due() is not None:
            box.sent()
    assert box.kept_bytes == 40 * len(box.parcels)
    assert box.in_flight >= 0


def _answers(_: Path) -> list[bytes]:
    welcome = ack.welcome("cam0", 3, 1000, 1)
    told = [welcome, ack.ack("cam0", 6, 1000), ack.reject("cam0", 6, 3, "shape")]
    return [joined(told), joined([ack.welcome("cam0", 0, 10), *told])]


def published(data: bytes, _: Path) -> None:
    """A message to subscribers, and what `watch --json` makes of it."""
    found = out.decode_published(split(data))
    if found is None:
        return
    assert same(out.decode_published(out.encode_published(found)), found)
    as_json(plain(found))


def _publications(_: Path) -> list[bytes]:
    x, y = np.ones((2, 3), np.float32), np.array([1, 2], np.int32)
    told = (
        out.Prediction(stream="cam0", seq=4, y_pred=y, y=y - 2, scores=x, t=1.5, step=9),
        out.Embedding(stream="cam0", seq=4, layer="all", x=x, pub_seq=7),
        out.Surprise(stream="cam0", seq=4, layers=["a", "b", "c"], x=x),
        out.Metrics(figures={"streamlearn_a_total": 5, 'b{c="d"}': 0.5}, t=3.0),
        out.Event(name="checkpoint", data={"rows": 7, "why": [None, True, "x"]}),
    )
    return [joined(out.encode_published(one)) for one in told]


def control(data: bytes, _: Path) -> None:
    """A request to control, with the verbs that take more than a word."""
    answer = _control().answer(data)
    assert read_answer(answer)["ok"] in (True, False)


@cache
def _control() -> Control:
    handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "ping": lambda _: {"state": "running"},
        "infer": lambda request: {"n": len(rows_of(request, (2, 3)))},
        "add_layer": lambda request: {"rule": addition(request)["rule"]},
    }
    nothing: Any = None
    return Control(nothing, "", handlers)


def _requests(_: Path) -> list[bytes]:
    rows = {"rows": bytes(24), "dtype": "<f4", "shape": [1, 2, 3]}
    asked: list[dict[str, Any]] = [
        {"verb": "ping"},
        {"verb": "infer", **rows},
        {"verb": "infer", "rows": [[[1, 2, 3], [4, 5, 6.5]]], "as": "lists"},
        {"verb": "add_layer", "rule": "hebbian", "units": 4, "head": "softmax"},
    ]
    return [msgpack.packb({"v": 1, **one}) for one in asked]


def control_answer(data: bytes, _: Path) -> None:
    """What control answers, as `ctl` reads and prints it."""
    as_json(read_answer(data))


def _control_answers(folder: Path) -> list[bytes]:
    return [_control().answer(one) for one in (*_requests(folder), b"", b"\x80")]


_DOMAIN: Final = b"producer 0"


def zap(data: bytes, folder: Path) -> None:
    """The question that libzmq asks for each handshake."""
    gate, key = _gate(folder)
    asked = split(data)
    status = gate._answer(asked)[2]  # noqa: SLF001
    assert status != b"200" or (asked[6] == key and asked[2] == _DOMAIN)


class _Quiet:
    """A monitor of a socket on which nothing happens."""

    def poll(self, _: int) -> int:
        return 0


@cache
def _gate(folder: Path) -> tuple[Gate, bytes]:
    make_keys(folder, [("cam0", ("producer",))])
    security = SecurityOptions(
        server_key=str(folder / "server.key_secret"), allowed=str(folder / "allowed")
    )
    from zmq.utils import z85  # noqa: PLC0415

    gate = Gate(security)
    watch = Watch("producer", 0, security, gate.refuse, lambda _: None)
    gate._watches[cast("Any", _Quiet())] = watch  # noqa: SLF001
    return gate, z85.decode(read_public(folder / "clients" / "cam0" / "client.key"))


def _questions(folder: Path) -> list[bytes]:
    key = _gate(folder)[1]
    head = [b"1.0", b"1", _DOMAIN, b"127.0.0.1", b"", b"CURVE"]
    return [joined([*head, key]), joined([*head[:5], b"NULL"]), joined([*head, bytes(32)])]


def http(data: bytes, folder: Path) -> None:
    """A request to the HTTP address, byte by byte; figures only for those with the token."""
    server = _site(folder)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        theirs.settimeout(2.0)
        _Handler(ours, ("127.0.0.1", 0), server)
        ours.close()
        said = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    assert b"streamlearn_" not in said or _proved(data), said


def _proved(data: bytes) -> bool:
    return TOKEN.encode() in data or _BASIC.encode() in data


_BASIC: Final = "OjAxMjM0NTY3ODlhYmNkZWYtZnV6eg=="
"""Base64 of no user and the token."""


@cache
def _site(folder: Path) -> Any:
    token = folder / "token"
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    access = Access(ObserveOptions(token_file=str(token)), lambda _: None)
    board = Board(
        stages=["layer/layer1"],
        layers={"layer1": ["dead_share"]},
        heads={"softmax": ["rate"]},
        published="softmax",
        classes=3,
        rules=["hebbian"],
    )
    found = start_http("127.0.0.1:0", board, lambda: "", access)
    found.close()  # its handler is called here, without the socket
    return found._server  # noqa: SLF001


def _pages(_: Path) -> list[bytes]:
    bearer, basic = f"Bearer {TOKEN}", f"Basic {_BASIC}"
    return [
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {said}\r\n\r\n".encode()
        for method in ("GET", "HEAD", "POST")
        for path in ("/", "/metrics?name[]=x", "/livez", "/readyz")
        for said in (bearer, basic)
    ]


TARGETS: Final = {
    "message": Target(message, _messages, framed=True),
    "hello": Target(hello, _hellos, framed=True),
    "answers": Target(answers, _answers, framed=True),
    "published": Target(published, _publications, framed=True),
    "control": Target(control, _requests),
    "control_answer": Target(control_answer, _control_answers),
    "zap": Target(zap, _questions, framed=True, most_bytes=1024),
    "http": Target(http, _pages),
}
