"""Greedy InfoMax on a stream: a module learns what its code says about the rows that come next.

S. Löwe, P. O'Connor & B. Veeling, Putting an end to end-to-end: gradient-isolated learning of
representations, arXiv 1905.11786. Each layer is a module that learns alone; nothing is propagated
from one to another.

An encoder turns a row into a code, z = relu(W x + b) and zn = z / sqrt(mean(z²) + 1e-4)
(`encoder`). What the code of the same stream said k = 1 … K rows ago has to tell the row from
negatives: past rows, kept as they came in and encoded anew, so that the gradient goes through them
too (`sampling`, `contrast`). Each row is one step of Adam (`adam`).

With `loss = "hinge"` one negative and a margin take the place of many; with `loss = "lpl"` there
are no negatives at all (`lpl`).

With a context rows are told from what a recurrent unit made of all codes before (`lru`, `gru`).

With `positions` a row is several places of one picture, each with a code by the same units. All are
answered, then each is learned as a row would be: told from what the same place was k rows ago, or
from the place k grid rows above it, as Löwe et al. do with patches of still images.

Rows are scaled to a root mean square of at most 10 before they are encoded. Rows whose inputs all
agree are answered, but neither learned nor stored.
"""

from streamlearn.rules.greedy_infomax.options import GreedyInfomaxOptions
from streamlearn.rules.greedy_infomax.rule import GreedyInfomax

__all__ = ["GreedyInfomax", "GreedyInfomaxOptions"]
