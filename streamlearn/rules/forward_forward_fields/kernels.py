"""What a layer of local receptive fields sees: patches, their channels, the regions' answers.

Images are stored channels last, and so are activities and weights [n, U]: the innermost loop runs
over the channels of a position. A patch is copied once into one contiguous run, since it is
centred and divided by its own contrast; 2 n U operations follow on its n numbers.

P positions, m of them with contrast, n numbers a patch, U channels a position, R regions.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.sums import sum_of_squares
from streamlearn.part import F32
from streamlearn.rules.forward_forward_fields.state import Geometry, Setting, State, View

_BLANK: Final = np.float32(1e-3)
"""Length of a centred patch, in a row of root mean square 1, below which there is nothing to see:
a constant patch has what rounding leaves."""
_SMALLEST: Final = 1e-12
"""Mean square of an answer that counts as none."""


@inlined
def normalise_row(x: F32, z: F32) -> None:
    """Write z = x / rms(x), both [D]; zeros for a row of zeros."""
    square = 0.0
    for d in range(x.shape[0]):
        square += np.float64(x[d]) * np.float64(x[d])
    # NaN compares false.
    factor = math.sqrt(x.shape[0] / square) if 0.0 < square < np.inf else 0.0
    for d in range(x.shape[0]):
        z[d] = np.float32(x[d] * factor) if factor > 0.0 else np.float32(0)


@inlined
def _cut(z: F32, geometry: Geometry, line: int, column: int, patch: F32) -> None:
    """Copy the field whose first pixel is (line, column) to patch [n]."""
    run = geometry.field * geometry.channels
    for r in range(geometry.field):
        begin = ((line + r) * geometry.across_in + column) * geometry.channels
        for i in range(run):
            patch[r * run + i] = z[begin + i]


@inlined
def _sum(values: F32) -> np.float32:
    total = np.float32(0)
    for i in range(values.shape[0]):
        total += values[i]
    return total


@inlined
def _centre(patch: F32, soften: float) -> bool:
    """Bring a patch [n] to (p - mean p) / (|p - mean p| + soften); False where it is blank."""
    mean = _sum(patch) / np.float32(patch.shape[0])
    for i in range(patch.shape[0]):
        patch[i] -= mean
    length = np.float32(math.sqrt(sum_of_squares(patch)))
    if not length > _BLANK:
        return False
    factor = np.float32(1) / (length + np.float32(soften))
    for i in range(patch.shape[0]):
        patch[i] *= factor
    return True


@inlined
def _look(geometry: Geometry, soften: float, view: View) -> int:
    """Write the patches [m, n] that are not blank, and where they are; returns m."""
    z, where, patches = view.z, view.where, view.patches
    across, stride, m = geometry.across, geometry.stride, 0
    for position in range(where.shape[0]):
        line, column = position // across * stride, position % across * stride
        _cut(z, geometry, line, column, patches[m])
        where[m] = position
        # Kept by the count alone: the next patch is written over a blank one.
        m += int(_centre(patches[m], soften))
    return m


@inlined
def _one(weights: F32, patch: F32, out: F32) -> None:
    """Add patch [n] times weights [n, U] to out [U], four numbers a sweep."""
    n = patch.shape[0]
    for i in range(0, n - 3, 4):
        # Rows are taken out first: with two indices inside, the loop is not vectorised.
        s, t, v, w = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        a, b, c, d = patch[i], patch[i + 1], patch[i + 2], patch[i + 3]
        for u in range(out.shape[0]):
            out[u] += (a * s[u] + b * t[u]) + (c * v[u] + d * w[u])
    for i in range(n - n % 4, n):
        w, a = weights[i], patch[i]
        for u in range(out.shape[0]):
            out[u] += a * w[u]


@inlined
def _start(bias: F32, out: F32) -> None:
    for u in range(out.shape[0]):
        out[u] = bias[u]


@inlined
def _rectify(out: F32) -> None:
    for u in range(out.shape[0]):
        out[u] = max(out[u], np.float32(0))


@inlined
def _respond(state: State, view: View, m: int) -> None:
    """Write the activities a = relu(W z + b) [m, U] of the patches."""
    weights, bias, S = state.weights, state.bias, state.bias.shape[0]
    where, patches, activity = view.where, view.patches, view.activity
    for j in range(m):
        s = where[j] if S > 1 else 0
        out = activity[j]
        _start(bias[s], out)
        _one(weights[s], patches[j], out)
        _rectify(out)


@inlined
def see(state: State, setting: Setting, geometry: Geometry, view: View) -> int:
    """Write patches and activities of the row view.z; returns m."""
    m = _look(geometry, setting.soften, view)
    _respond(state, view, m)
    return m


@inlined
def _bounds(at: int, pool: int, step: int, count: int) -> tuple[int, int]:
    """First region along a side that covers a position, and the one after the last."""
    return max(0, (at - pool) // step + 1), min(count, at // step + 1)


@inlined
def regions_of(geometry: Geometry, position: int) -> tuple[int, int, int, int]:
    """Lines top … bottom and columns left … right of regions that cover a position."""
    pool, step = geometry.pool, geometry.pool_stride
    line, column = position // geometry.across, position % geometry.across
    top, bottom = _bounds(line, pool, step, geometry.regions_down)
    left, right = _bounds(column, pool, step, geometry.regions_across)
    return top, bottom, left, right


@inlined
def _add(values: F32, out: F32) -> None:
    for u in range(values.shape[0]):
        out[u] += values[u]


@inlined
def pool(setting: Setting, geometry: Geometry, view: View, m: int, pooled: F32) -> None:
    """Write h [R U]: for each region the sum of its positions' activities, or the root of it."""
    U = view.activity.shape[1]
    pooled[:] = 0
    for j in range(m):
        top, bottom, left, right = regions_of(geometry, view.where[j])
        for line in range(top, bottom):
            for column in range(left, right):
                r = line * geometry.regions_across + column
                _add(view.activity[j], pooled[r * U : r * U + U])
    if setting.root:
        for i in range(pooled.shape[0]):
            pooled[i] = np.sqrt(pooled[i])


@inlined
def write(pooled: F32, out: F32) -> None:
    """Write out = h / rms(h), both [R U]; zeros where no channel is active."""
    square = sum_of_squares(pooled) / np.float32(pooled.shape[0])
    inverse = np.float32(0)
    if _SMALLEST < square < np.inf:
        inverse = np.float32(1 / math.sqrt(square))
    for i in range(pooled.shape[0]):
        out[i] = pooled[i] * inverse
