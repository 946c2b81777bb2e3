"""What a contrast layer does with a block of rows; the equations are in `contrast`.

Every row is a few visits: the row itself, kept rows seen again, stored negatives asleep, and where
a block or a hundred rows end one that only carries out what is pending. All of them go through one
place in the code, so that where a block ends changes no bit.
"""

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.schedules import AVERAGE_EVERY, approach, share_of
from streamlearn.part import F32, I32
from streamlearn.rules.forward_forward.contrast_rows import answer, forms_of, take
from streamlearn.rules.forward_forward.contrast_state import (
    APART,
    AVERAGED,
    AWAKE,
    CANDIDATES,
    CLASSES,
    COUNT,
    DONE,
    DREAM,
    DREAMT,
    FIRST,
    FLUSH,
    FRESH,
    GENERATED,
    I64,
    KEPT,
    LABELLED,
    LEARN,
    LEARNED,
    LOOK,
    MEMORY_ROWS,
    NONE,
    PAIR,
    REVISITS,
    STALE,
    STORED,
    UNLABELLED,
    WAKE_ROWS,
    WANTED,
    WAY,
    Block,
    Case,
    Layer,
    Plain,
)
from streamlearn.rules.forward_forward.contrast_steps import learn_pair
from streamlearn.rules.forward_forward.negatives import make_negative, remember
from streamlearn.rules.forward_forward.sweep import sweep

Roles = tuple[int, int, int]
"""Which rows at work are positive and negative, and the wrong label; -1: there is none."""


@inlined
def _kept_slot(ring: int, labelled: int, revisits: int, turn: int) -> int:
    """Where the row is that is seen again: of age N/R, 2N/R, … N for R visits to N; -1: none."""
    age = (ring - 1) * turn // revisits
    return int((labelled - 1 - age) % ring) if age < labelled else -1


@inlined
def _take_all(layer: Layer, block: Block, b: int, case: Case) -> None:
    """Take to work what a visit is about: a row and its lanes, a kept one, a stored negative."""
    work, counts, first = layer.work, layer.counts, layer.choices[FIRST]
    V, D, slot = work.shape[1] - 1, layer.rows.shape[1], -1
    forms = 1 + (0 if first else block.lanes_in.shape[1])
    if case.kind == KEPT:
        ring = layer.visited_y.shape[0]
        slot = _kept_slot(ring, counts[LABELLED], layer.choices[REVISITS], case.draw)
        forms = layer.visited.shape[1] if slot >= 0 else 0
    elif case.kind == STALE:
        counts[DREAMT] = max(counts[DREAMT], counts[STORED] - layer.stored.shape[0])
        forms = int(counts[DREAMT] < counts[STORED])
    elif case.kind == FLUSH:
        forms = 0
    for v in range(V):
        work[COUNT, v] = 0
        work[WANTED, v] = 0
    for form in range(forms):
        x, v = block.x[b], form
        if case.kind == KEPT:
            x, v = layer.visited[slot, form], form + 1 - first
        elif case.kind == STALE:
            stored = layer.stored[counts[DREAMT] % layer.stored.shape[0]]
            x = stored[:D]
            for k in range(layer.label.shape[1]):
                layer.label[1, k] = stored[D + k]
            counts[DREAMT] += 1
        elif form > 0:
            x = block.lanes_in[b, form - 1]
        take(x, layer.rows[v], layer.active[v], work, v)


@inlined
def _take_negative(layer: Layer, case: Case) -> bool:
    """Make a negative of the row at work and take it as the second; True where there is one."""
    V = layer.work.shape[1] - 1
    made, activity = layer.rows[V], layer.units[2 * V + 6]
    if make_negative(layer.negatives, layer.rows[0], activity, case.key, made):
        take(made, layer.rows[1], layer.active[1], layer.work, 1)
    return bool(layer.work[COUNT, 1] > 0)


@inlined
def _want_only(work: I64, one: int, other: int) -> None:
    """Have only these two rows at work answered; -1: none."""
    for v in range(work.shape[1] - 1):
        work[WANTED, v] = int(v in (one, other) and work[COUNT, v] > 0)


@inlined
def _roles(choices: I64, work: I64, K: int, y: int, wrong: int) -> Roles:
    """Who is positive and negative among the rows at work; -1 and -1 where one is missing."""
    way, first, positive, negative = choices[WAY], choices[FIRST], 0, 1
    if first:
        negative = 0 if y >= 0 else 1
    elif way == PAIR:
        positive, negative = 1, 2
    elif way == CANDIDATES:
        positive, negative = (1 + y, 1 + wrong) if y >= 0 else (0, 1 + K)
    if work[COUNT, positive] == 0 or work[COUNT, negative] == 0:
        return -1, -1, wrong
    return positive, negative, wrong


@inlined
def _pass(layer: Layer, by_average: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Answer what is wanted: under A, or under W, which learns what is pending."""
    V = layer.work.shape[1] - 1
    begin, weights = (V, layer.average) if by_average else (0, layer.weights)
    step = layer.units[2 * V + 4 : 2 * V + 6]
    sweep(weights, layer, step, not by_average, layer.units[begin : begin + V])


@inlined
def _respond(layer: Layer, case: Case, lanes: F32, learns: bool) -> Roles:  # noqa: FBT001  numba takes no keywords
    """Answer the rows at work, in up to three passes; returns who is positive and negative.

    A pass under A where answers are averaged; one more for a negative made of the answer; and one
    under W, the first where nothing is averaged, which learns what is pending.
    """
    choices = layer.choices
    averaged, awake = choices[AVERAGED] > 0, case.kind <= KEPT
    roles = (0, 0, -1) if case.kind == FLUSH else (-1, 0, -1)
    making = case.alone and layer.work[COUNT, 0] > 0
    wrong, forms = -1, forms_of(choices[WAY], layer.score.shape[0], lanes.shape[0])
    for turn in range(3):
        needed = turn == 0 and (awake or not averaged)
        if making and turn == choices[GENERATED]:
            made = _take_negative(layer, case)
            if turn == 1:
                _want_only(layer.work, 1, -1)
                needed = made
        if turn == 2:
            needed = averaged and learns
            if awake:
                roles = _roles(choices, layer.work, layer.score.shape[0], case.y, wrong)
                _want_only(layer.work, roles[0], roles[1])
        if needed:
            _pass(layer, averaged and turn < 2)
        if awake and turn < 2:
            wrong = answer(layer, case, lanes, turn, 1 if turn == 0 else forms)
    return roles


@inlined
def _show(answered: F32, score: F32, out: F32, scores: F32) -> None:
    """Write the answer, and the scores where they are wanted."""
    for h in range(out.shape[0]):
        out[h] = answered[h]
    for k in range(scores.shape[0]):
        scores[k] = score[k] if k < score.shape[0] else 0


@inlined
def _close(layer: Layer, case: Case) -> None:
    """Count a fresh row that was learned, and keep it where it is to be seen again."""
    counts = layer.counts
    counts[LEARNED] += 1
    if case.y < 0:
        return
    counts[LABELLED] += 1
    if layer.choices[REVISITS] == 0:
        return
    slot = (counts[LABELLED] - 1) % layer.visited_y.shape[0]
    layer.visited_y[slot] = case.y
    for form in range(layer.visited.shape[1]):
        kept, z = layer.visited[slot, form], layer.rows[form + 1 - layer.choices[FIRST]]
        for i in range(z.shape[0]):
            kept[i] = z[i]


@inlined
def _visit(layer: Layer, block: Block, b: int, case: Case, learns: bool) -> bool:  # noqa: FBT001  numba takes no keywords
    """Answer one row and learn it; True where a fresh row was learned."""
    fresh = case.kind == FRESH
    lanes = block.lanes[b, : block.lanes.shape[1] if fresh else 0]
    _take_all(layer, block, b, case)
    roles = _respond(layer, case, lanes, learns)
    answered = layer.units[2 * (layer.work.shape[1] - 1) + 6]
    if fresh:
        _show(answered, layer.score, block.out[b], block.scores[b])
    if not learns:
        return False
    known = layer.work[COUNT, 0] > 0
    asleep = case.kind == STALE and known
    learned = case.kind <= KEPT and case.share > 0 and roles[0] >= 0
    if learned or asleep:
        learn_pair(layer, case, roles)
    if fresh and learned:
        _close(layer, case)
    if fresh and known and layer.choices[FIRST]:
        remember(layer.negatives, layer.rows[0], answered, case.key)
    return fresh and learned


@inlined
def _first_case(layer: Layer, y: int, lanes: int, key: int, purpose: int) -> Case:
    """What the first visit to a row is about."""
    choices = layer.choices
    if purpose == DREAM:
        return Case(STALE, -1, key, 0, 1.0, False)
    labels = choices[WAY] != NONE
    if not labels or y >= choices[CLASSES]:
        y = -1
    share = layer.numbers[UNLABELLED] if y < 0 and labels else 1.0
    wanted = (purpose == LEARN and share > 0) or lanes > 0
    alone = bool(y < 0 and choices[FIRST] and wanted)
    return Case(FRESH, y, key, 0, share, alone)


@inlined
def _next_case(
    counts: I64,
    choices: I64,
    visited_y: I32,
    case: Case,
    again: bool,  # noqa: FBT001  numba takes no keywords
    ends: bool,  # noqa: FBT001
) -> Case:
    """Go on to the kept row whose turn it is, to sleep, or to what ends a block."""
    kind, y, draw = DONE, -1, case.draw + 1
    if case.kind <= KEPT and again:
        slot = _kept_slot(visited_y.shape[0], counts[LABELLED], choices[REVISITS], draw)
        y = int(visited_y[slot]) if slot >= 0 else -1
        return Case(KEPT, y, case.key, draw, 1.0, False)
    if case.kind != FLUSH and ends:
        kind = FLUSH
    if case.kind <= STALE and choices[APART] and counts[AWAKE] >= choices[WAKE_ROWS]:
        if counts[DREAMT] < counts[STORED]:
            kind = STALE
        else:
            counts[AWAKE] = 0
    return Case(kind, y, case.key, draw, 1.0, False)


@inlined
def _live(layer: Layer, block: Block, b: int, case: Case, learns: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Answer the b-th row of the block, learn it, and whatever comes with it."""
    counts, choices, last = layer.counts, layer.choices, block.x.shape[0] - 1
    labelled, due = False, False
    while case.kind != DONE:
        if _visit(layer, block, b, case, learns):
            labelled = case.y >= 0
            due = bool(choices[AVERAGED] and counts[LEARNED] % AVERAGE_EVERY == 0)
        if not learns:
            return
        if case.kind == FLUSH and due:
            memory = layer.numbers[MEMORY_ROWS]
            least = AVERAGE_EVERY / memory if memory > 0 else 0.0
            share = share_of(counts[LEARNED], AVERAGE_EVERY, least)
            approach(layer.weights, layer.average, share)
        again = labelled and case.draw < choices[REVISITS]
        case = _next_case(counts, choices, layer.visited_y, case, again, due or b == last)


@kernel
def live(rows: Plain, first: int, layer: Plain, purpose: int) -> None:
    """For each row of a block in order: write its answer, lanes and scores, then learn it.

    rows and layer are a `Block` and a `Layer` as plain tuples; the first row has the number
    `first`. Purpose LOOK changes nothing, DREAM learns one stored negative a row.
    """
    block, all_of_it = Block(*rows), Layer(*layer)
    for b in range(block.x.shape[0]):
        case = _first_case(all_of_it, int(block.y[b]), block.lanes.shape[1], first + b, purpose)
        _live(all_of_it, block, b, case, purpose != LOOK)
