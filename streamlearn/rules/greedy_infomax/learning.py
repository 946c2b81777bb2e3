"""One row after the other: answer it, tell it from others by what came before, learn, remember.

B rows, D inputs, H units, K steps, S streams kept.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax import contrast, encoder, lpl, sampling
from streamlearn.rules.greedy_infomax.adam import Pace, pace_of
from streamlearn.rules.greedy_infomax.state import (
    ACCURACY,
    F64,
    FALLBACK,
    HINGE,
    LOSS,
    LPL,
    MEAN,
    ROWS,
    SCORED,
    SQUARE,
    STEPS,
    STORED,
    SURPRISE,
    Module,
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
def _note_step(store: Store, k: int, loss: float, won: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Move the figures of step k + 1."""
    by_step = store.by_step[:, k]
    share = _share(by_step[2])
    _fade(by_step, 0, loss, share)
    _fade(by_step, 1, 1.0 if won else 0.0, share)
    by_step[2] += 1.0


@inlined
def _note(store: Store, loss: float, wins: float) -> None:
    """Move the figures of a row: its mean loss, and at which share of steps it won."""
    share = _share(store.clock[SCORED])
    _fade(store.figures, LOSS, loss, share)
    _fade(store.figures, ACCURACY, wins, share)


@inlined
def _score(module: Module, told: int, kind: int, notes: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """Hold the row against the negatives at every step ahead; returns the mean loss."""
    total, wins = 0.0, 0
    for k in range(module.scratch.told.shape[0]):
        if module.scratch.told[k] == 0:
            continue
        loss, won = contrast.compare(module.net, module.scratch, k, kind, told)
        total += loss
        wins += int(won)
        if notes:
            _note_step(module.store, k, loss, won)
    if notes:
        _note(module.store, total / told, wins / told)
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
def _next_pace(module: Module) -> Pace:
    """Count a step; returns its pace."""
    module.store.clock[STEPS] += 1
    return pace_of(module.setting.rate, module.store.clock[STEPS])


@inlined
def _learn_contrast(module: Module) -> None:
    """One step of all weights by the gradients in scratch."""
    net, scratch = module.net, module.scratch
    pace, R = _next_pace(module), scratch.code.shape[0]
    for k in range(scratch.told.shape[0]):
        contrast.learn(net, scratch, k, pace)
    encoder.through_norm(scratch, R)
    encoder.learn(net, module.setting.hop, scratch, R, pace)


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
def _kind_of(setting: Setting, row: int) -> int:
    """What the row is learned by, see `contrast.compare`."""
    if setting.loss != HINGE:
        return contrast.BY_SOFTMAX
    own = sampling.falls_on_the_row(setting, row)
    return contrast.BY_ROW if own else contrast.BY_NEGATIVE


@inlined
def _by_contrast(module: Module, told: int, who: tuple[int, int, int], learns: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """Tell the row in scratch from negatives and learn from it; returns its surprise.

    who: (number of the row, its stream, its device).
    """
    _, _, store, setting, scratch = module
    row, stream, device = who
    n, widened = sampling.find(store, setting.source, stream, device, scratch.match)
    if n == 0:
        return 0.0
    sampling.draw(store, setting, row, n, scratch)
    encoder.encode(module.net, setting.hop, scratch, 1, scratch.x.shape[0])
    _clear(scratch)
    rows = store.clock[SCORED]
    loss = _score(module, told, _kind_of(setting, row), learns)
    if learns:
        _fade(store.figures, FALLBACK, float(widened), _share(rows))
        _learn_contrast(module)
    return _surprise(store, loss, learns)


@inlined
def _by_stillness(module: Module, learns: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """Hold the row in scratch against the one before, learn from it; returns its surprise."""
    net, _, store, setting, scratch = module
    encoder.encode(net, setting.hop, scratch, 1, 2)
    loss = lpl.pull(scratch)
    if learns:
        _note_step(store, 0, loss, False)
        _note(store, loss, 0.0)
        encoder.learn(net, setting.hop, scratch, 1, _next_pace(module))
    return _surprise(store, loss, learns)


@inlined
def _predicted(module: Module, slot: int, who: tuple[int, int, int], learns: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """Hold the row in scratch against what came before in its slot; returns its surprise."""
    _, past, store, setting, scratch = module
    told = 0
    if store.clock[STORED] >= setting.warm:
        told = _recall(past, slot, scratch)
    if setting.loss == LPL:
        if learns:
            lpl.collect(store, setting, scratch)
        return _by_stillness(module, learns) if told > 0 else 0.0
    return _by_contrast(module, told, who, learns) if told > 0 else 0.0


@inlined
def _answer(module: Module, x: F32, out: F32) -> bool:
    """Write the code of x [D] to out [H]; returns whether there is something in it to predict."""
    scratch = module.scratch
    seen = encoder.read(x, scratch.x[0])
    encoder.encode(module.net, module.setting.hop, scratch, 0, 1)
    for h in range(out.shape[0]):
        out[h] = scratch.code[0, h]
    return seen


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
    module = Module(Net(*net), Past(*past), Store(*store), Setting(*numbers), Scratch(*room))
    for b in range(x.shape[0]):
        if begins[b]:
            module.past.rows[slots[b]] = 0
        seen = _answer(module, x[b], out[b])
        if learns:
            _note_code(module.store, module.scratch.code[0])
        wanted = b < surprise.shape[0]
        found = 0.0
        if seen and (learns or wanted):
            who = first + b, streams[b], devices[b]
            found = _predicted(module, slots[b], who, learns)
        if wanted:
            surprise[b, 0] = np.float32(found)
        if seen and learns:
            origin_of_it = streams[b], devices[b]
            sampling.keep(
                module.store, module.setting, first + b, module.scratch.x[0], origin_of_it
            )
        _remember(module.past, slots[b], module.scratch.x[0])
