"""Whether a kernel is the network's: a comparison with one plain backward pass."""

import torch
from torch import Tensor, nn

from isometry.ntk.checks import trainable_parameters

# Inputs at which a kernel is compared.
PROBES = 8


def contradiction(
    model: nn.Module, kernel: Tensor, inputs: Tensor, other: Tensor | None
) -> float:
    """Return how far a kernel is from one plain backward pass, relative to its size.

    For random u and v, ``u^T K v`` is the inner product of the gradients of
    ``sum(u * f(x))`` and ``sum(v * f(x'))``. The two agree for all u and v only if K is
    the kernel; random ones disagree otherwise with probability one. Up to
    ``PROBES`` inputs, spread evenly, take part.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        kernel: ``(m, n, m, n2)``.
        inputs: ``(n, ...)``.
        other: ``(n2, ...)``, or None for the inputs themselves.

    Returns:
        Dimensionless; rounding leaves a few units of the dtype's precision.
    """
    parameters = list(trainable_parameters(model).values())
    draw = torch.Generator("cpu").manual_seed(0)

    rows = _spread(len(inputs))
    columns = rows if other is None else _spread(len(other))
    probed = kernel[:, rows][..., columns]

    def pull(at: Tensor) -> tuple[Tensor, list[Tensor]]:
        shape = len(at), kernel.shape[0]
        weights = torch.randn(shape, generator=draw, device="cpu").to(kernel)
        with torch.enable_grad():
            total = (model(at.detach()) * weights).sum()
            if not total.requires_grad:  # no parameter acts on the outputs
                return weights.mT.flatten(), [
                    p.new_zeros(p.numel()) for p in parameters
                ]
            parts = torch.autograd.grad(
                total, parameters, allow_unused=True, materialize_grads=True
            )
        return weights.mT.flatten(), [part.flatten() for part in parts]

    u, left = pull(inputs[rows])
    v, right = (u, left) if other is None else pull(other[columns])
    # Not products of rows: of millions of numbers those are off by 1e-3 and more.
    expected = float(sum((a * b).sum() for a, b in zip(left, right, strict=True)))
    squares = [float(sum(p.square().sum() for p in own)) for own in (left, right)]
    size = (squares[0] * squares[1]) ** 0.5
    difference = abs(float(u @ (probed.flatten(2).flatten(0, 1) @ v)) - expected)
    return difference / size if size > 0 else difference


def _spread(count: int) -> list[int]:
    """Return up to ``PROBES`` indices, from the first to the last."""
    return sorted({round(i * (count - 1) / (PROBES - 1)) for i in range(PROBES)})
