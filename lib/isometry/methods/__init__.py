"""Every way of keeping a network plastic, as values in one registry."""

# Imported for the methods that they register; the plain ones come first in every list.
from isometry.methods import plain

# isort: split
from isometry.methods import (
    architectures,
    continual_backprop,
    fire,
    gradient_descent,
    isometry,
    muon,
    penalties,
    perturbation,
    projections,
    redo,
    self_normalised_resets,
    spectral,
    upgd,
)
from isometry.methods.combine import get
from isometry.methods.method import (
    METHODS,
    AdamSettings,
    Method,
    names,
    register,
)
from isometry.methods.structure import (
    ACTIVATIONS,
    PAIRED,
    Architecture,
    Layer,
    Role,
    Roles,
    State,
    Structure,
)
from isometry.methods.training import Training

__all__ = [
    "ACTIVATIONS",
    "METHODS",
    "PAIRED",
    "AdamSettings",
    "Architecture",
    "Layer",
    "Method",
    "Role",
    "Roles",
    "State",
    "Structure",
    "Training",
    "architectures",
    "continual_backprop",
    "fire",
    "get",
    "gradient_descent",
    "isometry",
    "muon",
    "names",
    "penalties",
    "perturbation",
    "plain",
    "projections",
    "redo",
    "register",
    "self_normalised_resets",
    "spectral",
    "upgd",
]
