"""The prepare steps by name: from the numbers of a sensor to the inputs of the first layer."""

from typing import Final

STEPS: Final[dict[str, str]] = {
    "scale": "streamlearn.prepare.scale:Scale",
    "unit_norm": "streamlearn.prepare.unit_norm:UnitNorm",
    "patches": "streamlearn.prepare.patches:Patches",
    "spectrum": "streamlearn.prepare.spectrum:Spectrum",
    "difference": "streamlearn.prepare.difference:Difference",
    "standardize": "streamlearn.prepare.standardize:Standardize",
}

CUTS: Final[dict[str, str]] = {"window": "streamlearn.prepare.window:Window"}
"""What makes rows of several samples; it works at ingest, before the ring, and comes first."""
