"""The prepare steps by name: from the numbers of a sensor to the inputs of the first layer."""

from typing import Final

STEPS: Final[dict[str, str]] = {
    "scale": "streamlearn.prepare.scale:Scale",
    "unit_norm": "streamlearn.prepare.unit_norm:UnitNorm",
    "standardize": "streamlearn.prepare.standardize:Standardize",
}
