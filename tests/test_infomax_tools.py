"""The tools that measure Greedy InfoMax on recordings do what they say, in short versions."""

import json
import sys
from pathlib import Path
from typing import Any

import infomax_heads
import infomax_made_up
import infomax_voices
import infomax_watch
import numpy as np
import paired
import pytest
from infomax_encoders import config_of, learned
from infomax_end_to_end import planned

from streamlearn.config import environment
from streamlearn.part import Place, Rows
from streamlearn.plan import Plan, check
from streamlearn.rules.pool import Pool

SMALL = infomax_watch.Encoder("small", ({"units": 16},), infomax_watch.WIDE)


def test_every_row_is_a_configuration() -> None:
    """Each encoder passes the checks, has a title of its own, and what stands beside it is one."""
    watch = infomax_made_up.watch(samples=200)
    for name, encoder in infomax_watch.ENCODERS.items():
        config = config_of(encoder.setting, watch, encoder.layers, 0)
        assert check(config, name).widths[f"layer/{config.layer[-1].name}"]
        assert encoder.beside in infomax_watch.ENCODERS
    for name, variant in infomax_heads.VARIANTS.items():
        config = infomax_heads.configured(watch, variant, 0)
        reads = {w.reads for part, w in check(config, name).parts if w.writes.startswith("head/")}
        assert reads == {("layer/layer2",)}
    sounds = infomax_voices.made_up(2, 2).data
    for name, encoder in infomax_voices.ENCODERS.items():
        config = config_of(infomax_voices.SETTING, sounds, [encoder.layer], 0)
        assert check(config, name).prepared
        beside = infomax_voices.ENCODERS.get(encoder.beside)
        assert beside is None or beside.layer["units"] == encoder.layer["units"]
    for tool in (infomax_watch.ENCODERS, infomax_voices.ENCODERS, infomax_heads.VARIANTS):
        assert len({one.title for one in tool.values()}) == len(tool)


def test_the_person_asked_about_is_never_seen(monkeypatch) -> None:
    """The encoder learns from the recordings of all others, and tells the exercises of the one."""
    seen: list[str] = []
    learned = infomax_watch.learned

    def spied(config: Any, train: Any, *rest: Any, **more: Any) -> Any:
        seen.extend(infomax_watch.person(one) for one in train.recordings())
        return learned(config, train, *rest, **more)

    monkeypatch.setattr(infomax_watch, "learned", spied)
    watch = infomax_made_up.watch()
    assert infomax_watch.people(watch) == ["1", "2", "3"]
    share, seconds = infomax_watch.fold(watch, SMALL, "2", 0)
    assert seen == ["1"] * 6 + ["3"] * 6
    assert share > 0.6
    assert seconds > 0


def test_a_row_of_the_watch(tmp_path: Path) -> None:
    """Shares are averaged before seeds, seeds before people are compared; half a seed is none."""
    watch = infomax_made_up.watch(people=2, samples=9)
    for name, shares in {"device25": (0.9, 0.8, 0.7, 0.84, 0.0), "untrained25": [0.7] * 5}.items():
        keys = ("0 1", "0 2", "1 1", "1 2", "2 1")
        folds = {key: (share, 2.0) for key, share in zip(keys, shares, strict=True)}
        (tmp_path / f"watch-{name}.json").write_text(json.dumps(folds), "utf-8")
    found = infomax_watch.measured("device25", watch, 2, tmp_path)
    row = infomax_watch.row("device25", found, tmp_path)
    assert (row.ours, row.seeds, row.spread) == (81.0, 2, 8.0)
    assert row.note.startswith("+11.0 against the same shape that never learned (over 2 people ")
    assert "t = 11.0, p = 0.058; over people and seeds t = 2.6" in row.note
    assert row.note.endswith("2 s of processor")
    beside = infomax_watch.measured("untrained25", watch, 2, tmp_path)
    assert infomax_watch.row("untrained25", beside, tmp_path).note == "2 seeds; 2 s of processor"


def test_a_difference_is_tested_by_students_t() -> None:
    """Chances are those of the tables of t (two-sided 5 % of 1, 9 and 29 degrees of freedom)."""
    for t, freedom in ((12.706, 1), (2.262, 9), (-2.045, 29)):
        assert paired.chance(t, freedom) == pytest.approx(0.05, abs=1e-4)
    assert paired.chance(0.0, 4) == 1.0
    assert paired.tested([1.0]) == (1.0, 0.0, 1.0)
    assert paired.tested([2.0, 2.0, 2.0])[1:] == (0.0, 1.0)
    mean, t, p = paired.tested([1.0, 2.0, 3.0])
    assert (mean, t) == (2.0, pytest.approx(12**0.5))
    assert p == pytest.approx(0.0742, abs=1e-4)


def test_rows_are_measured_behind_those_beside_them(monkeypatch) -> None:
    """What stands beside a row comes first; without PyTorch the row that needs it is left out."""
    assert infomax_watch.wanted(["device25", "k4"]) == ["untrained25", "device25", "k4"]
    monkeypatch.setattr(infomax_watch.importlib.util, "find_spec", lambda _: object())
    assert set(infomax_watch.wanted([])) == set(infomax_watch.ENCODERS)
    monkeypatch.setattr(infomax_watch.importlib.util, "find_spec", lambda _: None)
    assert set(infomax_watch.ENCODERS) - set(infomax_watch.wanted([])) == {"end-to-end25x2"}
    with pytest.raises(SystemExit, match="pip install torch"):
        infomax_watch.wanted(["end-to-end25x2"])


def test_one_module_end_to_end_is_the_rule() -> None:
    """Same weights, rows, negatives: the same module; of two the first moves otherwise."""
    pytest.importorskip("torch")
    watch = infomax_made_up.watch(people=2, samples=150)
    layer = {"units": 16, "negatives_from": "device", "warm_rows": 16}
    for modules in (1, 2):
        config = config_of(infomax_watch.WIDE, watch, (layer,) * modules, 0)
        ours = learned(config, watch, 5)
        theirs = learned(config, watch, 5, plan=planned(config))
        ours.pipeline.close()
        theirs.pipeline.close()
        first, stack = (one.layer("layer1").part.arrays() for one in (ours, theirs))
        assert first["clock"][2] > 50
        same = np.allclose(first["weights"], stack["weights1"], atol=1e-5)
        assert same == (modules == 1)
    top = Plan(config).parts[-2][0].arrays()["predict"]
    assert not np.allclose(stack["predict"], top, atol=0.01)


@pytest.mark.parametrize("tool", [infomax_watch, infomax_voices, infomax_heads])
def test_what_was_measured_is_kept(monkeypatch, tmp_path: Path, tool: Any) -> None:
    """A fold is measured once, however often the tool is started."""
    shares = {"utterance, ridge 10": 1.0}
    one = infomax_watch.Fold(0.5, 1.0) if tool is infomax_watch else shares
    monkeypatch.setattr(tool, "fold", lambda *_: one)
    name = next(iter(tool.VARIANTS if tool is infomax_heads else tool.ENCODERS))
    source = (
        infomax_voices.made_up(2, 2) if tool is infomax_voices else infomax_made_up.watch(samples=9)
    )
    first = tool.measured(name, source, 2, tmp_path)
    monkeypatch.setattr(tool, "fold", None)
    assert tool.measured(name, source, 2, tmp_path) == first
    assert len(first) == {infomax_watch: 6, infomax_voices: 2, infomax_heads: 2}[tool]


def test_prompts_are_split_by_name() -> None:
    """Seven of ten, of every voice the same; every split others."""
    prompts = infomax_voices.made_up(3, 10).prompts
    splits = [infomax_voices.heard(prompts, split) for split in range(3)]
    for known in splits:
        assert known.reshape(3, 10).sum(axis=1).tolist() == [7, 7, 7]
        assert set(prompts[known]).isdisjoint(prompts[~known])
    assert not np.array_equal(splits[0], splits[1])


def test_pieces_are_pooled_as_the_layer_does() -> None:
    """Mean and deviation of codes that follow each other are those that `pool` writes."""
    codes = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)
    pool = Pool(Pool.Options(rule="pool", rows=10), Place(4, (4,), 0, 0))
    out = np.empty((25, 8), np.float32)
    pool.learn(Rows(codes, out, np.full(25, -1, np.int32), 0))
    assert infomax_voices.pooled(codes, 10) == pytest.approx(out[9::10], abs=1e-6)
    assert infomax_voices.pooled(codes, 99).shape == (1, 8)


def test_rows_of_voices() -> None:
    """Splits are averaged; what was asked for and the gain over no learning stand beside."""
    found = {
        str(split): {
            f"{kind}, ridge {r:g}": share for kind in infomax_voices.ASKED for r in (10, 100)
        }
        for split, share in enumerate((0.9, 1.0))
    }
    beside = {split: dict.fromkeys(shares, 0.9) for split, shares in found.items()}
    whole, half = infomax_voices.rows("x", found, beside)
    assert (whole.name, half.name) == ("x: utterance", "x: half second")
    assert (half.ours, half.limit, half.seeds, half.spread) == (95.0, 98.3, 2, 10.0)
    assert half.note == "ridge 100: 95.00; +5.00 against the same shape that never learned"


def test_rows_shown_again_teach_heads_alone() -> None:
    """A module without negatives, which draws nothing, is the same without them; heads are not."""
    watch = infomax_made_up.watch(people=2, samples=500)
    layer = {"units": 8, "loss": "lpl"}
    plain, again = (
        infomax_heads.fold(watch, infomax_heads.Variant("", layer, labels), "1", 0)
        for labels in (infomax_heads.LabelOptions(), infomax_heads.again(2, 100))
    )
    assert plain["refitted"] == again["refitted"]
    names = [infomax_heads.called(forgetting) for forgetting in infomax_heads.FORGETTING]
    assert [plain[name] for name in names] != [again[name] for name in names]


@pytest.mark.parametrize("later", [False, True])
def test_a_frozen_module_stands_still(monkeypatch, later: bool) -> None:  # noqa: FBT001  a parameter
    """What comes after it was frozen changes nothing of it; heads go on learning, or begin to."""
    watch = infomax_made_up.watch(people=2, samples=500)
    variant = infomax_heads.Variant("", {"units": 8}, freeze_after=1000, heads_later=later)
    states, play = [], infomax_heads.play

    def spied(learner: Any, *rest: Any) -> Any:
        curve = play(learner, *rest)
        states.append({name: a.copy() for name, a in learner.learning_arrays().items()})
        return curve

    monkeypatch.setattr(infomax_heads, "play", spied)
    infomax_heads.fold(watch, variant, "1", 0)
    then, now = states
    assert then["layer/layer1/weights"].std() > 0
    assert np.array_equal(then["layer/layer1/weights"], now["layer/layer1/weights"])
    rows = [int(state["head/forgets5/labelled"][0]) for state in (then, now)]
    assert rows[1] > rows[0]
    assert (rows[0] == 0) == later


@pytest.mark.parametrize("tool", [infomax_voices, infomax_heads])
def test_in_short(monkeypatch, capsys, tool: Any) -> None:
    """Made-up recordings are told apart by a small module, far better than by chance."""
    monkeypatch.setattr(sys, "argv", [tool.__name__, "--short"])
    tool.main()
    assert "%" in capsys.readouterr().out


@pytest.mark.needs_data("voices")
def test_the_recordings_have_their_prompts() -> None:
    """Five voices say the same 180 prompts, a recording each."""
    voices = infomax_voices.load(environment().data / "voices")
    assert len(voices.data.recordings()) == len(voices.prompts) == 900
    assert voices.data.classes == 5
    names, counts = np.unique(voices.prompts, return_counts=True)
    assert len(names) == 180
    assert set(counts.tolist()) == {5}
