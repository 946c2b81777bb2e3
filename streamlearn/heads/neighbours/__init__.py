"""`neighbours`: a bounded memory of labelled rows; the nearest of them vote on each new one.

For a row q [D], M rows remembered, u = q or, with `metric = "cosine"`, q / |q|:

    d_m² = |u - u_m|²                           (cosine: 1 - cos = d² / 2)
    v_m = 1 / distance or 1, times exp(-age_m / age_rows)
    score_k = sum of v over the k nearest of class k / sum of v over the k nearest

(Cover & Hart 1967; the weights are Dudani's idea, 1976, with the reciprocal that is usual today).
Differences are squared, not taken from products: a row that comes again has distance 0 exactly, and
no two norms cancel. Exact matches, if there are any, vote alone. Before anything is remembered
every class scores 1 / K.

A row of zeros has no direction: under `cosine` it lies in the middle, at d² = 1 from all others.

Ages count labelled rows. A labelled row is remembered after it was scored; when memory is full,
`keep` says whose place it takes.
"""

from streamlearn.heads.neighbours.head import Neighbours

__all__ = ["Neighbours"]
