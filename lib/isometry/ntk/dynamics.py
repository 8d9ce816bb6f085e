"""How the kernel moves the outputs: theory, the linearised network, the real one.

All three take full-batch gradient steps on half the squared error,
``L = 1/2 sum (f - y)^2``, whose gradient by the outputs is the residual ``r = f - y``.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp

from isometry.core.messages import refusal
from isometry.ntk.checks import check_inputs, check_model, trainable_parameters


def predicted_residuals(
    matrix: Tensor,  # (N, N)
    residual: Tensor,  # (N,)
    lr: float,
    steps: int,
) -> Tensor:
    """Return ``(I - lr K)^t r_0`` for t = 0 .. steps: what a constant kernel does.

    Along an eigenvector of eigenvalue lambda, each step leaves the factor
    ``1 - lr lambda``.

    Args:
        matrix: K, symmetric, as :func:`isometry.ntk.ntk_matrix` returns it.
        residual: r_0, in its order of outputs.
        lr: Learning rate, > 0.
        steps: How many, >= 0.

    Returns:
        ``(steps + 1, N)``.

    Source: arXiv 2606.09762, Sec. 2; Jacot et al., NeurIPS 2018.

    Example:
        >>> matrix = torch.diag(torch.tensor([1.0, 0.5]))
        >>> predicted_residuals(matrix, torch.ones(2), lr=1, steps=1)
        tensor([[1.0000, 1.0000],
                [0.0000, 0.5000]])
    """
    _check(lr, steps)
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    powers = torch.arange(steps + 1, dtype=matrix.dtype, device=matrix.device)
    factors = (1 - lr * eigenvalues) ** powers.unsqueeze(1)
    return (factors * (vectors.mT @ residual)) @ vectors.mT


def removed_by_descent(
    eigenvalues: Tensor,  # (N,)
    lr: float,
    steps: int,
) -> Tensor:
    """Return the fraction of the loss along each eigenvector that descent removes.

    ``1 - (1 - lr lambda)^(2 steps)``. The smallest is the plasticity on the worst task
    of norm one; the mean is that on a random one, whose residual has no preferred
    direction. Zero eigenvalues belong to loss that no step can remove: leave them out.

    Args:
        eigenvalues: Of the kernel, > 0.
        lr: Learning rate, > 0.
        steps: The budget B, >= 0.

    Returns:
        ``(N,)``, at most 1; negative where the steps diverge.

    Raises:
        ValueError: If learning rate or steps are out of range, or an eigenvalue is not
            positive.

    Source: Jacot et al., NeurIPS 2018, in the terms of arXiv 2606.09762, Eq. 1.

    Example:
        >>> removed_by_descent(torch.tensor([1.0, 0.5]), lr=1.0, steps=1)
        tensor([1.0000, 0.7500])
    """
    _check(lr, steps)
    if eigenvalues.numel() == 0 or not bool((eigenvalues > 0).all()):
        raise ValueError(
            refusal("positive eigenvalues", str(eigenvalues.tolist()), "drop the zeros")
        )
    return 1 - (1 - lr * eigenvalues) ** (2 * steps)


def best_constant_lr(eigenvalues: Tensor) -> float:
    """Return the constant learning rate with which the worst task does best.

    ``2 / (lambda_max + lambda_min)``: then the largest and the smallest eigenvalue
    leave the same fraction, ``((kappa - 1) / (kappa + 1))^(2 B)``.

    Args:
        eigenvalues: Of the kernel, > 0, ``(N,)``.

    Source: Polyak, Introduction to Optimization, 1987.

    Example:
        >>> best_constant_lr(torch.tensor([3.0, 1.0]))
        0.5
    """
    return 2 / float(eigenvalues.max() + eigenvalues.min())


def trained_residuals(
    model: nn.Module,
    inputs: Tensor,  # (n, ...)
    targets: Tensor,  # (n, m)
    lr: float,
    steps: int,
    *,
    linearized: bool = False,
) -> Tensor:
    """Return the residuals of a network while it trains; the model is not changed.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: The whole batch.
        targets: y.
        lr: Learning rate, > 0.
        steps: How many, >= 0.
        linearized: Train ``f_0 + J (theta - theta_0)`` instead of the network.

    Returns:
        ``(steps + 1, n * m)``, in the order of :func:`isometry.ntk.ntk_matrix`.

    Raises:
        ValueError: If learning rate or steps are out of range, or the model has no
            kernel.

    Source: Lee et al., NeurIPS 2019 (linearised networks).
    """
    _check(lr, steps)
    check_inputs(inputs, check_model(model))
    start = {name: p.detach() for name, p in trainable_parameters(model).items()}

    def outputs(values: dict[str, Tensor]) -> Tensor:
        return functional_call(model, values, (inputs,))

    at_start, pull_start, *_ = vjp(outputs, start)
    # J v as the transpose of u -> J^T u, which is linear: no forward mode is needed.
    _, push_start, *_ = vjp(lambda u: pull_start(u)[0], torch.zeros_like(at_start))
    theta, found = start, []
    for step in range(steps + 1):
        if linearized:
            moved = {name: theta[name] - start[name] for name in theta}
            said, pull = at_start + push_start(moved)[0], pull_start
        else:
            said, pull, *_ = vjp(outputs, theta)
        residual = (said - targets).detach()
        found.append(residual.flatten())
        if step < steps:
            (gradient,) = pull(residual)
            theta = {name: p - lr * gradient[name] for name, p in theta.items()}
    return torch.stack(found)


def removed_along_directions(
    residuals: Tensor,  # (steps + 1, N)
    vectors: Tensor,  # (N, k)
) -> Tensor:
    """Return the fraction of the loss in a subspace that is removed after each step.

    Args:
        residuals: Over time.
        vectors: An orthonormal basis of the subspace.

    Returns:
        ``(steps + 1,)``, 0 at first, 1 when nothing is left; negative if the loss grew.

    Example:
        >>> residuals = torch.tensor([[2.0, 5.0], [1.0, 5.0]])
        >>> removed_along_directions(residuals, torch.eye(2)[:, :1])
        tensor([0.0000, 0.7500])
    """
    energy = (residuals @ vectors).square().sum(1)
    return 1 - energy / energy[0]


def _check(lr: float, steps: int) -> None:
    if not lr > 0:
        raise ValueError(refusal("lr > 0", lr, "pass a positive learning rate"))
    if steps < 0:
        raise ValueError(refusal("steps >= 0", steps, "pass how many steps to take"))
