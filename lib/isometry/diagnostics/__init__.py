"""One look at a network's health: ``diagnose`` and what it returns."""

from isometry.diagnostics.health import diagnose
from isometry.diagnostics.report import (
    ActivationHealth,
    Diagnostics,
    JacobianSpectrum,
    Ranks,
    Spread,
    WeightSpectrum,
)

__all__ = [
    "ActivationHealth",
    "Diagnostics",
    "JacobianSpectrum",
    "Ranks",
    "Spread",
    "WeightSpectrum",
    "diagnose",
]
