"""Compiled code that parts share, and the one decorator that compiles it."""

from streamlearn.kernels.compile import inlined, kernel

__all__ = ["inlined", "kernel"]
