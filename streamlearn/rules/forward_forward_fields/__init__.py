"""`forward_forward_fields`: Forward-Forward in space, with local receptive fields over an image."""

from streamlearn.rules.forward_forward_fields.layer import ForwardForwardFields

__all__ = ["ForwardForwardFields"]
