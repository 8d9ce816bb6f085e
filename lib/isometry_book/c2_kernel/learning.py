"""The live experiments of chapter 2 in which networks are trained.

The kernel's directions and how fast each is learned; scale against condition number.
"""

from itertools import product

import pandas as pd
import torch
from torch import Tensor, nn

from isometry.core.seeding import generator
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.ntk.dynamics import (
    predicted_residuals,
    removed_along_directions,
    trained_residuals,
)
from isometry_book.c2_kernel.law import Sizes, probe_inputs
from isometry_book.c2_kernel.networks import linear_layers, network

GROUPS = 5  # groups of directions in the figure, from the fastest to the slowest
LR_SHARES = (0.5, 1.0, 1.5)  # learning rates tried, over 1 / lambda_max


def progress_along_directions(sizes: Sizes, seed: int = 0) -> pd.DataFrame:
    """Train a wide ReLU network, its linearisation, and what the kernel predicts.

    Args:
        sizes: How large.
        seed: Of weights and targets.

    Returns:
        Columns ``source`` (theory, linearised, network), ``group``, ``eigenvalue``
        (geometric mean over the group's directions, over the largest), ``step``,
        ``removed`` (fraction of the loss in those directions).

    Source: ours; arXiv 2606.09762, Sec. 2, states the proportionality.
    """
    model = network([64, *[sizes.wide] * 2, 10], seed=seed, gain=2**0.5)
    inputs = 8 * probe_inputs("images", sizes.inputs, 64, seed)
    matrix = ntk_matrix(empirical_ntk(model, inputs))
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    eigenvalues, vectors = eigenvalues.flip(0), vectors.flip(1)
    with torch.no_grad():
        start = model(inputs)
    targets = start - random_directions(1, start, seed)[0]
    lr, steps = 1 / float(eigenvalues[0]), 100
    runs = {
        "theory": predicted_residuals(matrix, (start - targets).flatten(), lr, steps),
        "linearised": trained_residuals(
            model, inputs, targets, lr, steps, linearized=True
        ),
        "network": trained_residuals(model, inputs, targets, lr, steps),
    }
    rows = []
    for group, part in enumerate(torch.arange(len(matrix)).tensor_split(GROUPS)):
        level = float((eigenvalues[part] / eigenvalues[0]).log().mean().exp())
        for source, residuals in runs.items():
            removed = removed_along_directions(residuals, vectors[:, part])
            for step, value in enumerate(removed.tolist()):
                rows.append((source, group, level, step, value))
    return pd.DataFrame(
        rows, columns=["source", "group", "eigenvalue", "step", "removed"]
    )


def random_directions(count: int, like: Tensor, seed: int) -> Tensor:
    """Return random directions of output space of norm one.

    Args:
        count: How many.
        like: ``(n, m)``, for shape and dtype.
        seed: Of the draw.

    Returns:
        ``(count, n, m)``.

    Source: ours; a task that may ask for anything.
    """
    draw = generator(seed, "kernel", "directions")
    directions = torch.randn(count, *like.shape, generator=draw, dtype=like.dtype)
    return directions / directions.flatten(1).norm(dim=1)[:, None, None]


class Scaled(nn.Module):
    """A network with a constant factor on its outputs: the kernel times its square."""

    def __init__(self, model: nn.Module, factor: float):
        """Take the network and the factor."""
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the factor times the network's outputs."""
        return self.factor * self.model(inputs)


@torch.no_grad()
def _stretched(model: nn.Sequential, spread: float) -> nn.Sequential:
    """Give every weight singular values from 1 / spread to spread; return the network.

    The values are spaced geometrically, then brought to a mean square of one, so that
    the weights keep their Frobenius norm.
    """
    for layer in linear_layers(model):
        left, values, right = torch.linalg.svd(layer.weight, full_matrices=False)
        end = torch.log(values.new_tensor(spread))
        wanted = torch.linspace(-1, 1, len(values), dtype=values.dtype).mul(end).exp()
        wanted *= values.norm() / wanted.norm()
        layer.weight.copy_(left * wanted @ right)
    return model


def scale_against_condition(sizes: Sizes, seed: int = 0) -> pd.DataFrame:
    """Train networks whose kernels differ in scale, or in condition number.

    Every network gets the learning rate of ``LR_SHARES`` that serves it best, and, for
    comparison, the one that suits the network with scale 1 and orthogonal weights.

    Args:
        sizes: How large.
        seed: Of weights and tasks.

    Returns:
        One row a network: ``family`` (scale, condition), ``trace``,
        ``condition_number``, ``robust_condition_number``, ``plasticity`` (fraction of
        the loss removed in 10 steps at the best learning rate, mean over random tasks)
        and ``plasticity_shared_lr``.

    Source: ours; the claim is arXiv 2606.09762, Sec. 2.
    """
    shape, steps = [64, 96, 96, 8], 10
    inputs = probe_inputs("white", sizes.inputs, 64, seed)
    families = [("scale", factor, 1.0) for factor in (0.1, 0.3, 1.0, 3.0, 10.0)]
    families += [("condition", 1.0, spread) for spread in (1.0, 1.5, 2.0, 4.0, 8.0)]
    reference = network(shape, "identity", seed=seed, bias_scale=None)
    whole = conditioning(ntk_matrix(empirical_ntk(reference, inputs)))
    shared = 1 / float(whole.eigenvalues[-1])
    rows = []
    for (family, factor, spread), kind in product(families, ("identity", "maxmin")):
        base = network(shape, kind, seed=seed, bias_scale=None)
        model = Scaled(_stretched(base, spread), factor)
        summary = conditioning(ntk_matrix(empirical_ntk(model, inputs)))
        largest = float(summary.eigenvalues[-1])
        with torch.no_grad():
            start = model(inputs)
        removed = {share / largest: 0.0 for share in LR_SHARES} | {shared: 0.0}
        for task in random_directions(sizes.tasks, start, seed):
            for lr in removed:
                run = trained_residuals(model, inputs, start - 0.01 * task, lr, steps)
                loss = run.square().sum(1)
                fraction = float(1 - loss[-1] / loss[0])
                # A run that diverges has learned nothing.
                removed[lr] += fraction / sizes.tasks if fraction > 0 else 0.0
        best = max(removed[share / largest] for share in LR_SHARES)
        rows.append(
            {
                "family": family,
                "activation": kind,
                "trace": summary.trace,
                "condition_number": summary.condition_number,
                "robust_condition_number": summary.robust_condition_number,
                "plasticity": best,
                "plasticity_shared_lr": removed[shared],
            }
        )
    return pd.DataFrame(rows)
