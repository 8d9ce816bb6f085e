"""One look at a network's health: ``diagnose``, what it returns, and a monitor."""

from isometry.diagnostics.health import diagnose
from isometry.diagnostics.monitor import PlasticityMonitor
from isometry.diagnostics.records import (
    ActivationHealth,
    JacobianSpectrum,
    Ranks,
    Spread,
    WeightSpectrum,
)
from isometry.diagnostics.report import Diagnostics

__all__ = [
    "ActivationHealth",
    "Diagnostics",
    "JacobianSpectrum",
    "PlasticityMonitor",
    "Ranks",
    "Spread",
    "WeightSpectrum",
    "diagnose",
]
