"""The Gram-deviation regulariser and AdamO (chapter 5)."""

from isometry.adamo.arithmetic import (
    gram_deviation,
    isometry_gradient,
    isometry_penalty,
)
from isometry.adamo.decoupled import with_isometry
from isometry.adamo.flow import (
    amortised_error,
    amortised_every,
    max_stable_rate,
    relaxation_steps,
    singular_value_flow,
    strength_for_relaxation,
)
from isometry.adamo.groups import mark, param_groups
from isometry.adamo.naming import describe
from isometry.adamo.optimizer import AdamO
from isometry.adamo.step import isometry_step_
from isometry.core.matrices import as_matrix

__all__ = [
    "AdamO",
    "amortised_error",
    "amortised_every",
    "as_matrix",
    "describe",
    "gram_deviation",
    "isometry_gradient",
    "isometry_penalty",
    "isometry_step_",
    "mark",
    "max_stable_rate",
    "param_groups",
    "relaxation_steps",
    "singular_value_flow",
    "strength_for_relaxation",
    "with_isometry",
]
