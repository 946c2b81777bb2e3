"""Black boxes between layers: what they pass on, what they survive, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.errors import ConfigError
from streamlearn.evaluate import evaluate
from streamlearn.part import F32, Beside, Place, Rows
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.rules.black_box import BlackBox

PLACE = Place(6, (2, 3), 3, 7)


def squared(x: F32) -> F32:
    """Twice as wide: x and its square."""
    return np.hstack([x, x**2])


def moody(x: F32) -> Any:
    """Right for rows that begin below 1, each wrong in its own way above."""
    kind = int(x[0, 0])
    if kind == 1:
        raise RuntimeError("out of order")
    if kind == 2:
        return x[:, :3]
    return x * np.nan if kind == 3 else 2 * x


NOT_A_FUNCTION = 3


def box(place: Place = PLACE, **options: Any) -> BlackBox:
    """A black box under options."""
    return BlackBox(BlackBox.Options(rule="black_box", **options), place)


def answer(part: BlackBox, x: F32) -> F32:
    """What it gives to rows [B, D] while it learns."""
    out = np.full((len(x), part.width_out), np.nan, np.float32)
    part.learn(Rows(x, out, np.zeros(len(x), np.int32), 0))
    return out


def rows(count: int = 5) -> F32:
    """Rows between 0 and 1."""
    return np.random.default_rng(0).random((count, PLACE.width_in), np.float32)


def test_any_function_can_stand_between_layers() -> None:
    """Its width is asked of it, and what it gives goes on unchanged."""
    part = box(function=f"{__name__}:squared")
    assert part.width_out == 12
    assert part.shape_out == (12,)
    x = rows()
    np.testing.assert_array_equal(answer(part, x), squared(x))


def test_every_lane_goes_through_it() -> None:
    """A row in another form meets the same function as the row."""
    part = box(PLACE._replace(lanes_in=2), function=f"{__name__}:squared")
    x, lanes_in = rows(), np.stack([rows(5) + 1, rows(5) + 2], axis=1)
    beside = Beside(lanes_in, np.zeros((5, 2, 12), np.float32), np.zeros((5, 0), np.float32))
    part.learn(Rows(x, np.zeros((5, 12), np.float32), np.zeros(5, np.int32), 0, beside))
    for lane in range(2):
        np.testing.assert_array_equal(beside.lanes[:, lane], squared(lanes_in[:, lane]))


def test_what_goes_wrong_on_a_row_is_counted_and_the_row_goes_on_as_zeros() -> None:
    """It throws, gives a wrong width, gives NaN: three counts, and the other rows are right."""
    part = box(function=f"{__name__}:moody")
    x = rows(8)
    x[[2, 4, 5, 6], 0] = 1, 2, 3, 3
    out = answer(part, x)
    good = [0, 1, 3, 7]
    np.testing.assert_array_equal(out[good], 2 * x[good])
    assert not out[[2, 4, 5, 6]].any()
    assert part.gauges() == {"faults_throws": 1.0, "faults_width": 1.0, "faults_nonfinite": 2.0}
    part.respond(Rows(x, out, np.zeros(8, np.int32), 0))
    assert part.gauges()["faults_throws"] == 1.0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"function": "no.such.module:f"}, "function: no.such.module:f: ModuleNotFoundError("),
        ({"function": f"{__name__}:nothing"}, "has no attribute 'nothing'"),
        ({"function": "streamlearn"}, "expected"),
        ({"function": f"{__name__}:NOT_A_FUNCTION"}, "is a int; name a function"),
        ({"function": "numpy:sum"}, "must turn [1, D] into [1, H], it gave []"),
        ({"function": "math:sqrt"}, "fails on a row of 6 zeros"),
        ({"onnx": "missing.onnx"}, "onnx: missing.onnx cannot be loaded"),
        ({"onnx": "a.onnx", "function": "numpy:abs"}, "expected function or onnx, got both"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(options: dict[str, Any], line: str) -> None:
    """Each names its key, the value and the way out; a plan puts the layer's place before it."""
    with pytest.raises(ConfigError) as caught:
        box(**options)
    assert line in str(caught.value)
    layer = {"rule": "black_box", **options}
    config = parse({"stream": {"shape": [2, 3]}, "layer": [layer]}, CATALOGUE)
    with pytest.raises(ConfigError, match=r"^layer\[0\]\.(function|onnx): "):
        Plan(config)


def test_noise_is_the_rows_own() -> None:
    """The same row meets the same noise, of the size asked for."""
    wide = Place(4000, (4000,), 3, 7)
    x = np.random.default_rng(1).standard_normal((2, 4000)).astype(np.float32)
    noisy = answer(box(wide, noise=0.5), np.vstack([x, x[:1]]))
    np.testing.assert_array_equal(noisy[0], noisy[2])
    size = np.sqrt((x**2).mean(axis=1))
    np.testing.assert_allclose((noisy[:2] - x).std(axis=1), 0.5 * size, rtol=0.05)
    assert abs(np.corrcoef(noisy[:2] - x)[0, 1]) < 0.1


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_bits_are_as_many_levels_as_they_can_tell_apart(bits: int) -> None:
    """2^bits of them, evenly apart, the same above zero as below, none further off than half."""
    wide = Place(40_000, (40_000,), 3, 7)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 40_000)).astype(np.float32)
    x[0, :3] = -100, 100, 0
    size = float(np.sqrt((x**2).mean()))
    coarse = answer(box(wide, bits=bits, range=0.9 / size), x)[0]
    levels = np.unique(coarse)
    assert len(levels) == 2**bits
    step = 2 * 0.9 / 2**bits
    np.testing.assert_allclose(levels, -levels[::-1], rtol=1e-5)
    np.testing.assert_allclose(np.diff(levels), step, rtol=1e-3)
    inside = np.abs(x[0]) <= 0.9
    assert np.abs(coarse - x[0])[inside].max() <= 0.5001 * step
    np.testing.assert_allclose(coarse[[0, 1]], levels[[0, -1]], err_msg="clipped")
    assert not answer(box(wide, bits=bits), 0 * x).any(), "a row of zeros says nothing"


def test_range_alone_means_nothing() -> None:
    """Without bits there are no levels that could end."""
    with pytest.raises(ConfigError, match="range: expected bits above 0 beside it, got bits = 0"):
        box(range=2.0)


def model(folder: Path, shape: tuple[int, ...]) -> tuple[Path, F32]:
    """An ONNX file of y = relu(x W), and W [6, 4]."""
    weights = np.random.default_rng(2).standard_normal((6, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["product"]),
        helper.make_node("Relu", ["product"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *size])
        for name, size in (("x", shape), ("y", (4,)))
    ]
    graph = helper.make_graph(
        nodes, "box", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")]
    )
    opset = helper.make_opsetid("", 13)
    file = folder / "box.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(file))
    return file, weights


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_an_onnx_model_can_stand_between_layers(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A model of flat or of shaped rows is fed what it asks for."""
    file, weights = model(tmp_path, shape)
    x = rows()
    part = box(onnx=str(file))
    np.testing.assert_allclose(answer(part, x), np.maximum(x @ weights, 0), rtol=1e-5, atol=1e-6)


def learner(box_options: dict[str, Any]) -> Config:
    """Two Forward-Forward layers with a black box between them, read out by their goodness."""
    middle = {"rule": "black_box", **box_options}
    layers = [{"rule": "forward_forward", "units": 100}, middle]
    return parse(
        {
            "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
            "layer": [*layers, {"rule": "forward_forward", "units": 100, "name": "last"}],
            "head": [{"kind": "goodness", "reads": ["last"]}],
        },
        CATALOGUE,
    )


@pytest.mark.parametrize(
    "box_options", [{"noise": 0.3, "bits": 4}, {"function": f"{__name__}:sometimes"}]
)
def test_learning_goes_on_above_a_black_box(box_options: dict[str, Any]) -> None:
    """The layer above noisy hardware, or a box that fails now and then, still learns the digits."""
    result = evaluate(learner(box_options), load("optdigits"))
    assert result["test"]["error"] < 0.15


def sometimes(x: F32) -> F32:
    """Fails on a fiftieth of all rows, by what is in them."""
    if x.any() and int(x.sum() * 1000) % 50 == 0:
        raise RuntimeError("out of order")
    return x
