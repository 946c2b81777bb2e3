"""The picture of a layer's codes: a window of a spiking network, and how codes lie by class.

Needs matplotlib, from the extra `[picture]`; see `streamlearn.picture`.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32
from streamlearn.picture import ACCENT, FAINT, INK, styled

F64 = NDArray[np.float64]

_MOST_CLASSES: Final = 20
_COLOURS: Final = "viridis"
"""Of times, from the first to the last."""


class Activity(NamedTuple):
    """What happened in one window of a spiking network; times in ms."""

    title: str
    window_ms: float
    inputs: F64
    """[N, 2] places of input nodes: row and column."""
    heard_ms: F64
    """[N] when each fired; NaN for never."""
    units: F64
    """[H, 2] places of units."""
    spikes: F64
    """[n, 2] time and unit of each spike, in order."""
    paths: F64
    """[m, 5] signals that made a unit fire first: from (row, column) to (row, column), arrival."""


class Codes(NamedTuple):
    """Codes of rows, and whose they are."""

    values: F32
    """[n, W]"""
    y: I32
    """[n] class, -1 where it is not known."""


def draw_codes(title: str, codes: Codes, activity: Activity | None, path: Path) -> None:
    """Draw the first principal components of codes, and a window above them where there is one.

    Raises
    ------
    UsageError
        When matplotlib is not installed.

    """
    with styled(path) as new_figure:
        figure = new_figure((12, 10.2 if activity else 5.6))
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            2 if activity else 1,
            2,
            left=0.06,
            right=0.95,
            top=1 - 0.95 / height,
            bottom=0.55 / height,
            hspace=0.28,
            wspace=0.2,
        )
        figure.text(0.06, 1 - 0.45 / height, title, size=17, weight="bold")
        if activity:
            _graph(figure.add_subplot(grid[0, 0]), activity)
            _raster(figure.add_subplot(grid[0, 1]), activity)
        lower = 1 if activity else 0
        _components(figure, (grid[lower, 0], grid[lower, 1]), codes)
        figure.savefig(path)


def _graph(axes: Any, activity: Activity) -> None:
    """Nodes in space, those that fired coloured by when; signals that made a unit fire."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415  see picture

    end, paths = activity.window_ms, activity.paths
    lines = LineCollection(
        [[(a[1], a[0]), (a[3], a[2])] for a in paths],
        array=paths[:, 4],
        cmap=_COLOURS,
        alpha=0.25,
        lw=0.7,
    )
    lines.set_clim(0, end)
    axes.add_collection(lines)
    fired = np.isfinite(activity.heard_ms)
    axes.scatter(*activity.inputs[:, ::-1].T, s=2, color="#dfe5ea", zorder=1)
    axes.scatter(*activity.inputs[fired, ::-1].T, s=14, marker="s", color=FAINT, zorder=2)
    first = first_spikes(activity)
    awake = np.isfinite(first)
    axes.scatter(*activity.units[~awake, ::-1].T, s=16, fc="white", ec=FAINT, lw=0.7, zorder=3)
    seen = axes.scatter(
        *activity.units[awake, ::-1].T,
        s=30,
        c=first[awake],
        cmap=_COLOURS,
        vmin=0,
        vmax=end,
        ec="white",
        lw=0.5,
        zorder=4,
    )
    axes.figure.colorbar(seen, ax=axes, shrink=0.8, label="first spike, ms", pad=0.02)
    axes.invert_yaxis()
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    note = f"{activity.title}: {awake.sum():,} of {len(first):,} units fire"
    axes.set_title(note, loc="left", weight="bold")


def first_spikes(activity: Activity) -> F64:
    """[H] time of each unit's first spike, NaN where it was silent."""
    first = np.full(len(activity.units), np.inf)
    np.minimum.at(first, activity.spikes[:, 1].astype(int), activity.spikes[:, 0])
    return np.where(np.isfinite(first), first, np.nan)


def _raster(axes: Any, activity: Activity) -> None:
    """Who fired when: units below, inputs above, each in the order of their numbers."""
    H = len(activity.units)
    fired = np.flatnonzero(np.isfinite(activity.heard_ms))
    times, units = activity.spikes.T
    axes.scatter(times, units, s=3, color=ACCENT, marker="|", lw=0.9)
    gap = max(2.0, 0.03 * H)
    shown = H + gap + np.arange(len(fired)) * (0.35 * H / max(1, len(fired)))
    axes.scatter(activity.heard_ms[fired], shown, s=2, color=INK, marker="|", lw=0.8)
    axes.set_xlim(-0.01 * activity.window_ms, activity.window_ms)
    axes.set_ylim(-1, 1.4 * H + gap)
    axes.set_yticks([0, H - 1] if H > 1 else [0])
    axes.axhline(H + gap / 2, color="#e6ebef", lw=1)
    axes.text(0.99, 0.97, "inputs", ha="right", va="top", transform=axes.transAxes, color=INK)
    axes.text(0.99, 0.03, "units", ha="right", va="bottom", transform=axes.transAxes, color=ACCENT)
    axes.set_xlabel("ms of simulated time")
    axes.set_title(f"Raster, {len(times):,} spikes of units", loc="left", weight="bold")
    axes.spines[["top", "right"]].set_visible(False)


def components(values: F32, count: int = 3) -> tuple[F64, F64]:
    """Principal components of codes [n, W].

    Returns
    -------
    tuple
        Places of the codes [n, count], zeros where there are fewer, and the components' shares of
        all variance [count].

    """
    centred = np.float64(values) - values.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(count, len(sizes))
    places, shares = np.zeros((len(values), count)), np.zeros(count)
    places[:, :kept] = left[:, :kept] * sizes[:kept]
    shares[:kept] = sizes[:kept] ** 2 / max(float((sizes**2).sum()), 1e-300)
    return places, shares


def _components(figure: Any, cells: tuple[Any, Any], codes: Codes) -> None:
    """The first component against the second and against the third, coloured by class."""
    places, shares = components(codes.values)
    classes = np.unique(codes.y)[: _MOST_CLASSES + 1]
    for cell, other in zip(cells, (1, 2), strict=True):
        axes = figure.add_subplot(cell)
        for label in classes:
            rows = codes.y == label
            told = "unlabelled" if label < 0 else str(label)
            look = {"color": FAINT} if label < 0 else {"color": _colour(int(label), len(classes))}
            axes.scatter(*places[rows][:, (0, other)].T, s=6, alpha=0.7, lw=0, label=told, **look)
        axes.set_xlabel(f"component 1, {100 * shares[0]:.0f} % of variance")
        axes.set_ylabel(f"component {other + 1}, {100 * shares[other]:.0f} %")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(False)
        if other == 1:
            axes.set_title(f"Codes of {len(places):,} rows by class", loc="left", weight="bold")
        else:
            axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)


def _colour(label: int, classes: int) -> Any:
    from matplotlib import colormaps  # noqa: PLC0415  see picture

    return colormaps["tab10" if classes <= 10 else "tab20"](label % (10 if classes <= 10 else 20))
