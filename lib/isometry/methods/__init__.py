"""Every way of keeping a network plastic, as values in one registry."""

from isometry.methods import isometry, plain  # registers its methods
from isometry.methods.method import (
    METHODS,
    AdamSettings,
    Method,
    get,
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
    Training,
)

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
    "get",
    "isometry",
    "names",
    "plain",
    "register",
]
