"""Contrast: the row that comes k rows later scores higher than rows from elsewhere.

With c the context k rows ago, codes z_0 of the row and z_j of N negatives, and a matrix W_k for
each step ahead (van den Oord, Li & Vinyals, CPC, arXiv 1807.03748; Löwe, O'Connor & Veeling,
Putting an end to end-to-end, arXiv 1905.11786, for one module at a time),

    q_k = W_k c / H,   f_j = z_j . q_k,   L_k = -log softmax_0(f),   L = mean over k of L_k

W_k begins as the identity, so scores begin as cosines. With a_j = dL/d f_j and e_k = sum_j a_j z_j

    d z_j = sum over k of a_jk q_k,   d W_k = e_k c^T / H,   d c = W_k^T e_k / H

The hinge has one negative and learns from the row or from it, by a throw of a coin (Illing et al.,
Local plasticity rules can learn deep representations using self-supervised contrastive predictions,
arXiv 2010.08262): max(0, 1 - f_0) or max(0, 1 + f_1); the loss shown is the mean of both.

A step of W_k costs more than all else: a row of it is read once, for d c and for its own step.

H units, C numbers of a context, K steps, N negatives. W_k is stored contexts x codes [C, H].
"""

import math

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.adam import Pace, step
from streamlearn.rules.greedy_infomax.state import Net, Scratch

BY_SOFTMAX, BY_ROW, BY_NEGATIVE = range(3)
"""What a row is learned by."""


@inlined
def dot(a: F32, b: F32) -> np.float32:
    """Sum of a_h b_h."""
    total = np.float32(0)
    for h in range(a.shape[0]):
        total += a[h] * b[h]
    return total


@inlined
def write_query(predict: F32, context: F32, out: F32) -> None:
    """Write out [H] = W^T c / H from W = predict [C, H]; contexts of zero cost nothing."""
    C, H = predict.shape
    for h in range(H):
        out[h] = 0
    for i in range(C):
        if context[i] != 0:
            w, c = predict[i], context[i] / np.float32(H)
            for h in range(H):
                out[h] += c * w[h]


@inlined
def _row_of(j: int, scratch: Scratch) -> int:
    """Where candidate j stands in scratch: the row itself, or behind the past ones."""
    return j + scratch.told.shape[0] if j > 0 else 0


@inlined
def _softmax_slopes(score: F32, share: np.float32) -> float:
    """Turn scores [1 + N] into share times dL_k/d f; returns L_k."""
    largest = score[0]
    for j in range(1, score.shape[0]):
        largest = max(largest, score[j])
    own = score[0] - largest
    total = np.float32(0)
    for j in range(score.shape[0]):
        score[j] = np.float32(math.exp(score[j] - largest))
        total += score[j]
    for j in range(score.shape[0]):
        score[j] *= share / total
    score[0] -= share
    return float(math.log(total) - own)


@inlined
def _hinge_slopes(score: F32, share: np.float32, own: bool) -> float:  # noqa: FBT001  numba takes no keywords
    """Turn scores [2] into share times the slopes of the row's own loss, or of the negative's."""
    f, g = score[0], score[1]
    score[0] = -share if own and f < 1 else np.float32(0)
    score[1] = share if not own and g > -1 else np.float32(0)
    return float(0.5 * (max(0.0, 1.0 - f) + max(0.0, 1.0 + g)))


@inlined
def _wins(score: F32) -> bool:
    """Whether the row scores higher than every negative."""
    best = np.float32(-np.inf)
    for j in range(1, score.shape[0]):
        best = max(best, score[j])
    return bool(score[0] > best)


@inlined
def compare(net: Net, scratch: Scratch, k: int, kind: int, told: int) -> tuple[float, bool]:
    """Write q_k, e_k and what step k + 1 adds to d zn; returns its loss and whether the row won.

    kind is one of `BY_SOFTMAX`, `BY_ROW` and `BY_NEGATIVE`; `told` steps share the gradient.
    """
    share = np.float32(1.0 / told)
    score, code, q, e = scratch.score, scratch.code, scratch.query[k], scratch.error[k]
    write_query(net.predict[k], scratch.context[1 + k], q)
    for j in range(score.shape[0]):
        score[j] = dot(code[_row_of(j, scratch)], q)
    won = _wins(score)
    if kind == BY_SOFTMAX:
        loss = _softmax_slopes(score, share)
    else:
        loss = _hinge_slopes(score, share, kind == BY_ROW)
    for j in range(score.shape[0]):
        r, a = _row_of(j, scratch), score[j]
        z, delta = code[r], scratch.delta[r]
        for h in range(e.shape[0]):
            e[h] += a * z[h]
            delta[h] += a * q[h]
    return loss, won


@inlined
def learn(net: Net, scratch: Scratch, k: int, pace: Pace) -> None:
    """Move W_{k+1} and write d c, of the context k + 1 rows ago, to scratch.slope."""
    weights, moments = net.predict[k], net.predict_moments
    c, e, dc, g = scratch.context[1 + k], scratch.error[k], scratch.slope[k], scratch.gradient
    codes = scratch.state.shape[1] == 0
    share = np.float32(1.0 / e.shape[0])
    for i in range(weights.shape[0]):
        part = share * c[i]
        # Units of a code that are silent do not learn.
        if part != 0 or not codes:
            dc[i] = share * dot(weights[i], e)
        for h in range(e.shape[0]):
            g[h] = part * e[h]
        step(weights[i], moments[0, k, i], moments[1, k, i], g, pace)
