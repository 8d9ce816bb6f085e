"""The rules in the papers' symbols, one equation a line: the form to read.

``isometry.tracking.linear_kernel`` and ``isometry.tracking.network_kernel`` are
the fast forms; tests hold these against them, and these against autograd.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from isometry.core.stacking import Parameters
from isometry.tracking.learner import LinearRule, NetworkRule
from isometry.tracking.learners import LEAST_LOGARITHM


@dataclass(frozen=True)
class LinearState:
    """A linear unit with what it learns by.

    Attributes:
        w: Weights, ``(inputs,)``.
        beta: Logarithms of step sizes, ``(inputs,)``.
        gamma: Logarithms of decays, ``(inputs,)``.
        h_beta: Traces, the derivatives of the weights by beta, ``(inputs,)``.
        h_gamma: The same by gamma.
    """

    w: Tensor
    beta: Tensor
    gamma: Tensor
    h_beta: Tensor
    h_gamma: Tensor


def linear_start(rule: LinearRule, inputs: int) -> LinearState:
    """Return a linear unit before its first step, all weights zero.

    Args:
        rule: How it learns.
        inputs: Number of its weights.
    """
    zero = torch.zeros(inputs, dtype=torch.float64)
    beta = torch.full_like(zero, rule.rate).log()
    gamma = torch.full_like(zero, rule.decay).log()  # minus infinity without a decay
    return LinearState(zero, beta, gamma, zero, zero)


def linear_step(
    state: LinearState, x: Tensor, y: Tensor, rule: LinearRule
) -> tuple[LinearState, Tensor]:
    """Return a linear unit after one example, and its error before it.

    Args:
        state: Before the step.
        x: Inputs, ``(inputs,)``.
        y: Target, a scalar.
        rule: How it learns.

    Returns:
        The state after the step and ``y - w x``.

    Source: Sutton 1992 for beta; arXiv 2604.27063 for gamma. A trace is the derivative
        of a weight by its own logarithm, what other weights do to it left out.
    """
    w, h_beta, h_gamma = state.w, state.h_beta, state.h_gamma
    delta = y - w @ x
    beta = state.beta + rule.rate_theta * delta * x * h_beta
    gamma = state.gamma + rule.decay_theta * delta * x * h_gamma
    gamma = gamma.clamp(LEAST_LOGARITHM, 0) if rule.decay_theta > 0 else state.gamma
    alpha, decay = beta.exp(), gamma.exp()
    shrink = alpha * decay if rule.coupled else decay
    kept = (1 - shrink - alpha * x**2).clamp(min=0)
    by_beta = alpha * (delta * x - decay * w) if rule.coupled else alpha * delta * x
    new = LinearState(
        w=(1 - shrink) * w + alpha * delta * x,
        beta=beta,
        gamma=gamma,
        h_beta=kept * h_beta + by_beta,
        h_gamma=kept * h_gamma - shrink * w,
    )
    return new, delta


@dataclass(frozen=True)
class NetworkState:
    """A student with what it learns by; all are name -> tensor.

    Attributes:
        p: Parameters: ``hidden.weight (width, inputs)``, ``hidden.bias (width,)``,
            ``head.weight (outputs, width)``, ``head.bias (outputs,)``.
        m: Adam's first moments.
        v: Adam's second moments.
        gamma: Logarithms of the head's decays.
        h: Traces, the derivatives of the head's parameters by gamma.
        t: Steps taken.
    """

    p: Parameters
    m: Parameters
    v: Parameters
    gamma: Parameters
    h: Parameters
    t: int = 0


def network_start(rule: NetworkRule, parameters: Parameters) -> NetworkState:
    """Return a student before its first step.

    Args:
        rule: How it learns.
        parameters: See :class:`NetworkState`.
    """
    zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
    head = {name: value for name, value in zeros.items() if name.startswith("head")}
    start = torch.tensor(rule.head_decay, dtype=torch.float64).log()
    gamma = {
        name: start.to(value.dtype).expand_as(value) for name, value in head.items()
    }
    return NetworkState(parameters, zeros, zeros, gamma, head)


def features(p: Parameters, x: Tensor) -> Tensor:
    """Return what the head reads, ``(width,)``.

    Args:
        p: Parameters of a student.
        x: Inputs, ``(inputs,)``.
    """
    return (p["hidden.weight"] @ x + p["hidden.bias"]).relu()


def outputs(p: Parameters, x: Tensor) -> Tensor:
    """Return what a student says, ``(outputs,)``.

    Args:
        p: Its parameters.
        x: Inputs, ``(inputs,)``.
    """
    return p["head.weight"] @ features(p, x) + p["head.bias"]


def network_step(
    state: NetworkState, x: Tensor, y: Tensor, rule: NetworkRule
) -> tuple[NetworkState, Tensor]:
    """Return a student after one example, and its errors before it.

    Args:
        state: Before the step.
        x: Inputs, ``(inputs,)``.
        y: Targets, ``(outputs,)``.
        rule: How it learns.

    Returns:
        The state after the step, and ``y - f(x)``, ``(outputs,)``. The loss is half the
        sum of its squares.

    Source: Kingma & Ba 2015 for Adam, as torch has it; arXiv 2604.27063 for the head.
    """
    p, t = state.p, state.t + 1
    gradients = grad(lambda p: (y - outputs(p, x)).square().sum() / 2)(p)
    squares = {"head.weight": features(p, x) ** 2, "head.bias": torch.ones_like(y)}
    new = NetworkState({}, {}, {}, {}, {}, t)
    for name, w in p.items():
        g, step = gradients[name], rule.lr * gradients[name]
        a: Tensor | float = rule.lr
        if rule.adam is not None:
            beta1, beta2, eps = rule.adam.beta1, rule.adam.beta2, rule.adam.eps
            new.m[name] = beta1 * state.m[name] + (1 - beta1) * g
            new.v[name] = beta2 * state.v[name] + (1 - beta2) * g**2
            a = rule.lr / ((new.v[name] / (1 - beta2**t)).sqrt() + eps)
            step = a * new.m[name] / (1 - beta1**t)
        decay: Tensor | float = rule.decay
        if name in state.gamma:
            gamma, h = state.gamma[name], state.h[name]
            if rule.head_theta is not None:
                gamma = (gamma - rule.head_theta * g * h).clamp(LEAST_LOGARITHM, 0)
            new.gamma[name] = gamma
            decay = rule.decay + gamma.exp()
            kept = (1 - decay - a * squares[name]).clamp(min=0)
            new.h[name] = kept * h - decay * w
        new.p[name] = (1 - decay) * w - step
    return new, y - outputs(p, x)
