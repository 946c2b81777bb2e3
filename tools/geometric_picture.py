"""Draw what `geometric_reproduce` measured against the number of nodes and the time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from geometric_networks import FIRST, MAIN, PUBLISHED_SIZES, SIZES, TIMES
from results import RESULTS, kept

OURS: Final = "#3b6ea5"
RODS: Final = "#b5651d"
THEIRS: Final = "#98a1ab"


def _value(found: Mapping[str, Any], variant: Any, reading: int = 0) -> float | None:
    name = f"C, {variant.title}, {variant.readings[reading].title}; {FIRST[0]}"
    return found[name].ours if name in found else None


def curve(found: Mapping[str, Any], named: Mapping[int, Any], reading: int) -> dict[int, float]:
    """Number of nodes, or time, and percent right, of what was measured."""
    values = {x: _value(found, variant, reading) for x, variant in named.items()}
    return {x: value for x, value in sorted(values.items()) if value is not None}


def curves(found: Mapping[str, Any]) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    """Of the free network by nodes, of rods by nodes, and of the free network by time."""

    def numbered(variants: Mapping[str, Any], begins: str) -> dict[int, Any]:
        return {int(k.removeprefix(begins)): v for k, v in variants.items() if k.startswith(begins)}

    return (
        curve(found, numbered(SIZES, "size") | {200: MAIN["free"]}, 0),
        curve(found, numbered(SIZES, "rods") | {200: MAIN["rods"]}, 1),
        curve(found, numbered(TIMES, "time"), 0),
    )


def draw(path: Path, folder: Path = RESULTS) -> bool:
    """Draw both curves; False where nothing was measured yet."""
    found = kept("reproduce-geometric", folder)
    sizes, rods, times = curves(found)
    if not sizes or not times:
        return False
    import matplotlib as mpl  # noqa: PLC0415  a picture is drawn at the end of a long run

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    left.semilogx([*sizes], [*sizes.values()], "o-", color=OURS, label="free network")
    left.semilogx([*rods], [*rods.values()], "s-", color=RODS, label="rods")
    left.plot([*PUBLISHED_SIZES], [*PUBLISHED_SIZES.values()], "x", color="black", label="article")
    right.plot([*times], [*times.values()], "o-", color=OURS, label="free network, 200 nodes")
    right.plot([300], [PUBLISHED_SIZES[200]], "x", color="black", label="article")
    pixels = _value(found, MAIN["pixels"])
    for axes in (left, right):
        if pixels is not None:
            axes.axhline(pixels, color=THEIRS, linestyle=":", label="raw pixels")
        axes.legend(frameon=False, loc="lower right")
    left.set(xlabel="nodes", ylabel="% right", xticks=[*sizes], xticklabels=[*sizes])
    left.minorticks_off()
    right.set(xlabel="weights read at, ms")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
