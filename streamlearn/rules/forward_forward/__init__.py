"""`forward_forward`: layers that each learn by a goodness of their own (Hinton 2022)."""

from streamlearn.rules.forward_forward.rule import ForwardForward

__all__ = ["ForwardForward"]
