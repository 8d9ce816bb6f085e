"""Deep linear networks: exact kernel and gradient-flow dynamics (chapter 3)."""

from isometry.linear.chains import (
    DRAWS,
    draw_chain,
    end_to_end,
    prefix_products,
    suffix_products,
)
from isometry.linear.counterexamples import (
    hidden_anisotropy,
    isotropic_chain,
    isotropic_without_isometry,
)
from isometry.linear.descent import (
    gradient_descent,
    half_squared_error,
    learning_time,
    loss_gradients,
)
from isometry.linear.flow import end_to_end_flow, gradient_flow, mode_flow
from isometry.linear.inputs import gram_eigenvalues, isotropic_condition_number, whiten
from isometry.linear.kernel import (
    condition_number,
    condition_number_bound,
    deep_linear_ntk,
    kernel_eigenvalues,
    kernel_matrix,
    layer_grams,
)

__all__ = [
    "DRAWS",
    "condition_number",
    "condition_number_bound",
    "deep_linear_ntk",
    "draw_chain",
    "end_to_end",
    "end_to_end_flow",
    "gradient_descent",
    "gradient_flow",
    "gram_eigenvalues",
    "half_squared_error",
    "hidden_anisotropy",
    "isotropic_chain",
    "isotropic_condition_number",
    "isotropic_without_isometry",
    "kernel_eigenvalues",
    "kernel_matrix",
    "layer_grams",
    "learning_time",
    "loss_gradients",
    "mode_flow",
    "prefix_products",
    "suffix_products",
    "whiten",
]
