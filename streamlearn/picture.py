"""The picture of a run: learning curve, receptive fields, confusion matrix.

Needs matplotlib, from the extra `[picture]`; it is imported when a picture is drawn.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.errors import UsageError
from streamlearn.part import F32

INK: Final = "#22303c"
FAINT: Final = "#8795a1"
ACCENT: Final = "#c2410c"
_CURVES: Final = (
    ("majority_error", "always the commonest class", {"color": FAINT, "lw": 1.0, "ls": ":"}),
    ("repeat_error", "repeat the last label", {"color": FAINT, "lw": 1.0, "ls": "--"}),
    ("error", "all rows so far", {"color": INK, "lw": 1.2}),
    ("error_recent", "recent rows", {"color": ACCENT, "lw": 2.2}),
)
_FIELD_LINES: Final = 7
_FIELDS_ASPECT: Final = 3.08
"""Width over height of the panel."""


class Run(NamedTuple):
    """What is drawn."""

    title: str
    """One line above everything."""
    subtitle: str
    """One line below it: the figures in short."""
    curve: Sequence[Mapping[str, Any]]
    """Points of the learning curve, as `evaluate` gives them."""
    confusion: NDArray[np.int64] | None
    """[K, K] counts; rows are true classes."""
    confusion_of: str
    """Which rows the confusion matrix is about."""
    fields: F32 | None
    """[H, height, width] weights of the first layer's units."""
    test_error: float | None = None
    """Error on held-out rows."""


def draw(run: Run, path: Path) -> None:
    """Draw a run into a PNG file.

    Raises
    ------
    UsageError
        When matplotlib is not installed.

    """
    with styled(path) as new_figure:
        figure = new_figure((12, 9.3 if run.fields is not None else 5.2))
        _lay_out(figure, run)
        figure.savefig(path)


def draw_fields(fields: F32, title: str, path: Path) -> None:
    """Draw receptive fields [H, height, width] into a PNG file, all on one scale around zero.

    Raises
    ------
    UsageError
        When matplotlib is not installed.

    """
    with styled(path) as new_figure:
        figure = new_figure((12, 4.8))
        _fields(figure.add_axes((0.02, 0.02, 0.96, 0.84)), fields, title)
        figure.savefig(path)


@contextmanager
def styled(path: Path) -> Iterator[Callable[[tuple[float, float]], Any]]:
    """Gives what makes figures of a size in inches, in the style of all our pictures."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra, 40 MB: only who draws pays
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise UsageError(f"{path}: a picture needs: pip install 'streamlearn[picture]'") from None
    style: Any = {
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
    }
    with mpl.rc_context(style):
        yield lambda inches: Figure(figsize=inches, dpi=120)


def _lay_out(figure: Any, run: Run) -> None:
    """Curve and confusion matrix side by side, receptive fields below; a heading over all."""
    lines = 1 if run.fields is None else 2
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        lines,
        2,
        width_ratios=(1.6, 1),
        left=0.06,
        right=0.975,
        top=1 - 1.1 / height,
        bottom=(0.55 if lines == 1 else 0.25) / height,
        hspace=0.3,
        wspace=0.22,
    )
    figure.text(0.06, 1 - 0.45 / height, run.title, size=17, weight="bold")
    figure.text(0.06, 1 - 0.7 / height, run.subtitle, size=10.5, color=FAINT)
    _curve(figure.add_subplot(grid[0, 0]), run)
    if run.confusion is not None:
        _confusion(figure.add_subplot(grid[0, 1]), run.confusion, run.confusion_of)
    if run.fields is not None:
        title = "Receptive fields of the first layer"
        _fields(figure.add_subplot(grid[1, :]), run.fields, title)


def _curve(axes: Any, run: Run) -> None:
    """Error over rows, each row predicted before it is learned, with the trivial rules."""
    rows = [point["rows"] for point in run.curve]
    drawn = [(key, label, look) for key, label, look in _CURVES if _known(run, key)]
    for key, label, look in drawn:
        values = [math.nan if point.get(key) is None else point[key] for point in run.curve]
        axes.plot(rows, values, label=label, **look)
    if run.test_error is not None:
        axes.axhline(run.test_error, color=ACCENT, lw=0.8, alpha=0.6)
        note = f"held out\n{100 * run.test_error:.2f} %"
        beside = axes.get_yaxis_transform()
        axes.text(1.01, run.test_error, note, color=ACCENT, va="center", transform=beside)
    axes.set_yscale("log")
    axes.set_ylim(_floor(run), 1.05)
    axes.set_xlim(0, rows[-1])
    axes.yaxis.set_major_locator(_ticker().FixedLocator([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]))
    axes.yaxis.set_minor_locator(_ticker().NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("rows learned, each once")
    axes.set_title("Error, predicted before learned", loc="left", weight="bold")
    axes.grid(axis="y", color="#e6ebef")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, length=3, color=FAINT)
    if drawn:
        axes.legend(frameon=False, loc="upper right", ncols=2, bbox_to_anchor=(1.0, 0.93))


def _known(run: Run, key: str) -> bool:
    return any(point.get(key) is not None for point in run.curve)


def _ticker() -> Any:
    from matplotlib import ticker  # noqa: PLC0415  see draw

    return ticker


def _floor(run: Run) -> float:
    """The lowest error that the axis must hold."""
    errors = [point.get(key) for point in run.curve for key, _, _ in _CURVES]
    low = min([error for error in [*errors, run.test_error] if error], default=0.01)
    return max(0.002, 0.7 * low)


def _confusion(axes: Any, confusion: NDArray[np.int64], of: str) -> None:
    """Counts by true and predicted class, coloured by share of the true class."""
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # The square root makes one confusion in a hundred visible beside the diagonal.
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    classes = len(confusion)
    if classes <= 20:
        for row, column in np.argwhere(confusion > 0):
            dark = share[row, column] > 0.35
            text = f"{confusion[row, column]:,}"
            size = 8.5 if classes <= 10 else 6
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                size=size,
                color="white" if dark else INK,
            )
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(of, loc="left", weight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _fields(axes: Any, fields: F32, title: str) -> None:
    """Weights of the units as images, blue below zero and red above, all on one scale."""
    canvas, count = _tiled(fields)
    limit = float(np.nanquantile(np.abs(canvas), 0.998)) or 1.0
    image = axes.imshow(canvas, cmap="RdBu_r", vmin=-limit, vmax=limit)
    of = f"{count:,} of {len(fields):,}" if count < len(fields) else f"{count:,}"
    axes.set_title(f"{title}, {of} units", loc="left", weight="bold", y=1.02)
    axes.set_anchor("W")
    axes.axis("off")
    bar = axes.inset_axes((0.88, 1.03, 0.12, 0.025))
    axes.figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[-limit, 0, limit])
    bar.set_xticklabels([f"-{limit:.2g}", "0", f"{limit:.2g}"], size=8)
    bar.xaxis.set_ticks_position("top")
    bar.tick_params(length=0, pad=1)
    bar.spines[:].set_visible(False)


def _tiled(fields: F32) -> tuple[F32, int]:
    """Images [H, h, w] in a whole rectangle, NaN between them; and how many of them it holds.

    The units shown are spread evenly over all of them.
    """
    units, height, width = fields.shape
    lines = min(
        _FIELD_LINES, units, max(1, math.isqrt(round(units * width / (_FIELDS_ASPECT * height))))
    )
    columns = max(1, min(units // lines, round(_FIELDS_ASPECT * lines * height / width)))
    count = lines * columns
    gap_down, gap_right = max(1, height // 9), max(1, width // 9)
    canvas = np.full(
        (lines * (height + gap_down) - gap_down, columns * (width + gap_right) - gap_right),
        np.nan,
        np.float32,
    )
    for i, unit in enumerate(np.linspace(0, units - 1, count).astype(int)):
        top, left = (i // columns) * (height + gap_down), (i % columns) * (width + gap_right)
        canvas[top : top + height, left : left + width] = fields[unit]
    return canvas, count


def as_images(fields: F32 | None) -> F32 | None:
    """Weights [H, …] as images [H, height, width]; None where a row is no image."""
    if fields is None or fields.ndim not in (3, 4):
        return None
    if fields.ndim == 4:
        channels_last = fields.shape[3] in (1, 3)
        fields = fields.mean(axis=3 if channels_last else 1)
    images: F32 = fields[np.abs(fields).max(axis=(1, 2)) > 0]
    return images if len(images) and min(images.shape[1:]) > 1 else None
