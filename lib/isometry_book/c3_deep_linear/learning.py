"""How chapter 3 measures learning: networks, tasks, and steps to learn them.

Everything is float64 on the CPU.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.seeding import generator
from isometry.linear import (
    deep_linear_ntk,
    draw_chain,
    end_to_end,
    gradient_descent,
    kernel_eigenvalues,
    kernel_matrix,
    learning_time,
)

# Learning rates that are tried, in units of one over the kernel's largest eigenvalue.
RATES = (0.25, 0.5, 1.0, 1.5)
# Frobenius norm of what is to be learned, over the square root of the width: small
# enough that no target has a singular value near zero when the start is orthogonal.
DISPLACEMENT = 0.25
FRACTION = 0.01


# How the networks of the depth experiment are drawn: label -> draw, drift.
DEPTH_DRAWS: dict[str, tuple[Any, float]] = {
    "orthogonal": ("orthogonal", 0.0),
    "drifted a little": ("drifted", 0.1),
    "drifted": ("drifted", 0.3),
    "gaussian": ("gaussian", 0.0),
}


def steps_to_learn(
    weights: Sequence[Tensor],  # L of (*members, d, d)
    inputs: Tensor,  # (n, d)
    change: Tensor,  # (*members, d, d)
    budget: int,
    rates: Sequence[float] = RATES,
) -> Tensor:
    """Return how many gradient steps a change of the end-to-end matrix takes.

    Every member starts where it is and must learn ``P + change``, to a hundredth of
    the initial loss, at the best of several learning rates relative to the largest
    eigenvalue of its own kernel: scale is no advantage, conditioning is.

    Args:
        weights: A chain.
        inputs: ``(n, d)``.
        change: What is to be learned, ``(*members, d_L, d_0)``.
        budget: Most steps, at least 1.
        rates: Learning rates, in units of one over that eigenvalue.

    Returns:
        ``(*members)``, steps; infinite where the budget does not suffice.
    """
    largest = kernel_eigenvalues(weights, inputs)[..., 0]
    rate = torch.tensor(rates, dtype=largest.dtype)
    rate = rate.view(-1, *[1] * largest.ndim) / largest
    copies = [weight.expand(len(rates), *weight.shape) for weight in weights]
    targets = inputs @ (end_to_end(weights) + change).mT
    _, losses = gradient_descent(
        copies, inputs, targets.expand(len(rates), *targets.shape), rate, budget
    )
    return learning_time(losses, FRACTION).amin(0)


def random_change(width: int, seeds: int) -> Tensor:
    """Return one random change of the end-to-end matrix per seed.

    Args:
        width: Size of the square matrix.
        seeds: How many.

    Returns:
        ``(seeds, width, width)``, of Frobenius norm ``DISPLACEMENT sqrt(width)``.
    """
    draws = [
        torch.randn(width, width, generator=generator(s, "change"), dtype=torch.float64)
        for s in range(seeds)
    ]
    change = torch.stack(draws)
    size = torch.linalg.matrix_norm(change)[:, None, None]
    return change / size * DISPLACEMENT * width**0.5


def chains(label: str, depth: int, width: int, seeds: int) -> list[Tensor]:
    """Return one deep linear network per seed, as a stack.

    Args:
        label: A key of :data:`DEPTH_DRAWS`.
        depth: Number of layers.
        width: Units per layer.
        seeds: How many networks.

    Returns:
        ``depth`` weights ``(seeds, width, width)``.
    """
    draw, drift = DEPTH_DRAWS[label]
    drawn = [
        draw_chain(
            [width] * (depth + 1),
            draw,
            drift=drift,
            generator=generator(seed, label, depth),
        )
        for seed in range(seeds)
    ]
    return [torch.stack(layer) for layer in zip(*drawn, strict=True)]


def slowest_change(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Return the change along the kernel's smallest eigenvalue, for identity inputs.

    Args:
        weights: A chain without stack dimensions.
        inputs: The identity ``(d_0, d_0)``, so that outputs are the product's columns.

    Returns:
        ``(d_L, d_0)``, of Frobenius norm ``DISPLACEMENT sqrt(d_0)``.

    Raises:
        ValueError: If the inputs are not the identity.
    """
    size = len(inputs)
    if not torch.equal(inputs, torch.eye(size).to(inputs)):
        raise ValueError(refusal("identity inputs", "others", "pass torch.eye(d_0)"))
    matrix = kernel_matrix(deep_linear_ntk(weights, inputs))
    direction = torch.linalg.eigh(matrix).eigenvectors[:, 0]
    return direction.view(size, -1).T * DISPLACEMENT * size**0.5
