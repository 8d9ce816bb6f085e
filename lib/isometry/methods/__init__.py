"""Every way of keeping a network plastic, as values in one registry."""

# Imported for the methods that they register, in the order of every list.
# ruff: noqa: F401
# isort: off
from isometry.methods.optimisers import plain
from isometry.methods.networks import architectures
from isometry.methods.resets import continual_backprop
from isometry.methods.switches import fire
from isometry.methods.optimisers import gradient_descent
from isometry.methods.pulls import isometry
from isometry.methods.optimisers import muon
from isometry.methods.pulls import penalties
from isometry.methods.rescaling import perturbation, projections
from isometry.methods.resets import redo, self_normalised_resets
from isometry.methods.pulls import spectral
from isometry.methods.optimisers import upgd, trac, kron
from isometry.methods.switches import optimizer_reset
from isometry.methods.pulls import head_decay
from isometry.methods.resets import continuous, gradient_dormancy, selective
from isometry.methods.rescaling import soft
from isometry.methods.pulls import polar
from isometry.methods.networks import nonlinearities
from isometry.methods.switches import shrinking
from isometry.methods.rescaling import slow_copy
from isometry.methods.pulls import churn, isotropy, features, effective_rank
from isometry.methods.pulls import adaptive_decay
from isometry.methods.switches import injection

# isort: on
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
