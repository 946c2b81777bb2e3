"""One row after the other: answer it, tell it from others by what came before, learn, remember.

B rows, D inputs, H units, K steps, S streams kept.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax import context, contrast, encoder, lpl, sampling
from streamlearn.rules.greedy_infomax.adam import pace_of
from streamlearn.rules.greedy_infomax.state import (
    ACCURACY,
    BLANK,
    CONTEXT,
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
    Who,
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
def _recall(module: Module, slot: int, whole: F32, at: int) -> int:
    """Put the rows before, or the positions above, into scratch; returns how many there are."""
    _, past, _, setting, scratch = module
    told, D, found = scratch.told, scratch.x.shape[1], 0
    K = told.shape[0]
    for k in range(K):
        told[k] = 0
        above = at - (k + 1) * setting.below
        if setting.below > 0 and above >= 0:
            told[k] = int(encoder.read(whole[above * D : (above + 1) * D], scratch.x[1 + k]))
        elif setting.below == 0 and past.rows[slot] > k:
            row = past.x[slot, (past.rows[slot] - 1 - k) % K]
            told[k] = int(encoder.read(row, scratch.x[1 + k]))
        if told[k] == 0:
            for i in range(D):
                scratch.x[1 + k, i] = 0
        found += told[k]
    return found


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
def _note_code(store: Store, code: F32, seen: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Keep the code [H] for the gauges, how often units are active, and the share of blank rows."""
    recent = store.recent[store.clock[ROWS] % store.recent.shape[0]]
    share = np.float32(1.0 / _FIGURE_ROWS)
    for h in range(code.shape[0]):
        recent[h] = code[h]
        store.usage[h] += share * (
            (np.float32(1) if code[h] > 0 else np.float32(0)) - store.usage[h]
        )
    _fade(store.figures, BLANK, 0.0 if seen else 1.0, _share(store.clock[ROWS]))
    store.clock[ROWS] += 1


@inlined
def _remember(module: Module, slot: int) -> None:
    """Put the row in scratch behind the others of its stream."""
    past, x = module.past, module.scratch.x[0]
    context.remember(module, slot)
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
def _draw(module: Module, whole: F32, who: Who) -> tuple[bool, int]:
    """Put negatives into scratch; returns whether there are any, and if from a wider circle."""
    _, _, store, setting, scratch = module
    if setting.source == sampling.POSITIONS:
        sampling.draw_positions(whole, setting, who.row, who.at, scratch)
        return True, 0
    n, widened = sampling.find(store, setting.source, who.stream, who.device, scratch.match)
    if n > 0:
        sampling.draw(store, setting, who.row, n, scratch)
    return n > 0, widened


@inlined
def _gather(module: Module, whole: F32, who: Who) -> tuple[int, int]:
    """Encode all that the position in scratch is held against.

    Returns from how many rows it can be told, and whether negatives came from a wider circle.
    """
    _, _, store, setting, scratch = module
    if store.clock[STORED] < setting.warm:
        return 0, 0
    told, widened = _recall(module, who.slot, whole, who.at), 0
    if told > 0 and setting.loss != LPL:
        there, widened = _draw(module, whole, who)
        told = told if there else 0
    if told > 0:
        net, end = module.net, scratch.x.shape[0]
        encoder.encode(net.weights, net.bias, setting.hop, scratch, 1, end)
    return told, widened


@inlined
def _move(module: Module, slot: int) -> None:
    """One step of all weights by the gradients in scratch."""
    net, _, store, setting, scratch = module
    store.clock[STEPS] += 1
    pace = pace_of(setting.rate, store.clock[STEPS])
    rows = 1
    if setting.loss != LPL:
        rows = scratch.code.shape[0]
        for k in range(scratch.told.shape[0]):
            contrast.learn(net, scratch, k, pace)
        context.learn(module, slot, pace)
        encoder.through_norm(scratch, rows)
    encoder.learn(net, setting.hop, scratch, rows, pace)
    if net.mean_bias.shape[0] > 0:
        encoder.average(net, np.float32(max(1.0 / store.clock[STEPS], setting.memory)))


@inlined
def _predicted(module: Module, whole: F32, who: Who, learns: bool) -> tuple[float, int]:  # noqa: FBT001  numba takes no keywords
    """Hold the position in scratch against others and learn from it.

    Returns its surprise, and 1 where it could be told from anything.
    """
    _, _, store, setting, scratch = module
    told, widened = _gather(module, whole, who)
    if setting.loss == LPL and learns:
        lpl.collect(store, setting, scratch)
    if told == 0:
        return 0.0, 0
    if setting.loss == LPL:
        loss = lpl.pull(scratch)
        if learns:
            _note_step(store, 0, loss, False)
            _note(store, loss, 0.0)
    else:
        _clear(scratch)
        context.recall(module, who.slot)
        loss = _score(module, told, _kind_of(setting, who.row), learns)
    if learns:
        _fade(store.figures, FALLBACK, float(widened), _share(store.clock[SCORED]))
        if store.clock[SCORED] % setting.every == 0:
            _move(module, who.slot)
    return _surprise(store, loss, learns), 1


@inlined
def _look(module: Module, x: F32, slot: int, out: F32) -> bool:
    """Encode the position x [D]; returns whether there is something in it to predict.

    What is given of it is written to out, where out has room.
    """
    net, _, _, setting, scratch = module
    seen = encoder.read(x, scratch.x[0])
    gives = 0 if setting.gives == CONTEXT else min(out.shape[0], scratch.code.shape[1])
    averaged = net.mean_bias.shape[0] > 0 and gives > 0
    for plain in range(0 if averaged else 1, 2):
        # Both kinds of weights at one place: compiling takes less.
        weights = net.weights if plain else net.mean_weights
        bias = net.bias if plain else net.mean_bias
        encoder.encode(weights, bias, setting.hop, scratch, 0, 1)
        if not (plain and averaged):
            for h in range(gives):
                out[h] = scratch.code[0, h]
    if out.shape[0] > 0:
        context.advance(module, slot)
        for i in range(gives, out.shape[0]):
            out[i] = scratch.context[0, i - gives]
    return seen


@inlined
def _take(module: Module, whole: F32, who: Who, seen: bool, how: tuple[bool, bool]) -> float:  # noqa: FBT001  numba takes no keywords
    """Score, learn and remember the position in scratch; returns its surprise, NaN for none.

    how: whether to learn, and whether surprise is wanted.
    """
    learns, wanted = how
    scratch, found, told = module.scratch, 0.0, 0
    if learns:
        _note_code(module.store, scratch.code[0], seen)
    if seen and (learns or wanted):
        found, told = _predicted(module, whole, who, learns)
    if seen and learns:
        origin = who.stream, who.device
        sampling.keep(module.store, module.setting, who.row, scratch.x[0], origin)
    if module.setting.below == 0:
        _remember(module, who.slot)
    return found if told > 0 else np.nan


@inlined
def _row(module: Module, x: F32, out: F32, who: Who, how: tuple[bool, bool]) -> float:
    """Answer all positions of a row, then take one after the other; returns the mean surprise."""
    count, D = module.setting.positions, module.scratch.x.shape[1]
    H, total, told, seen = out.shape[0] // count, 0.0, 0, False
    for turn in range(2):
        for p in range(count):
            slot = 0 if module.setting.below > 0 else who.slot * count + p
            if turn == 0 or count > 1:
                room = out[p * H : (p + 1) * H] if turn == 0 else out[:0]
                seen = _look(module, x[p * D : (p + 1) * D], slot, room)
            if turn == 1:
                here = Who(who.row * count + p, slot, who.stream, who.device, p)
                found = _take(module, x, here, seen, how)
                if not np.isnan(found):
                    total += found
                    told += 1
    return total / max(told, 1)


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
    count = module.setting.positions
    for b in range(x.shape[0]):
        if begins[b] and module.setting.below == 0:
            for p in range(count):
                module.past.rows[slots[b] * count + p] = 0
        wanted = b < surprise.shape[0]
        who = Who(first + b, int(slots[b]), int(streams[b]), int(devices[b]), 0)
        found = _row(module, x[b], out[b], who, (learns, wanted))
        if wanted:
            surprise[b, 0] = np.float32(found)
