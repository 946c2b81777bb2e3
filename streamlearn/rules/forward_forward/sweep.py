"""One pass over the weights that learns the last row and answers the next ones.

Weights are stored inputs x units [D, H], so inputs that are zero cost nothing. What one row taught
is kept pending, as two inputs p and m [D] with a step for each unit, c and d [H]:

    W_ih += p_i c_h + m_i d_h                             sgd
    W_ih += rate u, u = clip((p_i c_h + m_i d_h) G_ih, ±1)   adagrad,
    G_ih <- min(G_ih (1 + recovery - u²/2), g)            see `heads.softmax`

and is carried out in the pass that answers the next rows z_1, …, z_V: v_h = sum_i z_i W_ih. The
pass goes on by a few inputs at a time, whose weights stay in the nearest cache until they have
answered: they come from memory once, however many rows there are. Sums are grouped by a row's own
active inputs, four at a time, so they are the same bits whatever is pending, and a pass that
answers nothing ends a block.
"""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.forward_forward.contrast_state import (
    AT,
    COUNT,
    F64,
    GAIN_RATE,
    GROWTH,
    I64,
    LARGEST,
    U32,
    WANTED,
    Layer,
)

_CHUNK: Final = 8
"""Inputs that are learned before they answer."""


@inlined
def move(w: F32, g: F32, p: np.float32, m: np.float32, step: F32, numbers: F64) -> None:
    """Move the weights w [H] of one input by p c + m d, and its gains g [H]; step [2, H]."""
    c, d = step[0], step[1]
    if numbers[LARGEST] > 0:
        rate, growth = np.float32(numbers[GAIN_RATE]), np.float32(numbers[GROWTH])
        largest = np.float32(numbers[LARGEST])
        for h in range(w.shape[0]):
            u = min(max((p * c[h] + m * d[h]) * g[h], np.float32(-1)), np.float32(1))
            w[h] += rate * u
            g[h] = min(g[h] * (growth - np.float32(0.5) * u * u), largest)
    elif m == 0:
        for h in range(w.shape[0]):
            w[h] += p * c[h]
    elif p == 0:
        for h in range(w.shape[0]):
            w[h] += m * d[h]
    else:
        for h in range(w.shape[0]):
            w[h] += p * c[h] + m * d[h]


@inlined
def _add_four(weights: F32, four: U32, p: F32, m: F32, step: F32) -> None:
    """Write W_i += p_i c + m_i d for four inputs i, so that steps [2, H] are read once."""
    v, w, x, y = weights[four[0]], weights[four[1]], weights[four[2]], weights[four[3]]
    q, r, s, t = p[0], p[1], p[2], p[3]
    i, j, k, n = m[0], m[1], m[2], m[3]
    c, d = step[0], step[1]
    if i == 0 and j == 0 and k == 0 and n == 0:
        for h in range(c.shape[0]):
            v[h] += q * c[h]
            w[h] += r * c[h]
            x[h] += s * c[h]
            y[h] += t * c[h]
    else:
        for h in range(c.shape[0]):
            v[h] += q * c[h] + i * d[h]
            w[h] += r * c[h] + j * d[h]
            x[h] += s * c[h] + k * d[h]
            y[h] += t * c[h] + n * d[h]


@inlined
def _learn_until(weights: F32, layer: Layer, step: F32, until: int) -> None:
    """Learn pending inputs of weights [D, H] below `until`, and up to three more; step [2, H]."""
    gains, work, numbers = layer.gains, layer.work, layer.numbers
    V = work.shape[1] - 1
    index, plus, minus = layer.active[V], layer.rows[V + 1], layer.rows[V + 2]
    a, n, adagrad = work[AT, V], work[COUNT, V], numbers[LARGEST] > 0
    while a < n and index[a] < until:
        if a + 4 <= n and not adagrad:
            end = a + 4
            _add_four(weights, index[a:end], plus[a:end], minus[a:end], step)
            a = end
        else:
            w = weights[index[a]]
            g = gains[index[a]] if adagrad else w
            move(w, g, plus[a], minus[a], step, numbers)
            a += 1
    work[AT, V] = a


@inlined
def _answer_four(weights: F32, four: U32, z: F32, out: F32) -> None:
    """Write out += sum of z_i W_i over four inputs; z [D], out [H]."""
    v, w, x, y = weights[four[0]], weights[four[1]], weights[four[2]], weights[four[3]]
    q, r, s, t = z[four[0]], z[four[1]], z[four[2]], z[four[3]]
    for h in range(out.shape[0]):
        out[h] += (q * v[h] + r * w[h]) + (s * x[h] + t * y[h])


@inlined
def _answer_four_twice(weights: F32, four: U32, rows: F32, one: F32, other: F32) -> None:
    """Do the same for two rows [2, D] at once, so that weights are read once."""
    v, w, x, y = weights[four[0]], weights[four[1]], weights[four[2]], weights[four[3]]
    a, b = rows[0], rows[1]
    q, r, s, t = a[four[0]], a[four[1]], a[four[2]], a[four[3]]
    i, j, k, n = b[four[0]], b[four[1]], b[four[2]], b[four[3]]
    for h in range(one.shape[0]):
        one[h] += (q * v[h] + r * w[h]) + (s * x[h] + t * y[h])
        other[h] += (i * v[h] + j * w[h]) + (k * x[h] + n * y[h])


@inlined
def _learn_and_answer(weights: F32, rows: F32, a: int, step: F32, out: F32) -> None:
    """Learn inputs a … a + 3 of two rows and answer two at once: weights are touched once.

    rows [5, D] are the two asked, one that is not looked at, and p and m; out [2, H]. Word for word
    what `_add_four` and `_answer_four_twice` do, so that it is the same to the bit.
    """
    v, w, x, y = weights[a], weights[a + 1], weights[a + 2], weights[a + 3]
    z, b, p, m = rows[0, a : a + 4], rows[1, a : a + 4], rows[3, a : a + 4], rows[4, a : a + 4]
    c, d, one, other = step[0], step[1], out[0], out[1]
    e, f, g, u = p[0], p[1], p[2], p[3]
    i, j, k, n = m[0], m[1], m[2], m[3]
    q, r, s, t = z[0], z[1], z[2], z[3]
    aa, bb, cc, dd = b[0], b[1], b[2], b[3]
    for h in range(one.shape[0]):
        first = v[h] + (e * c[h] + i * d[h])
        second = w[h] + (f * c[h] + j * d[h])
        third = x[h] + (g * c[h] + k * d[h])
        fourth = y[h] + (u * c[h] + n * d[h])
        v[h], w[h], x[h], y[h] = first, second, third, fourth
        one[h] += (q * first + r * second) + (s * third + t * fourth)
        other[h] += (aa * first + bb * second) + (cc * third + dd * fourth)


@inlined
def _whole(work: I64, minus: F32, numbers: F64) -> bool:
    """Whether every input is pending for both rows, in plain steps."""
    V, D = work.shape[1] - 1, minus.shape[0]
    whole = work[COUNT, V] == D and numbers[LARGEST] == 0
    zeros = 0
    for i in range(D if whole else 0):
        zeros += int(minus[i] == 0)
    return bool(whole and zeros == 0)


@inlined
def _answer_until(weights: F32, z: F32, active: U32, span: tuple[int, int, int], into: F32) -> int:
    """Answer the row z [D] with its active inputs below `until`, in fours but for the last."""
    a, n, until = span
    while a + 4 <= n and active[a + 3] < until:
        _answer_four(weights, active[a : a + 4], z, into)
        a += 4
    while until >= z.shape[0] and a < n:
        w, q = weights[active[a]], z[active[a]]
        for h in range(into.shape[0]):
            into[h] += q * w[h]
        a += 1
    return a


@inlined
def _begin(work: I64, out: F32) -> bool:
    """Clear the wanted rows of out [V, H]; False where there is nothing at all to do."""
    V = work.shape[1] - 1
    busy = bool(work[COUNT, V] > 0)
    work[AT, V] = 0
    for v in range(V):
        work[AT, v] = 0
        if work[WANTED, v]:
            out[v] = 0
            busy = True
    return busy


@inlined
def sweep(weights: F32, layer: Layer, step: F32, learns: bool, out: F32) -> None:  # noqa: FBT001  numba takes no keywords
    """Answer what is wanted under weights [D, H], and learn what is pending first.

    The wanted rows of out [V, H] are written, with `learns` weights and gains too; nothing is
    pending then afterwards.
    """
    work, D = layer.work, layer.rows.shape[1]
    V = work.shape[1] - 1
    busy = _begin(work, out)
    # Two whole rows, as a dense layer meets them, are answered together.
    pair = V == 2 and work[WANTED, 0] + work[WANTED, 1] == 2
    pair = pair and work[COUNT, 0] == D and work[COUNT, 1] == D and D % 4 == 0
    if pair and learns and _whole(work, layer.rows[V + 2], layer.numbers):
        for a in range(0, D, 4):
            _learn_and_answer(weights, layer.rows, a, step, out)
        busy = False
    for until in range(_CHUNK, D + _CHUNK if busy else 0, _CHUNK):
        if learns:
            _learn_until(weights, layer, step, until)
        if pair:
            for a in range(until - _CHUNK, min(until, D), 4):
                four = layer.active[0, a : a + 4]
                _answer_four_twice(weights, four, layer.rows, out[0], out[1])
            continue
        for v in range(V):
            if work[WANTED, v]:
                span = work[AT, v], work[COUNT, v], until
                z, active = layer.rows[v], layer.active[v]
                work[AT, v] = _answer_until(weights, z, active, span, out[v])
    if learns:
        work[COUNT, V] = 0
