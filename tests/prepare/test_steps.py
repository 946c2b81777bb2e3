"""The prepare steps: what each does to a row, from edge values to long streams."""

from importlib import import_module
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive import scale as naive_scale
from naive import standardize as naive_standardize
from naive import unit_norm as naive_unit_norm
from numpy.typing import ArrayLike

from streamlearn.errors import ConfigError
from streamlearn.part import F32, Origin, Place, Rows
from streamlearn.prepare import STEPS
from streamlearn.schema import read_section, resolve

NAIVE = {
    "scale": naive_scale.Scale,
    "unit_norm": naive_unit_norm.UnitNorm,
    "standardize": naive_standardize.Standardize,
}
VARIANTS = [
    ("scale", {"divide_by": 255.0}),
    ("scale", {"subtract": 128.0, "divide_by": 64.0}),
    ("unit_norm", {}),
    ("unit_norm", {"length": 28.0}),
    ("standardize", {}),
    ("standardize", {"memory_rows": 20, "clip": 3.0}),
    ("standardize", {"limit": 1.5, "patience_rows": 10}),
    ("standardize", {"limit": 0.0, "per": "stream"}),
]
LARGEST = np.finfo(np.float32).max
ROWS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def build(name: str, width: int, *, twin: bool = False, **options: float) -> Any:
    """The step, or its slow twin, for rows of `width` numbers."""
    kind = resolve(STEPS[name])
    place = Place(width_in=width, shape_in=(width,), classes=2, seed=1)
    return (NAIVE[name] if twin else kind)(kind.Options(step=name, **options), place)


def learn(step: Any, x: ArrayLike, first: int = 0) -> F32:
    """Learn rows and return what went out."""
    rows = np.ascontiguousarray(x, np.float32)
    out = np.full_like(rows, np.nan)
    step.learn(Rows(rows, out, np.full(len(rows), -1, np.int32), first))
    return out


def infer(step: Any, x: ArrayLike) -> F32:
    """Transform rows without learning."""
    rows = np.ascontiguousarray(x, np.float32)
    out = np.full_like(rows, np.nan)
    step.infer(rows, out)
    return out


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@settings(max_examples=40, deadline=None)
@given(x=ROWS)
def test_any_finite_row_gives_a_finite_row_as_the_twin_does(
    name: str, options: dict[str, Any], x: F32
) -> None:
    """Law 6 goes through a step: finite float32 in, finite float32 out, equal to the slow twin."""
    fast, slow = (build(name, x.shape[1], twin=twin, **options) for twin in (False, True))
    out, expected = learn(fast, x), learn(slow, x)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=1e-38)
    for key, array in slow.arrays().items():
        np.testing.assert_allclose(fast.arrays()[key], array, rtol=1e-6)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_block_cuts_change_nothing(name: str, options: dict[str, Any]) -> None:
    """Rows one at a time leave the same bits, out and state, as all rows at once."""
    x = np.random.default_rng(3).normal(2.0, 5.0, (57, 6)).astype(np.float32)
    whole, single = build(name, 6, **options), build(name, 6, **options)
    out = learn(whole, x)
    rows = [learn(single, x[i : i + 1], i) for i in range(len(x))]
    np.testing.assert_array_equal(out, np.concatenate(rows))
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(array, single.arrays()[key])


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_infer_changes_no_state(name: str, options: dict[str, Any]) -> None:
    """Asking is not learning: after `infer`, every array is as it was."""
    x = np.random.default_rng(4).normal(size=(30, 5))
    step = build(name, 5, **options)
    learn(step, x)
    before = {key: array.copy() for key, array in step.arrays().items()}
    infer(step, x * 100)
    for key, array in step.arrays().items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("name", sorted(STEPS.keys() - {"patches", "spectrum"}))
def test_a_step_keeps_the_shape_of_a_row(name: str) -> None:
    """The first layer still sees an image as an image."""
    kind = resolve(STEPS[name])
    step = kind(kind.Options(step=name), Place(12, (3, 4), 2, 0))
    assert (step.width_out, step.shape_out) == (12, (3, 4))


@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_one_word_everywhere(name: str) -> None:
    """Registry key, module and slow twin share one name."""
    assert STEPS[name].startswith(f"streamlearn.prepare.{name}:")
    assert import_module(f"naive.{name}")


def test_scale_turns_bytes_into_unit_range() -> None:
    """0…255 over 255 is 0…1, ends included."""
    step = build("scale", 3, divide_by=255.0)
    np.testing.assert_allclose(infer(step, [[0, 51, 255]]), [[0.0, 0.2, 1.0]], rtol=1e-6)


def test_scale_stays_finite_at_the_edge_of_float32() -> None:
    """A division by a small number stops at the largest float32 instead of infinity."""
    step = build("scale", 2, divide_by=1e-9, subtract=1e9)
    np.testing.assert_array_equal(infer(step, [[LARGEST, -LARGEST]]), [[LARGEST, -LARGEST]])


@settings(max_examples=60, deadline=None)
@given(x=ROWS, length=st.floats(1e-3, 1e6))
def test_unit_norm_gives_every_row_but_zero_its_length(x: F32, length: float) -> None:
    """The norm is the one asked for, from the smallest float32 to the largest; zeros stay zeros."""
    out = infer(build("unit_norm", x.shape[1], length=length), x).astype(np.float64)
    some = (x != 0).any(axis=1)
    np.testing.assert_allclose(np.linalg.norm(out[some], axis=1), length, rtol=1e-5)
    assert not out[~some].any()


def test_unit_norm_does_not_see_brightness() -> None:
    """A row and the same row brighter come out alike."""
    x = np.random.default_rng(5).uniform(0, 1, (4, 9)).astype(np.float32)
    step = build("unit_norm", 9)
    np.testing.assert_allclose(infer(step, x), infer(step, x * 37), rtol=1e-6)


def test_standardize_uses_only_the_rows_before() -> None:
    """Row n is transformed by the exact mean and deviation of rows 0…n-1, then added."""
    x = np.random.default_rng(6).normal(7.0, 3.0, (40, 4)).astype(np.float32)
    out = learn(build("standardize", 4), x)
    before = x[:25].astype(np.float64)
    expected = (x[25] - before.mean(axis=0)) / before.std(axis=0)
    np.testing.assert_allclose(out[25], expected, rtol=1e-4)
    assert not out[0].any()


def test_standardize_holds_mean_and_variance_far_from_zero() -> None:
    """A small spread on a large offset survives 10⁵ rows of single precision input."""
    x = np.random.default_rng(7).normal(1e4, 1.0, (100_000, 2)).astype(np.float32)
    step = build("standardize", 2)
    learn(step, x)
    state = step.arrays()
    np.testing.assert_allclose(state["mean"][0], x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(state["variance"][0], x.var(axis=0, dtype=np.float64), rtol=1e-6)


def test_standardize_with_memory_follows_a_jump() -> None:
    """With a fading memory the old level is forgotten; without one it stays half of the mean."""
    x = np.concatenate([np.zeros((2000, 1)), np.full((2000, 1), 10.0)])
    fading, all_rows = build("standardize", 1, memory_rows=100), build("standardize", 1)
    learn(fading, x)
    learn(all_rows, x)
    assert fading.arrays()["mean"][0, 0] == pytest.approx(10.0, abs=1e-6)
    assert all_rows.arrays()["mean"][0, 0] == pytest.approx(5.0, abs=1e-9)


def wild(rows: int, width: int = 2) -> F32:
    """What a broken sensor sends: 10³⁰, of either sign."""
    x = np.random.default_rng(9).uniform(-1e30, 1e30, (rows, width))
    return x.astype(np.float32)


def test_standardize_does_not_believe_wild_values_at_once() -> None:
    """One, or a stretch shorter than `patience_rows`, leaves the statistics as they were."""
    x = np.random.default_rng(10).normal(3.0, 2.0, (3000, 2)).astype(np.float32)
    step, calm = build("standardize", 2, patience_rows=500), build("standardize", 2)
    learn(step, x)
    learn(calm, x)
    assert np.abs(learn(step, wild(370))).max() == 8.0
    assert step.gauges()["far_inputs"] == 1.0
    for name in ("mean", "variance", "rows"):
        np.testing.assert_array_equal(step.arrays()[name], calm.arrays()[name])
    learn(step, x)
    assert step.gauges()["far_inputs"] == 0.0


@pytest.mark.parametrize("before", [0, 1, 70, 5000])
@pytest.mark.parametrize("size", [1.0, 1e-26], ids=["1e30", "1e4"])
def test_standardize_is_itself_again_after_a_stretch_of_wild_values(
    before: int, size: float
) -> None:
    """However long it was, and however little was known: within twice `patience_rows`."""
    x = np.random.default_rng(11).normal(3.0, 2.0, (before + 1200, 2)).astype(np.float32)
    step = build("standardize", 2, patience_rows=400)
    learn(step, x[:before])
    learn(step, wild(10_000) * np.float32(size))
    learn(step, x[before : before + 800])
    out = learn(step, x[before + 800 :])
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=0.2)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=0.1)


@pytest.mark.parametrize("memory_rows", [0, 100_000])
@pytest.mark.parametrize("level", [0.0, 1e6], ids=["larger", "larger and elsewhere"])
def test_standardize_believes_a_new_level_that_stays(memory_rows: int, level: float) -> None:
    """Values a thousand times as large as in 20,000 rows before: within twice `patience_rows`."""
    x = np.random.default_rng(12).normal(0.0, 1.0, (21_200, 2)).astype(np.float32)
    step = build("standardize", 2, patience_rows=400, memory_rows=memory_rows)
    learn(step, x[:20_000])
    after = x[20_000:] * np.float32(1000) + np.float32(level)
    learn(step, after[:800])
    out = learn(step, after[800:])
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=0.2)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=0.1)


def test_standardize_without_a_limit_adds_every_row() -> None:
    """`limit = 0`: the exact mean and variance of all rows, wild ones among them."""
    x = np.concatenate([np.random.default_rng(13).normal(size=(2000, 2)), wild(3) * 1e-26])
    step = build("standardize", 2, limit=0.0)
    learn(step, x)
    np.testing.assert_allclose(step.arrays()["variance"][0], x.astype(np.float32).var(axis=0), 1e-5)


def test_a_sensor_at_rest_is_not_taken_for_another_level() -> None:
    """Hours at rest, then movement: it stands as far out as before, and less only as rows mix."""
    random = np.random.default_rng(14)
    moves, rests = random.normal(size=(3000, 1)), random.normal(size=(2500, 1)) * 2e-3
    step = build("standardize", 1, patience_rows=400)
    learn(step, moves)
    assert np.abs(learn(step, rests)).max() < 0.1
    assert learn(step, moves[:300]).std() == pytest.approx(1.3, abs=0.2)


def of(streams: ArrayLike, slots: ArrayLike, begins: ArrayLike) -> Origin:
    """Where rows come from; the device does not matter."""
    number = np.ascontiguousarray(streams, np.int32)
    slot = np.ascontiguousarray(slots, np.int32)
    return Origin(slot, np.ascontiguousarray(begins, np.uint8), number, number)


def test_standardize_keeps_streams_apart_as_the_twin_does() -> None:
    """Each stream has its own statistics; they outlast a gap, and go when another takes the slot.

    A row shown aside is seen as its stream's rows are, or as those of all if that is gone.
    """
    random = np.random.default_rng(15)
    kind = resolve(STEPS["standardize"])
    place = Place(width_in=3, shape_in=(3,), classes=2, seed=1, live=2)
    options = kind.Options(step="standardize", per="stream", limit=2.0, patience_rows=20)
    fast, slow = kind(options, place), naive_standardize.Standardize(options, place)
    owners = {0: 7, 1: 8}
    for turn in range(300):
        slot = int(random.integers(2))
        if turn == 200:
            slot, owners[1] = 1, 9
        x = random.normal(10.0 * owners[slot], owners[slot], (1, 3)).astype(np.float32)
        begins = [turn % 50 == 0]
        rows = [
            Rows(x, np.zeros_like(x), np.full(1, -1, np.int32), turn, origin=where)
            for where in [of([owners[slot]], [slot], begins)] * 2
        ]
        fast.learn(rows[0])
        slow.learn(rows[1])
        np.testing.assert_allclose(rows[0].out, rows[1].out, rtol=1e-6)
    assert set(slow.streams) == {0, 1}
    for key, array in slow.arrays().items():
        np.testing.assert_allclose(fast.arrays()[key], array, rtol=1e-6)
    assert fast.arrays()["mean"][:, 0] == pytest.approx([70, 90, 78], abs=6)
    aside = of([7, 9, 8], [2, 2, 2], [1, 1, 1])
    x = np.full((3, 3), 75.0, np.float32)
    shown = [Rows(x, np.zeros_like(x), np.full(3, -1, np.int32), 300, origin=aside) for _ in "ab"]
    before = {key: array.copy() for key, array in fast.arrays().items()}
    fast.follow(shown[0])
    slow.follow(shown[1])
    np.testing.assert_allclose(shown[0].out, shown[1].out, rtol=1e-6)
    assert shown[0].out[0, 0] > 0 > shown[0].out[1, 0]
    for key, array in before.items():
        np.testing.assert_array_equal(fast.arrays()[key], array)


def test_standardize_of_every_stream_has_a_bound() -> None:
    """What would not fit into 1 GiB is refused with the way out."""
    kind = resolve(STEPS["standardize"])
    place = Place(width_in=1 << 20, shape_in=(1 << 20,), classes=2, seed=1, live=64)
    with pytest.raises(ConfigError, match=r"per: .* take 3\.8 GB.*stream\.live smaller"):
        kind(kind.Options(step="standardize", per="stream"), place)


def test_standardize_gives_zero_where_nothing_varies() -> None:
    """A dead pixel says nothing: 0 before, and at, its first change; then the change counts."""
    step = build("standardize", 2)
    x = np.full((50, 2), 1e7)
    x[:, 1] += np.arange(50)
    out = learn(step, x)
    assert not out[:, 0].any()
    assert step.gauges() == {"constant_inputs": 0.5, "far_inputs": 0.0}
    assert not learn(step, [[5.0, 1e7]])[0, 0]
    assert learn(step, [[5.0, 1e7]])[0, 0] != 0.0


def test_standardize_clips_what_stands_out() -> None:
    """One outlier cannot be louder than `clip` standard deviations, either sign."""
    step = build("standardize", 1, clip=4.0)
    learn(step, np.random.default_rng(8).normal(size=(500, 1)))
    np.testing.assert_array_equal(infer(step, [[1e9], [-1e9]]), [[4.0], [-4.0]])


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            {"step": "scale", "divide_by": 0.0},
            "divide_by: expected a number 1e-09…1e+09, got",
        ),
        ({"step": "unit_norm", "length": -1.0}, "length: expected a number 0.001…1e+06, got"),
        ({"step": "standardize", "clip": "x"}, "clip: expected a number 0.1…1e+06, got"),
        ({"step": "standardize", "memory": 5}, "memory: unknown key; did you mean 'memory_rows'?"),
    ],
)
def test_options_out_of_range_are_named(section: dict[str, Any], line: str) -> None:
    """A wrong option is one line with its key, its range and the value found."""
    errors: list[str] = []
    kind = resolve(STEPS[section["step"]])
    assert read_section(section, kind.Options, "prepare[0]", errors) is None
    assert errors[0].startswith(f"prepare[0].{line}")
    assert ConfigError(errors).exit_code == 2


def test_options_are_frozen() -> None:
    """A step's options cannot change under it."""
    step = build("scale", 1)
    with pytest.raises(AttributeError):
        step.options.divide_by = 2.0
    assert msgspec.to_builtins(step.options)["divide_by"] == 1.0
