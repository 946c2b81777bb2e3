"""Test-then-train figures: every row is predicted before it is learned."""

from streamlearn.prequential.figures import Figures

__all__ = ["Figures"]
