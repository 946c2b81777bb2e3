"""Messages whose bytes may never change: what version 1 of the wire is, in hex (golden.txt).

`to_daemon` and `from_daemon` say what each of them means.
"""

import math
from pathlib import Path

import numpy as np

from streamlearn.wire.message import Heartbeat, Label, Message, Sample
from streamlearn.wire.published import Embedding, Event, Metrics, Prediction, Published, Surprise

FILE = Path(__file__).with_name("golden.txt")


def frames() -> dict[str, list[bytes]]:
    """Name → frames, as they stand in the file."""
    found: dict[str, list[bytes]] = {}
    for line in FILE.read_text("ascii").splitlines():
        if line and not line.startswith((" ", "#")):
            name = line
            found[name] = []
        elif line.startswith(" "):
            found[name].append(bytes.fromhex(line.split()[1] if len(line.split()) > 1 else ""))
    return found


def _ints(*values: int) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    return np.array(values, np.int32)


def _sample(dtype: str) -> Sample:
    x = np.array([[0, 1], [2, 100]], dtype)
    return Sample("a/b", "", 2**40, 2, math.nan, x, None)


def to_daemon() -> dict[str, Message]:
    """Name → message; rows have two numbers, labels ten classes."""
    example = np.array([[0.5, -2.0]], "<f4")
    three = np.array([[1, 2], [3, 4], [5, 255]], "|u1")
    known = _ints(0, -1, 9)
    found: dict[str, Message] = {
        "sample, one row": Sample("cam0", "", 7, 1, math.nan, example, _ints(1)),
        "sample, no label": Sample("cam0", "", 8, 1, math.nan, example, None),
        "sample, all keys": Sample("lab-1.x_y", "p1", 2**64 - 3, 3, 1.5e9, three, known),
        "label, one": Label("cam0", "", 7, _ints(1)),
        "label, several": Label("cam0", "p1", 7, known),
        "heartbeat": Heartbeat("cam0", "", 9),
        "heartbeat, named": Heartbeat("cam0", "p1", 9),
    }
    types = ("|u1", "|i1", "<i2", "<u2", "<i4", "<f2", "<f4", "<f8")
    return found | {f"sample, {dtype}": _sample(dtype) for dtype in types}


def from_daemon() -> dict[str, Published]:
    """Name → message as published."""
    rows = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    said, y = _ints(1, 0), _ints(-1, 0)
    return {
        "prediction": Prediction(
            stream="cam0", seq=7, y_pred=said, y=y, scores=rows, t=1.5e9, step=1000, pub_seq=3
        ),
        "prediction, no time": Prediction(
            stream="cam0", seq=2**40, y_pred=said[:1], y=y[:1], scores=rows[:1]
        ),
        "surprise": Surprise(
            stream="cam0",
            seq=7,
            layers=["layer1", "layer2"],
            x=np.array([[0.5, -2.0]], np.float32),
            t=1.5,
            step=9,
            pub_seq=3,
        ),
        "embedding": Embedding(
            stream="cam0", seq=7, layer="all", x=rows, t=1.5e9, step=1000, pub_seq=4
        ),
        "metrics": Metrics(
            figures={"streamlearn_samples_learned_total": 1000.0, "streamlearn_kappa": 0.5},
            t=1.5e9,
            step=1000,
            pub_seq=5,
        ),
        "event": Event(
            name="checkpoint", data={"rows_learned": 1000}, t=1.5e9, step=1000, pub_seq=6
        ),
    }
