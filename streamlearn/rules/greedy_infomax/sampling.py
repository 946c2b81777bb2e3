"""The reservoir: past rows of all streams, each as likely to be replaced as any other.

Negatives are drawn from those of the rows that stand where they are wanted; where there are none,
from the next wider circle:

    device -> other -> any,   same -> any

or, where rows have several positions, from the row's other ones.

D inputs, M rows of the reservoir, N negatives.
"""

from typing import Final

from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.encoder import read
from streamlearn.rules.greedy_infomax.state import I64, STORED, Scratch, Setting, Store

ANY, OTHER, SAME, DEVICE, POSITIONS = range(5)

_PLACE: Final = 0
"""Draw of a row that decides where it is stored."""
_COIN: Final = 1
"""Draw that decides whether the hinge learns from the row or from the negative."""
_NEGATIVE: Final = 16
"""First of the draws that choose negatives."""


@inlined
def _matches(store: Store, source: int, stream: int, device: int, match: I64) -> int:
    """List the stored rows [n] that stand in the circle `source` of a stream; returns n."""
    held = min(store.clock[STORED], store.x.shape[0])
    n = 0
    for m in range(held):
        same = store.stream[m] == stream
        fits = source == ANY
        if source == SAME:
            fits = same
        elif source == OTHER:
            fits = not same
        elif source == DEVICE:
            fits = not same and store.device[m] == device
        # Written always and kept by the count.
        match[n] = m
        n += int(fits)
    return n


@inlined
def find(store: Store, source: int, stream: int, device: int, match: I64) -> tuple[int, int]:
    """List where negatives may be drawn from [n]; returns n and whether the circle was widened."""
    n, circle = _matches(store, source, stream, device, match), source
    while n == 0 and circle != ANY:
        circle = OTHER if circle == DEVICE else ANY
        n = _matches(store, circle, stream, device, match)
    return n, int(circle != source)


@inlined
def draw(store: Store, setting: Setting, row: int, n: int, scratch: Scratch) -> None:
    """Copy N of the n rows listed in scratch.match behind the past rows of scratch.x."""
    first = 1 + scratch.told.shape[0]
    for j in range(scratch.x.shape[0] - first):
        at = int(n * uniform(setting.seed, row, _NEGATIVE + j))
        source, out = store.x[scratch.match[at]], scratch.x[first + j]
        for i in range(out.shape[0]):
            out[i] = source[i]


@inlined
def draw_positions(whole: F32, setting: Setting, row: int, at: int, scratch: Scratch) -> None:
    """Copy N of the row's other positions, not the one at `at`, behind the rows before."""
    D, first = scratch.x.shape[1], 1 + scratch.told.shape[0]
    for j in range(scratch.x.shape[0] - first):
        p = int((setting.positions - 1) * uniform(setting.seed, row, _NEGATIVE + j))
        p += int(p >= at)
        read(whole[p * D : (p + 1) * D], scratch.x[first + j])


@inlined
def falls_on_the_row(setting: Setting, row: int) -> bool:
    """Whether the hinge learns from the row rather than from its negative."""
    return bool(uniform(setting.seed, row, _COIN) < 0.5)


@inlined
def keep(store: Store, setting: Setting, row: int, x: F32, origin: tuple[int, int]) -> None:
    """Store the row x [D] of (stream, device): first in free places, then in that of any."""
    M, stored = store.x.shape[0], store.clock[STORED]
    store.clock[STORED] += 1
    if M == 0:
        return
    at = stored if stored < M else int(M * uniform(setting.seed, row, _PLACE))
    for i in range(x.shape[0]):
        store.x[at, i] = x[i]
    store.stream[at] = origin[0]
    store.device[at] = origin[1]
