"""Greedy InfoMax on telephone prompts: five voices told apart by words that no encoder heard.

    make infomax-voices                            every row of the table: half an hour
    make infomax-voices ARGS='untrained lpl'       some rows
    make infomax-voices ARGS=--short               made-up voices, small nets: seconds, for CI

A split takes seven of ten prompts, by name, for learning, once, and asks for the rest of them, of
every voice. A head tells whole utterances by mean and deviation of all their codes; another one
tells half seconds, 31 steps, that follow each other (an utterance that is shorter is one). Beside
each encoder stands the one of the same shape that never learned, and what mean and deviation of the
25 bands give without any: without them a figure means nothing. The language goes with the speaker,
and so does the recording: it is voices that are told, not who speaks.
Writes docs/results/infomax-voices.json; figures by split are kept in --state.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from infomax_encoders import UNTRAINED, Setting, config_of, learned, scores
from numpy.typing import NDArray
from results import update

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import environment
from streamlearn.data import Dataset
from streamlearn.data.series import recordings
from streamlearn.learner import Learner
from streamlearn.part import F32, I32, Place
from streamlearn.prepare.spectrum import Spectrum

NAME: Final = "infomax-voices"
HOP: Final = 128
FRAME: Final = 256
STEPS: Final = 31
"""Of half a second."""
SETTING: Final = Setting(
    (
        {"step": "window", "rows": FRAME + 2 * HOP, "hop": HOP},
        {"step": "spectrum"},
        {"step": "standardize"},
    ),
    pool_rows=STEPS,
)
STATE: Final = Path("state-infomax")
RIDGES: Final = (10.0, 100.0)
"""Of the head; the first is the one that the table is about."""
ASKED: Final = {"utterance": 99.5, "half second": 98.3}
"""Share of right answers that was asked for, in percent."""
HAND: Final = "hand"
HAND_TITLE: Final = "hand-made: mean and deviation of 25 log-mel bands"

Codes = list[F32]
"""Codes [n, H] of each recording, step by step."""
Shares = dict[str, float]
"""Kind of piece, with the ridge → share of right answers."""


class Encoder(NamedTuple):
    """Two rows of the table: whole utterances, half seconds."""

    title: str
    layer: Mapping[str, Any]
    beside: str = ""
    """The encoder of the same shape that never learned."""


def lpl(units: int, decorrelate: float) -> dict[str, Any]:
    """One module without negatives."""
    return {"units": units, "loss": "lpl", "decorrelate": decorrelate}


ENCODERS: Final[Mapping[str, Encoder]] = {
    "untrained": Encoder("never learned, 256 units", {"units": 256, **UNTRAINED}),
    "lpl": Encoder("no negatives (LPL, decorrelate 10), 256 units", lpl(256, 10.0), "untrained"),
    "infonce256": Encoder(
        "InfoNCE, 12 steps ahead, 256 units", {"units": 256, "steps": 12}, "untrained"
    ),
    "untrained128": Encoder("never learned, 128 units", {"units": 128, **UNTRAINED}),
    "lpl128": Encoder(
        "no negatives (LPL, decorrelate 1), 128 units", lpl(128, 1.0), "untrained128"
    ),
    "infonce": Encoder(
        "InfoNCE, 12 steps ahead, 128 units", {"units": 128, "steps": 12}, "untrained128"
    ),
    "untrained512": Encoder("never learned, 512 units", {"units": 512, **UNTRAINED}),
    "lpl512": Encoder(
        "no negatives (LPL, decorrelate 10), 512 units", lpl(512, 10.0), "untrained512"
    ),
}


class Voices(NamedTuple):
    """Recordings, and what is said in each."""

    data: Dataset
    prompts: NDArray[np.str_]
    """[recordings] names; every voice says each."""


def load(folder: Path) -> Voices:
    """The recordings of a folder of .npz files, with the names of their prompts."""
    prompts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            prompts.append(arrays["prompt"])
    return Voices(data.load(str(folder)), np.concatenate(prompts))


def made_up(voices: int = 3, prompts: int = 10) -> Voices:
    """Noisy tones, each voice with its own pitch and colour; prompts of different tunes."""
    random = np.random.default_rng(0)
    sounds, t = [], np.arange(6000) / 8000
    for voice in range(voices):
        for prompt in range(prompts):
            pitch = 90 + 35 * voice + 10 * np.sin(2 * np.pi * (1 + prompt) * t / 2)
            phase = 2 * np.pi * np.cumsum(pitch) / 8000
            tones = [np.sin(h * phase) * (1 + voice) ** (-h / 4) for h in range(1, 12)]
            sounds.append(1000 * np.sum(tones, 0) + random.normal(0, 100, len(t)))
    x = np.concatenate(sounds).astype(np.int16)[:, None]
    y = np.repeat(np.arange(voices), prompts)
    arrays = {"offsets": np.arange(len(sounds) + 1) * len(t), "y": y, "speaker": "made-up"}
    whole = recordings("made-up", x, arrays)
    return Voices(whole, np.tile(np.array([f"tune/{i}" for i in range(prompts)]), voices))


def heard(prompts: NDArray[np.str_], split: int) -> NDArray[np.bool_]:
    """Which recordings [n] are learned from: those of seven of ten prompts."""
    names = np.unique(prompts)
    chosen = np.random.default_rng(split).permutation(names)[: round(0.7 * len(names))]
    known: NDArray[np.bool_] = np.isin(prompts, chosen)
    return known


def codes_of(learner: Learner, whole: Sequence[Dataset]) -> Codes:
    """What the first module says of every step of each recording."""
    found = []
    for one in whole:
        x, _ = learner.rows_of(one.X)
        values = learner.infer(x.astype(np.float32))
        found.append(values[f"layer/{learner.config.layer[0].name}"])
    return found


def bands_of(whole: Sequence[Dataset]) -> Codes:
    """The spectra of each recording, frame by frame."""
    step = Spectrum(Spectrum.Options(step="spectrum"), Place(FRAME, (FRAME,), 0, 0))
    found = []
    for one in whole:
        frames = np.lib.stride_tricks.sliding_window_view(one.X[:, 0], FRAME)[::HOP]
        out = np.empty((len(frames), step.width_out), np.float32)
        step.infer(np.ascontiguousarray(frames, np.float32), out)
        found.append(out)
    return found


def pooled(codes: F32, steps: int) -> F32:
    """Mean and deviation [n, 2 H] of pieces of so many codes; of all where there are fewer."""
    n = max(1, len(codes) // steps)
    parts = np.float64(codes[: n * steps]).reshape(n, -1, codes.shape[1])
    return np.hstack([parts.mean(1), parts.std(1)]).astype(np.float32)


def shares(voices: Voices, codes: Codes, known: NDArray[np.bool_], seed: int) -> Shares:
    """How often heads on codes of what was heard are right about the rest."""
    labels = [int(one.y[0]) for one in voices.data.recordings() if one.y is not None]
    found = {}
    for kind, steps in (("utterance", max(map(len, codes))), ("half second", STEPS)):
        pieces = [pooled(one, steps) for one in codes]
        told: list[tuple[F32, I32]] = [
            (p, np.full(len(p), y, np.int32)) for p, y in zip(pieces, labels, strict=True)
        ]
        train = [one for one, here in zip(told, known, strict=True) if here]
        test = [one for one, here in zip(told, known, strict=True) if not here]
        for ridge in RIDGES:
            said = scores(train, test, voices.data.classes, ridge, seed)
            right = [s.argmax(axis=1) == y for s, (_, y) in zip(said, test, strict=True)]
            found[f"{kind}, ridge {ridge:g}"] = float(np.concatenate(right).mean())
    return found


def fold(voices: Voices, layer: Mapping[str, Any], split: int) -> Shares:
    """Learn from what a split lets be heard, once, and ask for the rest."""
    known = heard(voices.prompts, split)
    assert voices.data.series is not None
    train = voices.data.part(known[voices.data.series])
    began = time.perf_counter()
    learner = learned(config_of(SETTING, voices.data, [layer], split), train, HOP)
    seconds = time.perf_counter() - began
    try:
        codes = codes_of(learner, voices.data.recordings())
    finally:
        learner.pipeline.close()
    return {**shares(voices, codes, known, split), "seconds": seconds}


def measured(name: str, voices: Voices, splits: int, state: Path) -> dict[str, Shares]:
    """Split → shares; what was measured before is kept."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / f"voices-{name}.json"
    found: dict[str, Shares] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    bands = None
    for split in range(splits):
        if str(split) in found:
            continue
        if name == HAND:
            bands = bands or bands_of(voices.data.recordings())
            found[str(split)] = shares(voices, bands, heard(voices.prompts, split), split)
        else:
            found[str(split)] = fold(voices, ENCODERS[name].layer, split)
        file.write_text(json.dumps(found), "utf-8")
        print(f"{name}, split {split}: {found[str(split)]}", flush=True)
    return found


def rows(title: str, found: Mapping[str, Shares], beside: Mapping[str, Shares]) -> list[Row]:
    """Rows of the table, in percent: utterances, half seconds."""

    def values(of: Mapping[str, Shares], kind: str, ridge: float) -> list[float]:
        return [100 * of[split][f"{kind}, ridge {ridge:g}"] for split in found if split in of]

    made = []
    for kind, asked in ASKED.items():
        ours = values(found, kind, RIDGES[0])
        other = statistics.mean(values(found, kind, RIDGES[1]))
        note = f"ridge {RIDGES[1]:g}: {other:.2f}"
        if beside:
            gain = statistics.mean(ours) - statistics.mean(values(beside, kind, RIDGES[0]))
            note += f"; {gain:+.2f} against the same shape that never learned"
        made.append(
            Row(
                name=f"{title}: {kind}",
                ours=round(statistics.mean(ours), 2),
                unit=f"% of {kind}s right",
                limit=asked,
                seeds=len(ours),
                spread=round(max(ours) - min(ours), 2),
                note=note,
            )
        )
    return made


def short() -> None:
    """Learn made-up voices with a small module.

    Raises
    ------
    SystemExit
        Where they are not told apart.

    """
    voices = made_up()
    found = fold(voices, lpl(16, 1.0), 0)
    share = found[f"half second, ridge {RIDGES[0]:g}"]
    print(f"{100 * share:.1f} % of half seconds of {voices.data.classes} made-up voices")
    if share < (1 + 1 / voices.data.classes) / 2:
        sys.exit("infomax_voices: it does not learn")


def main() -> None:
    """Measure what is named, and write the table after each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", choices=[HAND, *ENCODERS, []], help="none: all")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--short", action="store_true", help="made-up voices, a small net")
    arguments = parser.parse_args()
    if arguments.short:
        short()
        return
    voices = load((environment().data or Path()) / "voices")
    for name in arguments.name or (HAND, *ENCODERS):
        found = measured(name, voices, arguments.splits, arguments.state)
        encoder = ENCODERS.get(name, Encoder(HAND_TITLE, {}))
        beside = encoder.beside
        other = measured(beside, voices, arguments.splits, arguments.state) if beside else {}
        _write(rows(encoder.title, found, other))


def _write(new: Sequence[Row]) -> None:
    titles = [HAND_TITLE, *(encoder.title for encoder in ENCODERS.values())]
    order = [f"{title}: {kind}" for title in titles for kind in ASKED]
    update(report(NAME, "make infomax-voices", new), order=order)


if __name__ == "__main__":
    main()
