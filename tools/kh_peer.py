"""Time of competing units against the authors' own code, in one run, into docs/results.

    python tools/kh_peer.py Unsupervised_learning_algorithm_MNIST.ipynb

The notebook is that of github.com/DimaKrotov/Biological_Learning; its cell that learns is run as
it is, without its drawing, on the first rows of MNIST, with 2,000 units and the paper's
constants. Both take steps of eq. 2 on minibatches of as many rows; ours besides brings rows to
p-norm 1, bounds a step, and gives a unit that has waited too long for a win a row as its weights.
numpy may use all cores, ours uses one.
"""

import argparse
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from kh_paper import MNIST, Digits, digits, feed, keep, learner

from streamlearn import data
from streamlearn.bench.report import Row, median_row
from streamlearn.part import UNLABELLED

ROWS = 3000
REPEATS = 5
_LOOP = "for nep in range(Nep)"
_DRAWING = ("%", "fig=", "draw_weights")


def learning_code(notebook: Path) -> str:
    """The cell that learns.

    Raises
    ------
    SystemExit
        Where the file has no such cell.

    """
    cells = msgspec.json.decode(notebook.read_bytes())["cells"]
    for cell in cells:
        lines = "".join(cell["source"]).splitlines()
        if any(_LOOP in line for line in lines):
            return "\n".join(x for x in lines if not x.strip().startswith(_DRAWING))
    sys.exit(f"{notebook}: no cell with {_LOOP!r}; give the authors' notebook")


def theirs(code: str, train: Digits) -> float:
    """Seconds of a pass over the rows by the notebook's code."""
    constants = {
        "eps0": MNIST.rate,
        "hid": MNIST.units,
        "mu": 0.0,
        "sigma": 1.0,
        "Nep": 1,
        "Num": MNIST.minibatch,
        "prec": 1e-30,
        "delta": MNIST.delta,
        "p": MNIST.p,
        "k": MNIST.k,
        "N": train.x.shape[1],
        "Ns": len(train.x),
    }
    names = {"np": np, "M": train.x.astype(np.float64), **constants}
    began = time.perf_counter()
    exec(compile(code, "notebook", "exec"), names)  # noqa: S102  the file that was asked for
    return time.perf_counter() - began


def ours(train: Digits) -> float:
    """Seconds of a pass over the same rows by ours."""
    part = learner(MNIST, train.shape, 100 * len(train.x))
    out = np.empty((1000, MNIST.units), np.float32)
    began = time.perf_counter()
    feed(part, train.x, np.full(len(train.x), UNLABELLED, np.int32), out)
    return time.perf_counter() - began


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path)
    code = learning_code(parser.parse_args().notebook)
    whole = data.load("mnist")
    rows = digits(whole.train, whole.shape)
    train = Digits(rows.x[:ROWS], rows.y[:ROWS], rows.shape)
    ours(Digits(train.x[:200], train.y[:200], train.shape))  # compile
    pairs = [(ours(train), theirs(code, train)) for _ in range(REPEATS)]
    per_row = 1e6 / ROWS
    peer = per_row * float(np.median([b for _, b in pairs]))
    note = f"minibatches of {MNIST.minibatch}, {MNIST.units} units, p = {MNIST.p:g}; the notebook's"
    rows_made: list[Row] = [
        median_row(
            "units, time of an example",
            [per_row * a for a, _ in pairs],
            "us",
            peer=peer,
            note=note + " own code as peer",
        ),
        median_row(
            "times as fast", [b / a for a, b in pairs], "times", limit=10.0, note="median pair"
        ),
    ]
    for row in rows_made:
        print(f"{row.name}: {row.ours:.3g} {row.unit}", file=sys.stderr)
    print(keep(rows_made))


if __name__ == "__main__":
    main()
