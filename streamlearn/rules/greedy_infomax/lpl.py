"""Latent predictive learning: no negatives; codes hold still, spread and differ from each other.

M. Halvagal & F. Zenke, The combination of Hebbian and predictive plasticity learns invariant object
representations in deep sensory networks, Nature Neuroscience 26 (2023), with the published
correction of its decorrelation. Activities z are not normalised here:

    L = mean over units of  1/2 (z_i - z'_i)² - 1/2 log(v_i + 1e-4)
                            + decorrelate / (4 H) sum over j != i of C_ij²

z' the same stream's row before, held fixed, mu the running mean, C the running covariance and v its
diagonal. What the row adds to them moves the weights:

    d z_i = (z_i - z'_i) - (z_i - mu_i) / (v_i + 1e-4)
            + decorrelate / H sum over j != i of C_ij (z_j - mu_j)

Averages are over memory_rows, over all rows while those are fewer; a row is judged by those before
it. The loss that is shown, and what surprise is made of, is 1 - zn . zn' / H, which knows no scale.

H units.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.contrast import dot
from streamlearn.rules.greedy_infomax.state import STORED, Scratch, Setting, Store

_TINY = np.float32(1e-4)


@inlined
def _sweep(covariance: F32, i: int, away: F32, share: np.float32) -> np.float32:
    """Take z - mu into line i of C; returns sum over j != i of C_ij (z_j - mu_j) as C was."""
    line, keep = covariance[i], np.float32(1) - share
    other = dot(line, away) - line[i] * away[i]
    part = share * away[i]
    for j in range(away.shape[0]):
        line[j] = keep * (line[j] + part * away[j])
    return np.float32(other)


@inlined
def collect(store: Store, setting: Setting, scratch: Scratch) -> None:
    """Write what pushes and decorrelates to scratch.delta[0], then take the row into mu and C."""
    away, delta, code, H = scratch.query[0], scratch.delta[0], scratch.code[0], store.mean.shape[0]
    share = np.float32(max(1.0 / (store.clock[STORED] + 1.0), setting.memory))
    strength = np.float32(setting.decorrelate / H)
    for i in range(H):
        away[i] = code[i] / scratch.factor[0] - store.mean[i]
    for i in range(H):
        spread = store.covariance[i, i]
        others = _sweep(store.covariance, i, away, share)
        delta[i] = strength * others - away[i] / (spread + _TINY)
        store.mean[i] += share * away[i]


@inlined
def pull(scratch: Scratch) -> float:
    """Add z - z' to scratch.delta[0]; returns 1 - zn . zn' / H."""
    delta, code, before = scratch.delta[0], scratch.code[0], scratch.code[1]
    now, then = np.float32(1) / scratch.factor[0], np.float32(1) / scratch.factor[1]
    for i in range(delta.shape[0]):
        delta[i] += now * code[i] - then * before[i]
    return float(1.0 - dot(code, before) / delta.shape[0])
