"""What rows to come are told from: the code itself, or what a recurrent unit makes of all codes.

C numbers of a context, H units, K steps.
"""

from streamlearn.kernels import inlined
from streamlearn.rules.greedy_infomax import gru, lru
from streamlearn.rules.greedy_infomax.adam import Pace
from streamlearn.rules.greedy_infomax.norm import normalise
from streamlearn.rules.greedy_infomax.state import GRU, LRU, NONE, Module


@inlined
def advance(module: Module, slot: int) -> None:
    """Go on by the row in scratch and write its context to scratch.context[0]."""
    net, past, _, setting, scratch = module
    if setting.context == LRU:
        lru.advance(net, past, slot, scratch)
    elif setting.context == GRU:
        gru.advance(net, past, slot, scratch)
    if setting.context != NONE:
        normalise(scratch.state, scratch.context[0])


@inlined
def remember(module: Module, slot: int) -> None:
    """Keep what the row in scratch leaves behind in its slot."""
    if module.setting.context == LRU:
        lru.remember(module.past, slot, module.scratch)
    elif module.setting.context == GRU:
        gru.remember(module.past, slot, module.scratch)


@inlined
def recall(module: Module, slot: int) -> None:
    """Write the contexts of the K rows before to scratch.context[1:], and no slopes of them."""
    _, past, _, setting, scratch = module
    K = scratch.told.shape[0]
    for k in range(K):
        c = scratch.context[1 + k]
        for i in range(c.shape[0]):
            scratch.slope[k, i] = 0
        if setting.context == NONE:
            for i in range(c.shape[0]):
                c[i] = scratch.code[1 + k, i]
        elif scratch.told[k]:
            state = past.context[slot, (past.rows[slot] - 1 - k) % K]
            scratch.scale[k] = normalise(state, c)


@inlined
def learn(module: Module, slot: int, pace: Pace) -> None:
    """Take d c in scratch.slope to the weights and to d zn of the rows before."""
    net, past, _, setting, scratch = module
    if setting.context == LRU:
        lru.learn(net, past, slot, scratch, pace)
        return
    if setting.context == GRU:
        gru.learn(net, past, slot, scratch, pace)
        return
    for k in range(scratch.told.shape[0]):
        slope, delta = scratch.slope[k], scratch.delta[1 + k]
        for i in range(slope.shape[0]):
            delta[i] += slope[i]
