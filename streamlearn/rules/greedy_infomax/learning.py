"""One row after the other: answer it, tell it from others by what came before, learn, remember.

B rows, D inputs, H units, K steps, S streams kept.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax import contrast, encoder, sampling
from streamlearn.rules.greedy_infomax.adam import pace_of
from streamlearn.rules.greedy_infomax.state import (
    ACCURACY,
    F64,
    FALLBACK,
    LOSS,
    MEAN,
    ROWS,
    SCORED,
    SQUARE,
    STEPS,
    STORED,
    SURPRISE,
    Net,
    Past,
    Plain,
    Scratch,
    Setting,
    Store,
)

_FIGURE_ROWS: Final = 1000.0
_KNOWN_ROWS: Final = 16
"""Rows scored before anything counts as surprising."""
_LARGEST_SURPRISE: Final = 10.0


@inlined
def _fade(figures: F64, place: int, value: float, share: float) -> None:
    figures[place] += share * (value - figures[place])


@inlined
def _share(rows: float) -> float:
    """Weight of a new value in a fading mean of so many rows."""
    return max(1.0 / (rows + 1.0), 1.0 / _FIGURE_ROWS)


@inlined
def _recall(past: Past, slot: int, scratch: Scratch) -> int:
    """Put the rows before into scratch; returns from how many the newest can be told."""
    K = scratch.told.shape[0]
    told = 0
    for k in range(K):
        scratch.told[k] = 0
        if past.rows[slot] > k:
            at = (past.rows[slot] - 1 - k) % K
            scratch.told[k] = int(encoder.read(past.x[slot, at], scratch.x[1 + k]))
        if scratch.told[k] == 0:
            for i in range(scratch.x.shape[1]):
                scratch.x[1 + k, i] = 0
        told += scratch.told[k]
    return told


@inlined
def _clear(scratch: Scratch) -> None:
    for r in range(scratch.delta.shape[0]):
        for h in range(scratch.delta.shape[1]):
            scratch.delta[r, h] = 0
    for k in range(scratch.error.shape[0]):
        for h in range(scratch.error.shape[1]):
            scratch.error[k, h] = 0


@inlined
def _score(net: Net, store: Store, scratch: Scratch, told: int, notes: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """Hold the row against the negatives at every step ahead; returns the mean loss."""
    total, wins = 0.0, 0
    for k in range(scratch.told.shape[0]):
        if scratch.told[k] == 0:
            continue
        loss, won = contrast.compare(net, scratch, k, np.float32(1.0 / told))
        total += loss
        wins += int(won)
        if notes:
            by_step = store.by_step[:, k]
            share = _share(by_step[2])
            _fade(by_step, 0, loss, share)
            _fade(by_step, 1, 1.0 if won else 0.0, share)
            by_step[2] += 1.0
    if notes:
        share = _share(store.clock[SCORED])
        _fade(store.figures, LOSS, total / told, share)
        _fade(store.figures, ACCURACY, wins / told, share)
    return total / told


@inlined
def _surprise(store: Store, loss: float, notes: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """How far the loss is from its usual value, in its usual deviations; 0 while those are new."""
    figures, rows = store.figures, store.clock[SCORED]
    away = loss - figures[MEAN]
    found = 0.0
    if rows >= _KNOWN_ROWS:
        found = away / math.sqrt(figures[SQUARE] + 1e-6)
        found = min(max(found, -_LARGEST_SURPRISE), _LARGEST_SURPRISE)
    if notes:
        share = _share(rows)
        figures[MEAN] += share * away
        figures[SQUARE] = (1.0 - share) * (figures[SQUARE] + share * away * away)
        _fade(figures, SURPRISE, found, share)
        store.clock[SCORED] += 1
    return found


@inlined
def _learn_row(net: Net, store: Store, setting: Setting, scratch: Scratch) -> None:
    """One step of all weights by the gradients in scratch."""
    store.clock[STEPS] += 1
    pace = pace_of(setting.rate, store.clock[STEPS])
    for k in range(scratch.told.shape[0]):
        contrast.learn(net, scratch, k, pace)
    R = scratch.code.shape[0]
    encoder.through_norm(scratch, R)
    encoder.learn(net, setting.hop, scratch, R, pace)


@inlined
def _note_code(store: Store, code: F32) -> None:
    """Keep the code [H] for the gauges, and how often units are active."""
    recent = store.recent[store.clock[ROWS] % store.recent.shape[0]]
    share = np.float32(1.0 / _FIGURE_ROWS)
    for h in range(code.shape[0]):
        recent[h] = code[h]
        store.usage[h] += share * (
            (np.float32(1) if code[h] > 0 else np.float32(0)) - store.usage[h]
        )
    store.clock[ROWS] += 1


@inlined
def _remember(past: Past, slot: int, x: F32) -> None:
    """Put the row x [D] behind the others of its stream."""
    row = past.x[slot, past.rows[slot] % past.x.shape[1]]
    for i in range(x.shape[0]):
        row[i] = x[i]
    past.rows[slot] += 1


@inlined
def _predicted(
    net: Net,
    store: Store,
    setting: Setting,
    scratch: Scratch,
    told: int,
    who: tuple[int, int, int],
    learns: bool,  # noqa: FBT001  numba takes no keywords
) -> float:
    """Score the row in scratch against negatives and learn from it; returns its surprise.

    who: (number of the row, its stream, its device).
    """
    row, stream, device = who
    n, widened = sampling.find(store, setting.source, stream, device, scratch.match)
    if n == 0:
        return 0.0
    sampling.draw(store, setting, row, n, scratch)
    encoder.encode(net, setting.hop, scratch, 1, scratch.x.shape[0])
    _clear(scratch)
    loss = _score(net, store, scratch, told, learns)
    if learns:
        _fade(store.figures, FALLBACK, float(widened), _share(store.clock[SCORED]))
        _learn_row(net, store, setting, scratch)
    return _surprise(store, loss, learns)


@kernel
def run(
    rows: Plain, origin: Plain, net: Plain, past: Plain, store: Plain, numbers: Plain, room: Plain
) -> None:
    """For each row in order: write its code, score it, learn it where wanted, remember it.

    rows: (x [B, D], out [B, H], surprise [B or 0, 1], number of the first, whether to learn); out
    and surprise are written. origin: (slot, begins, stream, device), [B] each. The others are a
    `Net`, a `Past`, a `Store`, a `Setting` and a `Scratch` as plain tuples. Without learning only
    the past moves.
    """
    x, out, surprise, first, learns = rows
    slots, begins, streams, devices = origin
    the_net, the_past, the_store = Net(*net), Past(*past), Store(*store)
    setting, scratch = Setting(*numbers), Scratch(*room)
    for b in range(x.shape[0]):
        slot, row = slots[b], first + b
        if begins[b]:
            the_past.rows[slot] = 0
        seen = encoder.read(x[b], scratch.x[0])
        encoder.encode(the_net, setting.hop, scratch, 0, 1)
        for h in range(out.shape[1]):
            out[b, h] = scratch.code[0, h]
        if learns:
            _note_code(the_store, scratch.code[0])
        found, told = 0.0, 0
        if seen and (learns or b < surprise.shape[0]) and the_store.clock[STORED] >= setting.warm:
            told = _recall(the_past, slot, scratch)
        if told > 0:
            who = row, streams[b], devices[b]
            found = _predicted(the_net, the_store, setting, scratch, told, who, learns)
        if b < surprise.shape[0]:
            surprise[b, 0] = np.float32(found)
        if seen and learns:
            sampling.keep(the_store, setting, row, scratch.x[0], (streams[b], devices[b]))
        _remember(the_past, slot, scratch.x[0])
