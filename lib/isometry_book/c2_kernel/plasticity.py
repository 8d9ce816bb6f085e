"""Chapter 2: the measure of plasticity of a linearised network, by its kernel alone.

The closed forms of :mod:`isometry.ntk.dynamics` beside training that is carried out, on
the tasks along the eigenvectors of the kernel and on random ones.
"""

import pandas as pd
import torch

from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.ntk.dynamics import (
    best_constant_lr,
    removed_by_descent,
    trained_residuals,
)
from isometry_book.c2_kernel.law import probe_inputs
from isometry_book.c2_kernel.learning import random_directions
from isometry_book.c2_kernel.networks import network

SHAPE = [64, 64, 64, 2]
INPUTS = 8
BUDGETS = (1, 4, 16)
RANDOM_TASKS = 40


def plasticity_by_kernel(seed: int = 0) -> pd.DataFrame:
    """Compare what the kernel says of plasticity with linearised training.

    Args:
        seed: Of weights and tasks.

    Returns:
        One row a learning rate (``inverse``: 1 / lambda_max, ``best``: that of
        :func:`isometry.ntk.dynamics.best_constant_lr`) and budget: condition_number,
        ``worst`` and ``random`` by the closed form, ``worst_trained``, the least over
        the eigenvectors and the random tasks, and ``random_trained``, the mean over
        the random tasks.
    """
    model = network(SHAPE, "relu", seed=seed, gain=2**0.5, bias_scale=None)
    inputs = probe_inputs("white", INPUTS, SHAPE[0], seed)
    matrix = ntk_matrix(empirical_ntk(model, inputs))
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    with torch.no_grad():
        start = model(inputs)
    tasks = [v.view_as(start) for v in vectors.mT]
    tasks += list(random_directions(RANDOM_TASKS, start, seed))
    rates = {
        "inverse": 1 / float(eigenvalues[-1]),
        "best": best_constant_lr(eigenvalues),
    }
    rows = []
    for name, lr in rates.items():
        runs = [
            trained_residuals(
                model, inputs, start - task, lr, max(BUDGETS), linearized=True
            )
            for task in tasks
        ]
        loss = torch.stack(runs).square().sum(2)  # (tasks, steps + 1)
        removed = 1 - loss / loss[:, :1]
        for budget in BUDGETS:
            expected = removed_by_descent(eigenvalues, lr, budget)
            rows.append(
                {
                    "step": name,
                    "budget": budget,
                    "condition_number": conditioning(matrix).condition_number,
                    "worst": float(expected.min()),
                    "worst_trained": float(removed[:, budget].min()),
                    "random": float(expected.mean()),
                    "random_trained": float(removed[-RANDOM_TASKS:, budget].mean()),
                }
            )
    return pd.DataFrame(rows)
