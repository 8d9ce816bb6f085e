"""One look at a network's health: ``diagnose``, what it returns, and a monitor.

Beside it :func:`optimization_readiness` and :func:`hessian_spectrum`, for which a task
must be given.
"""

from isometry.diagnostics.curvature import (
    HessianRank,
    HessianSpectrum,
    hessian_spectrum,
)
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
    "HessianRank",
    "HessianSpectrum",
    "JacobianSpectrum",
    "PlasticityMonitor",
    "Ranks",
    "Readiness",
    "Spread",
    "WeightSpectrum",
    "diagnose",
    "hessian_spectrum",
    "optimization_readiness",
]
