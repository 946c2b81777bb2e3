"""Local receptive fields: as written, in the right places, learning, finite, cut anywhere."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.forward_forward_fields import ForwardForwardFields as Naive
from rules.fields_layers import (
    CLASSES,
    MODES,
    SEED,
    SHAPE,
    SMALL,
    beside,
    errors,
    every_mode,
    every_sharing,
    images,
    infer,
    layer,
    learn,
    state,
)

from streamlearn.errors import ConfigError
from streamlearn.part import F32, UNLABELLED, Place, Rows
from streamlearn.rules.forward_forward_fields.layer import ForwardForwardFields
from streamlearn.rules.forward_forward_fields.options import ONLY
from streamlearn.rules.only import idle


@every_sharing
@every_mode
def test_every_step_is_that_of_the_slow_twin(mode: str, *, shared: bool) -> None:
    """After each row, answers and all state are those of the equations, worked out slowly."""
    fast, slow = layer(mode, shared=shared), layer(mode, Naive, shared=shared)
    x, y = images(60)
    y[::5] = UNLABELLED
    for b in range(60):
        one, label = x[b : b + 1], y[b : b + 1]
        ours, theirs = learn(fast, one, label, b), learn(slow, one, label, b, fast.width_out)
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4, err_msg=f"row {b}")
        for name, array in slow.arrays().items():
            mine = fast.arrays()[name]
            np.testing.assert_allclose(mine, array, 2e-3, 2e-5, err_msg=f"{name}, row {b}")
    assert fast.arrays()["clock"] > 40


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": 1, "pool": 3, "pool_stride": 2},
        {"field": 4, "pool": 1, "soften": 0.05},
        {"stride": 3, "pool": 2, "pool_stride": 2},
        {"rate_floor": 0.5, "decay_rows": 3.0},
        {"scale": 2.0, "margin": 0.0, "threshold": 0.1},
        {"patches": 20, "conscience": 0.5, "silence": 0.0},
        {"patches": 0, "smoothing": 0.3, "reservoir_rows": 1},
    ],
)
@pytest.mark.parametrize("mode", ["compete", "hybrid", "pairing", "blocks", "projection"])
def test_every_option_means_what_the_slow_twin_does(mode: str, changed: dict[str, Any]) -> None:
    """Other fields, regions, rates and bounds; two colours: all as the equations say.

    What would mean nothing to a mode is left out.
    """
    shape = (10, 9, 2)
    options = ForwardForwardFields.Options(
        rule="forward_forward_fields", **SMALL | MODES[mode] | changed
    )
    changed = {key: value for key, value in changed.items() if key not in idle(options, ONLY)}
    fast, slow = layer(mode, shape=shape, **changed), layer(mode, Naive, shape, **changed)
    x, y = images(25, shape)
    ours, theirs = learn(fast, x, y), learn(slow, x, y, 0, fast.width_out)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    for name, array in slow.arrays().items():
        np.testing.assert_allclose(fast.arrays()[name], array, 2e-3, 2e-5, err_msg=name)


@every_mode
def test_scores_are_the_log_beliefs_of_the_slow_twin(mode: str) -> None:
    """Layers with labels write them, learning or asked, and the others promise none."""
    fast, slow = layer(mode), layer(mode, Naive)
    x, y = images(30)
    assert fast.scores_out == fast.learns_labels == ("labels" in MODES[mode])
    if not fast.scores_out:
        return
    learn(slow, x, y, 0, fast.width_out)
    out, told, asked = np.zeros((30, fast.width_out), np.float32), beside(30), beside(30)
    fast.learn(Rows(x, out, y, 0, told))
    np.testing.assert_allclose(np.exp(told.scores).sum(axis=1), 1, rtol=1e-5)
    fast.respond(Rows(x, out, y, 0, asked))
    answer = np.zeros(fast.width_out, np.float32)
    for b in range(30):
        _, seen, _ = slow._answer(x[b].astype(np.float64), answer)
        beliefs = slow.beliefs(seen, answer.astype(np.float64))
        np.testing.assert_allclose(asked.scores[b], beliefs, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((28, 28), {"units": 64, "field": 7, "pool": 5, "pool_stride": 2}, (4, 4, 64)),
        ((28, 28), {"units": 16, "field": 10, "stride": 6, "pool": 1}, (4, 4, 16)),
        ((4, 4, 16), {"units": 30, "field": 2, "stride": 1, "pool": 1}, (3, 3, 30)),
        ((9, 13, 3), {"units": 5, "field": 3, "stride": 1, "pool": 4, "pool_stride": 3}, (2, 3, 5)),
    ],
)
def test_the_map_has_a_shape_so_that_layers_stack(
    shape: tuple[int, ...], options: dict[str, Any], expected: tuple[int, ...]
) -> None:
    """Lines of regions, columns of regions, channels: what the next layer takes for an image."""
    part = layer("compete", shape=shape, **options)
    assert part.shape_out == expected
    assert part.width_out == np.prod(expected)
    above = layer("compete", shape=part.shape_out, field=2, stride=1, pool=1, silence=0.0)
    x, y = images(40, shape)
    assert np.isfinite(learn(above, learn(part, x, y), y)).all()
    answers = infer(above, infer(part, x))
    np.testing.assert_allclose((answers**2).mean(axis=1), 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((72,), {}, ["reads: expected", "[height, width]", "[72]", "stream.shape"]),
        ((2, 3, 4, 3), {}, ["reads: expected", "[2, 3, 4, 3]", "stream.shape"]),
        ((9, 4), {"field": 5}, ["field", "1…4", "got 5", "9 x 4"]),
        ((9, 8), {"pool": 4}, ["pool", "1…3", "got 4", "4 x 3"]),
        ((9, 8), {"pool_stride": 3}, ["pool_stride", "1…2", "got 3", "unheard"]),
        ((9, 8), {"labels": "blocks", "units": 7}, ["units", "classes = 3", "got 7"]),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], words: list[str]
) -> None:
    """No image, too small an image, channels that cannot be shared out: place, value, way out."""
    with pytest.raises(ConfigError) as caught:
        layer(options.get("labels", "compete"), shape=shape, **options)
    assert all(word in str(caught.value) for word in words), caught.value


def test_labels_need_classes() -> None:
    """A stream without classes is refused where labels should take part."""
    options = ForwardForwardFields.Options(
        rule="x", units=6, field=3, pool=1, pool_stride=1, labels="projection"
    )
    with pytest.raises(ConfigError, match=r"^labels: 'projection' needs classes"):
        ForwardForwardFields(options, Place(72, SHAPE, 0, SEED))


def test_shared_weights_see_the_same_thing_anywhere() -> None:
    """An image that moves by one region moves its map by one region, and nothing else."""
    part = layer("projection", shape=(20, 20), stride=2, pool=2, pool_stride=2)
    image = np.zeros((20, 20), np.float32)
    image[6:9, 6:9] = np.random.default_rng(0).random((3, 3))
    moved = np.roll(image, (4, 4), axis=(0, 1))
    ours, theirs = infer(part, np.stack([image, moved]).reshape(2, -1))
    first, second = ours.reshape(part.shape_out), theirs.reshape(part.shape_out)
    assert first.any()
    np.testing.assert_allclose(second[1:, 1:], first[:-1, :-1], rtol=1e-5, atol=1e-6)
    unshared = layer("projection", shape=(20, 20), pool=2, pool_stride=2, shared=False)
    ours, theirs = infer(unshared, np.stack([image, moved]).reshape(2, -1))
    assert not np.allclose(
        theirs.reshape(part.shape_out)[1:, 1:], ours.reshape(part.shape_out)[:-1, :-1]
    )


@every_mode
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), shared=st.booleans())
def test_where_blocks_end_changes_nothing(mode: str, cuts: list[int], *, shared: bool) -> None:
    """Any cut of a stream into blocks gives the same answers and state to the bit."""
    x, y = images(60)
    whole, cut = layer(mode, shared=shared), layer(mode, shared=shared)
    together = learn(whole, x, y)
    edges = [0, *sorted(cuts), 60]
    pieces = [learn(cut, x[a:b], y[a:b], a) for a, b in pairwise(edges)]
    assert np.concatenate(pieces).tobytes() == together.tobytes()
    assert state(cut) == state(whole)


@every_mode
def test_arrays_restore_the_layer(mode: str) -> None:
    """A layer whose arrays are overwritten in mid-stream goes on as the one they came from."""
    x, y = images(80)
    first, second = layer(mode), layer(mode)
    learn(first, x[:50], y[:50])
    learn(second, *images(20, seed=5))
    for name, array in second.arrays().items():
        array[...] = first.arrays()[name]
    second.restored()
    assert learn(second, x[50:], y[50:], 50).tobytes() == learn(first, x[50:], y[50:], 50).tobytes()
    assert state(second) == state(first)


@every_mode
def test_infer_answers_from_the_weights_as_they_are_and_changes_nothing(mode: str) -> None:
    """The answer written before learning a row is the one that `infer` gives for it."""
    (x, y), part = images(60), layer(mode)
    learn(part, x[:40], y[:40])
    for b in range(40, 60):
        before = state(part)
        answer = infer(part, x[b : b + 1])
        assert state(part) == before
        assert learn(part, x[b : b + 1], y[b : b + 1], b).tobytes() == answer.tobytes()


@every_mode
@every_sharing
def test_extreme_rows_do_no_harm(mode: str, *, shared: bool) -> None:
    """Zeros, constants, the largest and smallest numbers leave no NaN, and teach nothing."""
    (x, y), part = images(60), layer(mode, shared=shared)
    learn(part, x, y)
    largest = np.float32(np.finfo(np.float32).max)
    flat = np.stack([0 * x[0], 0 * x[0] + 7, 0 * x[0] - largest, 0 * x[0] + np.float32(1e-41)])
    before = state(part)
    answers = learn(part, flat.astype(np.float32), np.zeros(4, np.int32), 60)
    assert state(part) == before
    assert not answers.any()
    wild = np.stack([1e6 * x[0], -x[1] / x[1].max() * largest, 1e-38 * x[2], x[3]])
    wild[3, 5] = largest
    assert np.isfinite(learn(part, wild.astype(np.float32), np.arange(4, dtype=np.int32), 64)).all()
    assert all(np.isfinite(array).all() for array in part.arrays().values())
    assert np.isfinite(list(part.gauges().values())).all()


def test_a_row_counts_by_its_direction() -> None:
    """Rows a million times larger give the same answers and the same weights."""
    x, y = images(50)
    for mode in MODES:
        one, other = layer(mode), layer(mode)
        small, large = learn(one, x, y), learn(other, x * np.float32(2**20), y)
        np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-5, err_msg=mode)


@pytest.mark.parametrize("mode", ["blocks", "projection", "sums"])
def test_rows_without_a_label_are_answered_and_teach_nothing(mode: str) -> None:
    """Nor does a class that there is not; only what channels are used for is noted."""
    (x, y), part = images(40), layer(mode)
    learn(part, x, y)
    before = state(part)
    for label in (UNLABELLED, CLASSES):
        assert np.isfinite(learn(part, x, np.full_like(y, label), 40)).all()
    after = state(part)
    assert {name for name in after if after[name] != before[name]} <= {"usage"}


@every_sharing
@pytest.mark.parametrize("mode", ["blocks", "projection", "sums"])
def test_labels_are_learned(mode: str, *, shared: bool) -> None:
    """After a pass the layer's own scores tell bars in three directions, by chance 67 % wrong."""
    part = layer(mode, units=12, shared=shared)
    learn(part, *images(1500))
    assert errors(part, *images(300, seed=1)) < 0.2
    gauges = part.gauges()
    assert gauges["margin"] > 0


@every_sharing
@pytest.mark.parametrize("mode", ["hybrid", "pairing"])
def test_real_regions_come_to_have_more_goodness(mode: str, *, shared: bool) -> None:
    """Goodness of real rows over that of made-up ones grows along the stream."""
    options = {"units": 12, "field": 5, "shared": shared, "pool": 1, "reservoir_rows": 50}
    part, still = layer(mode, **options), layer(mode, **options, rate=1e-9)
    learn(part, *images(4000))
    learn(still, *images(4000))
    assert part.gauges()["margin"] > still.gauges()["margin"] + 0.02
    assert part.gauges()["goodness_positive"] > part.gauges()["goodness_negative"]


@every_sharing
def test_competing_channels_share_the_patches(*, shared: bool) -> None:
    """None is dead, none wins everything, and winners come to look like their patches."""
    part, still = layer("compete", shared=shared), layer("compete", shared=shared, conscience=0.0)
    learn(part, *images(1500))
    wins = part.arrays()["wins"]
    share = wins / wins.sum(axis=1, keepdims=True)
    assert share.min() > 0.3 / 6
    assert share.max() < 3.5 / 6
    learn(still, *images(1500))
    assert part.gauges()["dead_share"] == 0
    assert part.gauges()["goodness_positive"] > part.gauges()["goodness_negative"] + 0.3
    norms = np.linalg.norm(part.arrays()["weights"], axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-4)


def test_learning_never_ends() -> None:
    """After 20,000 patches of one world channels still move to the next one's."""
    old, y = images(4000)
    new = images(4000, seed=9)[0].reshape(-1, *SHAPE)
    chequered = new * (np.indices(SHAPE).sum(axis=0) % 2)
    new = np.ascontiguousarray(chequered.reshape(4000, -1), np.float32)
    part = layer("compete", rate_floor=0.02)
    learn(part, old, y)
    before = _likeness(part, new[-50:])
    learn(part, new, y, 4000)
    assert _likeness(part, new[-50:]) > before + 0.05
    assert part.gauges()["rate"] >= 0.02


def _likeness(part: Any, x: F32) -> float:
    """Mean cosine of patches with the channel that is nearest to them."""
    fields = part.receptive_fields().reshape(6, -1)
    cosines = []
    for image in x.reshape(-1, *SHAPE):
        for i in range(0, 6, 2):
            patch = image[i : i + 3, i : i + 3].ravel()
            patch = patch - patch.mean()
            cosines.append((fields @ patch / max(np.linalg.norm(patch), 1e-6)).max())
    return float(np.mean(cosines))


def test_pictures_show_each_unit_where_it_looks() -> None:
    """Shared weights are one field a channel; unshared ones lie in their place in the image."""
    shared = layer("compete").receptive_fields()
    assert shared.shape == (6, 3, 3)
    part = layer("compete", shared=False)
    fields = part.receptive_fields()
    weights = part.arrays()["weights"]
    assert fields.shape == (len(weights) * 6, *SHAPE)
    # The second unit at the position in the second line, third column, of 4 x 3 positions.
    field = fields[(3 + 2) * 6 + 1]
    np.testing.assert_array_equal(field[2:5, 4:7].ravel(), weights[5, :, 1])
    assert np.count_nonzero(field) == 9


def test_gauges_have_their_names_from_the_start() -> None:
    """A fresh layer shows the same gauges as one that has learned, all finite."""
    for mode in MODES:
        part = layer(mode)
        fresh = part.gauges()
        learn(part, *images(50))
        later = part.gauges()
        assert tuple(fresh) == tuple(later) == part.GAUGES
        assert np.isfinite([*fresh.values(), *later.values()]).all()
        assert later["goodness_positive"] != 0


def test_a_channel_that_is_never_active_counts_as_dead() -> None:
    """Channels that nothing makes active for thousands of rows show in the gauge, half here."""
    part = layer("blocks", rate=1e-9)
    part.arrays()["bias"][:, :3] = -1e6
    x, y = images(2000)
    for _ in range(4):
        learn(part, x, y)
    part.arrays()["usage"][:6] = 0
    assert part.gauges()["dead_share"] == 0.5, "dead in one region is not dead"
