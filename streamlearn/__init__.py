"""A daemon that learns from live streams: one example at a time, each layer by its own rule."""

__version__ = "0.1.0"
