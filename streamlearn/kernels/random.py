"""Random numbers without a generator: a hash of (seed, row, draw), so no state can be lost.

The hash is the finaliser of SplitMix64 (Steele, Lea & Flood 2014), applied once a word.
"""

import numpy as np

from streamlearn.kernels.compile import inlined

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_WORD = (1 << 64) - 1


@inlined
def mix(word: np.uint64) -> np.uint64:
    """Scatter the bits of one 64-bit word: z ^= z>>30, *c1, z ^= z>>27, *c2, z ^= z>>31."""
    z = word + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@inlined
def uniform(seed: int, row: int, draw: int) -> float:
    """One number in [0, 1) for the draw-th choice of a row."""
    word = mix(mix(mix(np.uint64(seed)) ^ np.uint64(row)) ^ np.uint64(draw))
    return float(word >> np.uint64(11)) * (1.0 / 9007199254740992.0)


def stage_seed(seed: int, stage: int) -> int:
    """The seed of one stage, 63 bits, so that no two stages share their choices."""
    return _mix_python(_mix_python(seed) ^ stage) >> 1


def _mix_python(word: int) -> int:
    """`mix` without the compiler, as two numbers at the start are not worth loading it."""
    z = (word + int(_GOLDEN)) & _WORD
    z = ((z ^ (z >> 30)) * int(_MIX_1)) & _WORD
    z = ((z ^ (z >> 27)) * int(_MIX_2)) & _WORD
    return z ^ (z >> 31)


def generator(seed: int) -> np.random.Generator:
    """A numpy generator for filling arrays at the start; never for choices along the stream."""
    return np.random.Generator(np.random.Philox(key=seed))
