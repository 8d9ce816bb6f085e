"""One look at a network's health: ``diagnose``, what it returns, and a monitor.

Beside it :func:`optimization_readiness`, for which a task must be given.
"""

from isometry.diagnostics.health import diagnose
from isometry.diagnostics.monitor import PlasticityMonitor
from isometry.diagnostics.readiness import Readiness, optimization_readiness
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
    "Readiness",
    "Spread",
    "WeightSpectrum",
    "diagnose",
    "optimization_readiness",
]
