"""What rows to come are told from: the code itself, or what a recurrent unit makes of all codes.

C numbers of a context, H units, K steps. Each way has a helper of its own, which is empty where its
first argument is None: numba drops such a branch before it compiles it.
"""

from streamlearn.kernels import inlined
from streamlearn.rules.greedy_infomax import gru, lru
from streamlearn.rules.greedy_infomax.adam import Pace
from streamlearn.rules.greedy_infomax.norm import normalise
from streamlearn.rules.greedy_infomax.state import Module, Scratch


@inlined
def _advance_lru(there: int | None, module: Module, slot: int) -> None:
    if there is not None:
        lru.advance(module.net, module.past, slot, module.scratch)
        normalise(module.scratch.state, module.scratch.context[0])


@inlined
def _advance_gru(there: int | None, module: Module, slot: int) -> None:
    if there is not None:
        gru.advance(module.net, module.past, slot, module.scratch)
        normalise(module.scratch.state, module.scratch.context[0])


@inlined
def advance(module: Module, slot: int) -> None:
    """Go on by the row in scratch and write its context to scratch.context[0]."""
    _advance_lru(module.setting.lru, module, slot)
    _advance_gru(module.setting.gru, module, slot)


@inlined
def _remember_lru(there: int | None, module: Module, slot: int) -> None:
    if there is not None:
        lru.remember(module.past, slot, module.scratch)


@inlined
def _remember_gru(there: int | None, module: Module, slot: int) -> None:
    if there is not None:
        gru.remember(module.past, slot, module.scratch)


@inlined
def remember(module: Module, slot: int) -> None:
    """Keep what the row in scratch leaves behind in its slot."""
    _remember_lru(module.setting.lru, module, slot)
    _remember_gru(module.setting.gru, module, slot)


@inlined
def recall(module: Module, slot: int) -> None:
    """Write the contexts of the K rows before to scratch.context[1:], and no slopes of them."""
    _, past, _, _, scratch = module
    K = scratch.told.shape[0]
    for k in range(K):
        c = scratch.context[1 + k]
        for i in range(c.shape[0]):
            scratch.slope[k, i] = 0
        if scratch.state.shape[1] == 0:
            for i in range(c.shape[0]):
                c[i] = scratch.code[1 + k, i]
        elif scratch.told[k]:
            state = past.context[slot, (past.rows[slot] - 1 - k) % K]
            scratch.scale[k] = normalise(state, c)


@inlined
def _learn_lru(there: int | None, module: Module, slot: int, pace: Pace) -> None:
    if there is not None:
        lru.learn(module.net, module.past, slot, module.scratch, pace)


@inlined
def _learn_gru(there: int | None, module: Module, slot: int, pace: Pace) -> None:
    if there is not None:
        gru.learn(module.net, module.past, slot, module.scratch, pace)


@inlined
def _to_codes(scratch: Scratch) -> None:
    """The context is the code itself."""
    for k in range(scratch.told.shape[0]):
        slope, delta = scratch.slope[k], scratch.delta[1 + k]
        for i in range(slope.shape[0]):
            delta[i] += slope[i]


@inlined
def learn(module: Module, slot: int, pace: Pace) -> None:
    """Take d c in scratch.slope to the weights and to d zn of the rows before."""
    if module.scratch.state.shape[1] == 0:
        _to_codes(module.scratch)
    _learn_lru(module.setting.lru, module, slot, pace)
    _learn_gru(module.setting.gru, module, slot, pace)
