"""Every way of keeping a network plastic, as values in one registry."""

from isometry.methods import isometry, plain  # registers its methods
from isometry.methods.method import (
    ACTIVATIONS,
    METHODS,
    AdamSettings,
    Architecture,
    Method,
    Role,
    Roles,
    get,
    names,
    register,
)

__all__ = [
    "ACTIVATIONS",
    "METHODS",
    "AdamSettings",
    "Architecture",
    "Method",
    "Role",
    "Roles",
    "get",
    "isometry",
    "names",
    "plain",
    "register",
]
