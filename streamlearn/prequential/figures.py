"""Running figures of one head, with the trivial rules beside them so that nobody fools themselves.

A row is scored before it is learned, so every figure is test-then-train (Dawid 1984; fading window:
Gama, Sebastião & Rodrigues 2013). With e_t the error of the t-th labelled row, 0 or 1:

    error         E = (1/T) sum_t e_t
    error_recent  S_t / W_t with S_t = f S_{t-1} + e_t,  W_t = f W_{t-1} + 1,  f = 1 - 1/recent_rows
    log_loss      mean of -ln p_y, p = the scores clipped to [1e-6, 1], over their sum
    kappa         (p_o - p_e) / (1 - p_e): p_o = 1 - error, p_e = chance agreement (Cohen 1960)

W_t makes the recent figures unbiased from the first row on. The trivial rules say, before they see
the label, the class with most labels so far (majority) and the last label (repeat). Before the
first label they have nothing to say, which counts as an error.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32, Arrays

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_ROWS, _LABELLED, _ERRORS, _MAJORITY_ERRORS, _REPEAT_ERRORS = range(5)
_MAJORITY, _LAST = range(2)
_WEIGHT, _ERROR, _LOSS, _MAJORITY_ERROR, _REPEAT_ERROR = range(5)
_LEAST = 1e-6
"""Scores below this count as this, so that one sure mistake does not make the log-loss infinite."""


class _State(NamedTuple):
    """What the kernel moves; K classes."""

    counts: I64
    """[5] rows, labelled, errors, majority errors, repeat errors."""
    labels: I64
    """[K] labels seen of each class."""
    trivial: I64
    """[2] what the trivial rules say next: majority, last label; -1 before the first label."""
    confusion: I64
    """[K, K] true class, predicted class."""
    loss: F64
    """[1] sum of -ln p."""
    recent: F64
    """[5] fading sums: weight, error, -ln p, majority error, repeat error."""
    recent_true: F64
    """[K] fading count of each true class."""
    recent_predicted: F64
    """[K] fading count of each predicted class."""


@inlined
def _largest(scores: F32) -> int:
    """First index of the largest of scores [K]; a NaN never wins."""
    best, most = 0, np.float32(-np.inf)
    for k in range(scores.shape[0]):
        if scores[k] > most:
            best, most = k, scores[k]
    return best


@inlined
def _surprise(scores: F32, y: int) -> float:
    """-ln p_y with p = clip(scores, 1e-6, 1) / sum; scores [K]."""
    total = 0.0
    for k in range(scores.shape[0]):
        # Written so that NaN, which compares false, counts as the least.
        total += min(scores[k], 1.0) if scores[k] > _LEAST else _LEAST
    own = min(scores[y], 1.0) if scores[y] > _LEAST else _LEAST
    return math.log(total / own)


@inlined
def _count(state: _State, y: int, said: int) -> None:
    """Count one labelled row in the figures over all rows; moves counts and confusion."""
    state.counts[_LABELLED] += 1
    state.counts[_ERRORS] += int(said != y)
    state.counts[_MAJORITY_ERRORS] += int(state.trivial[_MAJORITY] != y)
    state.counts[_REPEAT_ERRORS] += int(state.trivial[_LAST] != y)
    state.confusion[y, said] += 1


@inlined
def _fade(state: _State, y: int, said: int, surprise: float, fade: float) -> None:
    """S <- f S + s for each recent sum; moves recent, recent_true and recent_predicted."""
    recent = state.recent
    recent[_WEIGHT] = fade * recent[_WEIGHT] + 1.0
    recent[_ERROR] = fade * recent[_ERROR] + int(said != y)
    recent[_LOSS] = fade * recent[_LOSS] + surprise
    recent[_MAJORITY_ERROR] = fade * recent[_MAJORITY_ERROR] + int(state.trivial[_MAJORITY] != y)
    recent[_REPEAT_ERROR] = fade * recent[_REPEAT_ERROR] + int(state.trivial[_LAST] != y)
    for k in range(state.recent_true.shape[0]):
        state.recent_true[k] *= fade
        state.recent_predicted[k] *= fade
    state.recent_true[y] += 1.0
    state.recent_predicted[said] += 1.0


@inlined
def _teach(state: _State, y: int) -> None:
    """Show the label to the trivial rules; the majority changes when another class passes it."""
    state.labels[y] += 1
    leader = state.trivial[_MAJORITY]
    if leader < 0 or state.labels[y] > state.labels[leader]:
        state.trivial[_MAJORITY] = y
    state.trivial[_LAST] = y


@kernel
def _update(y: I32, scores: F32, arrays: tuple[Any, ...], fade: float) -> None:
    """Count rows in order: y [B] and scores [B, K] are read, every array of the state moves.

    `arrays` is a state as a plain tuple, which is handed over in half the time of a named one.
    """
    state = _State(*arrays)
    for b in range(y.shape[0]):
        state.counts[_ROWS] += 1
        label = y[b]
        if label < 0 or label >= scores.shape[1]:
            continue
        said = _largest(scores[b])
        surprise = _surprise(scores[b], label)
        state.loss[0] += surprise
        _count(state, label, said)
        _fade(state, label, said, surprise, fade)
        _teach(state, label)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _shares(part: I64, whole: I64) -> list[float | None]:
    return [_share(p, w) for p, w in zip(part.tolist(), whole.tolist(), strict=True)]


def _kappa(agreed: float, true: F64 | I64, predicted: F64 | I64, weight: float) -> float | None:
    """Cohen's kappa of fading or plain counts; None where chance alone explains every row."""
    if not weight:
        return None
    by_chance = float(np.dot(true / weight, predicted / weight))
    return (agreed / weight - by_chance) / (1.0 - by_chance) if by_chance < 1.0 - 1e-12 else None


class Figures:
    """Error, confusion and what trivial rules would have got, over all rows and the recent ones.

    Parameters
    ----------
    classes
        K.
    recent_rows
        Effective length of the fading window in labelled rows, 1 or more.

    """

    def __init__(self, classes: int, recent_rows: int) -> None:
        self.classes = classes
        self._fade = 1.0 - 1.0 / recent_rows
        self._state = _State(
            counts=np.zeros(5, np.int64),
            labels=np.zeros(classes, np.int64),
            trivial=np.full(2, -1, np.int64),
            confusion=np.zeros((classes, classes), np.int64),
            loss=np.zeros(1, np.float64),
            recent=np.zeros(5, np.float64),
            recent_true=np.zeros(classes, np.float64),
            recent_predicted=np.zeros(classes, np.float64),
        )
        self._plain = tuple(self._state)

    def update(self, y: I32, scores: F32) -> None:
        """Count rows in the order in which their labels came.

        Parameters
        ----------
        y
            [B] true class, or -1 where it is not known: such a row counts only as a row.
        scores
            [B, K] what was published for the row before its label was learned; the largest wins.

        """
        _update(y, scores, self._plain, self._fade)

    def arrays(self) -> Arrays:
        """Everything that a checkpoint needs, as writable views; see `_State` for the shapes."""
        return dict(self._state._asdict())

    def report(self) -> dict[str, Any]:
        """All figures by name, plain numbers and lists; None where nothing can be said yet."""
        counts, confusion = self._state.counts, self._state.confusion
        labelled = int(counts[_LABELLED])
        right, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        return {
            "rows": int(counts[_ROWS]),
            "labelled": labelled,
            "error": _share(counts[_ERRORS], labelled),
            "log_loss": _share(self._state.loss[0], labelled),
            "kappa": _kappa(float(right.sum()), true, predicted, labelled),
            "majority_error": _share(counts[_MAJORITY_ERRORS], labelled),
            "repeat_error": _share(counts[_REPEAT_ERRORS], labelled),
            **self._report_recent(),
            "confusion": confusion.tolist(),
            "precision": _shares(right, predicted),
            "recall": _shares(right, true),
        }

    def _report_recent(self) -> dict[str, float | None]:
        state, recent = self._state, self._state.recent
        weight = float(recent[_WEIGHT])
        agreed = weight - float(recent[_ERROR])
        return {
            "error_recent": _share(recent[_ERROR], weight),
            "log_loss_recent": _share(recent[_LOSS], weight),
            "kappa_recent": _kappa(agreed, state.recent_true, state.recent_predicted, weight),
            "majority_error_recent": _share(recent[_MAJORITY_ERROR], weight),
            "repeat_error_recent": _share(recent[_REPEAT_ERROR], weight),
        }
