"""Many steps of one linear unit, compiled: the fast form of its rule.

:func:`isometry.tracking.reference.linear_step` is the form to read, and tests hold this
one against it.
"""

from math import exp

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

LOWEST = -15.0  # of a decay's logarithm; the highest is 0


@kept_on_disk
@njit(nogil=True)
def linear_steps(
    inputs: NDArray,  # (steps, inputs)
    targets: NDArray,  # (steps,)
    state: NDArray,  # (7, inputs)
    rate_theta: float,
    decay_theta: float,
    coupled: bool,
    errors: NDArray,  # (steps,), overwritten
) -> None:
    """Take a linear unit through a stretch of its stream, one step an example.

    Args:
        inputs: Examples.
        targets: What to say of them.
        state: Weights, step sizes, decays, the logarithms of both, and the traces of
            both; changed in place.
        rate_theta: See :class:`isometry.tracking.learner.LinearRule`.
        decay_theta: The same.
        coupled: The same.
        errors: Target minus prediction before each step.

    Source: :func:`isometry.tracking.reference.linear_step`.
    """
    weight, alpha, decay, beta, gamma, by_rate, by_decay = state
    for t in range(len(inputs)):
        x, error = inputs[t], targets[t]
        for i in range(len(weight)):
            error -= weight[i] * x[i]
        errors[t] = error
        for i in range(len(weight)):
            moved = error * x[i]
            if rate_theta > 0:
                beta[i] += rate_theta * moved * by_rate[i]
                alpha[i] = exp(beta[i])
            if decay_theta > 0:
                logarithm = gamma[i] + decay_theta * moved * by_decay[i]
                gamma[i] = min(max(logarithm, LOWEST), 0.0)
                decay[i] = exp(gamma[i])
            shrink = alpha[i] * decay[i] if coupled else decay[i]
            kept = max(1 - shrink - alpha[i] * x[i] * x[i], 0.0)
            step = alpha[i] * moved
            pulled = shrink * weight[i]
            by_rate[i] = kept * by_rate[i] + (step - pulled if coupled else step)
            by_decay[i] = kept * by_decay[i] - pulled
            weight[i] += step - pulled


def linear_state(rate: float, decay: float, inputs: int) -> NDArray:
    """Return what :func:`linear_steps` changes, before the first step.

    Args:
        rate: Step size of every weight, > 0.
        decay: Of every weight, in [0, 1].
        inputs: Number of weights.

    Returns:
        ``(7, inputs)``, float64.
    """
    state = np.zeros((7, inputs))
    with np.errstate(divide="ignore"):  # without a decay
        state[1:5] = np.array([rate, decay, *np.log([rate, decay])])[:, None]
    return state
