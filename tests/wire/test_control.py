"""Control over real sockets: every request has one answer, whatever it holds."""

import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq
from wire.recorder import DEADLINE_S
from wire.rubbish import SPEECHES, foreign

from streamlearn.errors import NoAnswerError, StartError, UsageError
from streamlearn.wire.control import Control, request

ANY = "tcp://127.0.0.1:0"


def refuse(_: dict[str, Any]) -> dict[str, Any]:
    """A verb that says no."""
    raise UsageError("layer: expected one of a, b; did you mean 'a'?")


def fail(_: dict[str, Any]) -> dict[str, Any]:
    """A verb with a defect."""
    raise ZeroDivisionError("oops")


HANDLERS = {"ping": lambda _: {"version": "1"}, "echo": dict, "refuse": refuse, "fail": fail}


@pytest.fixture
def control() -> Iterator[Control]:
    """One that answers."""
    with zmq.Context() as context:
        one = Control(context, ANY, HANDLERS)
        one.start()
        yield one
        one.close()


def ask(control: Control, kind: int, *frames: bytes) -> dict[str, Any]:
    """Send frames, give the answer as decoded."""
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.connect(control.endpoint)
        socket.send_multipart(frames)
        assert socket.poll(DEADLINE_S * 1000)
        answer: dict[str, Any] = msgpack.unpackb(socket.recv_multipart()[-1])
        return answer


def test_a_verb_gets_its_arguments_and_gives_its_answer(control: Control) -> None:
    """`v` and `verb` are taken out, `v` and `ok` put in, bytes and numbers pass as they are."""
    got = request(control.endpoint, "echo", DEADLINE_S, rows=b"\0\xff", n=3, deep={"a": [1.5]})
    assert got == {"v": 1, "ok": True, "rows": b"\0\xff", "n": 3, "deep": {"a": [1.5]}}


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
def test_req_and_dealer_are_both_answered(control: Control, kind: int) -> None:
    """One map out, one back, with either socket."""
    packed = msgpack.packb({"v": 1, "verb": "ping"})
    assert ask(control, kind, packed) == {"v": 1, "ok": True, "version": "1"}


@pytest.mark.parametrize(
    ("body", "error", "hint"),
    [
        (b"", "request: not msgpack", "one map"),
        (b"\xc1", "request: not msgpack", "one map"),
        (b"\x91" * 2000, "request: not msgpack", "one map"),
        (b"\xdd\xff\xff\xff\xff", "request: not msgpack", "one map"),
        (msgpack.packb([1]), "request: a list", "one map"),
        (msgpack.packb({}), "v: expected 1, got None", "version 1"),
        (msgpack.packb({"v": True, "verb": "ping"}), "v: expected 1, got True", "version 1"),
        (msgpack.packb({"v": 1}), "verb: unknown None", "expected one of ping, echo"),
        (msgpack.packb({"v": 1, "verb": "pign"}), "verb: unknown 'pign'", "mean 'ping'"),
        (msgpack.packb({"v": 1, "verb": ["ping"]}), "verb: unknown ['ping']", "expected one of"),
        (msgpack.packb({"v": 1, "verb": "refuse"}), "layer: expected one of a, b", "mean 'a'"),
        (msgpack.packb({"v": 1, "verb": "fail"}), "ZeroDivisionError", "log"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    control: Control, body: bytes, error: str, hint: str
) -> None:
    """`ok` is false, `error` says what is wrong and `hint` the way out; the next one is served."""
    answer = ask(control, zmq.DEALER, body)
    assert (answer["v"], answer["ok"]) == (1, False)
    assert error in answer["error"]
    assert hint in answer["hint"]
    assert request(control.endpoint, "ping", DEADLINE_S)["ok"]


def test_other_protocols_do_no_harm(control: Control) -> None:
    """It answers still after HTTP, TLS, noise, and envelopes that no socket of ours makes."""
    assert foreign("127.0.0.1", int(control.endpoint.rpartition(":")[2])) == list(SPEECHES)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(control.endpoint)
        socket.send_multipart([b"a", b"b", b"c"])
        socket.send_multipart([b"", b"", b""])
    assert request(control.endpoint, "ping", DEADLINE_S)["ok"]


def test_many_ask_at_once(control: Control) -> None:
    """Each of several clients gets the answer to its own question."""
    answers: list[int] = []

    def client(number: int) -> None:
        answers.append(request(control.endpoint, "echo", DEADLINE_S, n=number)["n"] - number)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 8


def test_silence_and_nonsense_are_told(endpoint: Any) -> None:
    """Nobody there ends in `NoAnswerError` in time; an endpoint that is none in `UsageError`."""
    with pytest.raises(NoAnswerError, match=r"no answer to ping within 0\.1 s"):
        request(endpoint(), "ping", 0.1)
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"):
        request("nonsense", "ping", 0.1)


def test_a_taken_address_is_told(control: Control) -> None:
    """The error names key, address and way out, and leaves nothing open."""
    with zmq.Context() as context:
        second = Control(context, control.endpoint, HANDLERS)
        with pytest.raises(StartError, match=f"control.bind: {control.endpoint} is taken"):
            second.start()
        second.close()
