"""Chapter 5: does a drift that each task draws anew explain what a run keeps?

The closed form of :mod:`isometry.adamo.drift` has no number to fit, and holds for small
deviations. For large ones the same model is simulated with the whole pull, which grows
with the singular value; its one number, the drift, is set by the run without a pull.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from isometry.adamo.drift import kept_share
from isometry.core.seeding import numpy_generator

WIDTH = 64  # singular values of a layer in the stored runs
LAYERS = 20  # simulated ones
BISECTIONS = 25


def _simulated_deviations(
    drift: float, rate: float, tasks: int, task_steps: int
) -> NDArray:
    """Simulate drifting singular values under the pull, from isometry at the start."""
    draw = numpy_generator(0, "drifting singular values")
    sigma, found = np.ones(WIDTH * LAYERS), []
    for _ in range(tasks):
        velocity = drift * draw.standard_normal(sigma.shape)
        for _ in range(task_steps):
            pull = 4 * rate * sigma * (sigma**2 - 1)
            sigma = np.abs(sigma + velocity - np.minimum(pull, sigma / 2))
        found.append(np.sqrt(WIDTH * np.mean((sigma**2 - 1) ** 2)))
    return np.array(found)


def _drift_of(deviation: float, tasks: int, task_steps: int) -> float:
    """Return the drift whose run without a pull ends at a Gram deviation."""
    low, high = 1e-7, 1.0
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        end = _simulated_deviations(middle, 0.0, tasks, task_steps)[-1]
        low, high = (middle, high) if end < deviation else (low, middle)
    return (low * high) ** 0.5


def with_models(pulls: pd.DataFrame) -> pd.DataFrame:
    """Add what the drift model says of the share of the deviation that a run keeps.

    Args:
        pulls: From :func:`isometry_book.c5_adamo.pull.pull_table`; the shortest
            length is that of one task.

    Returns:
        The table with ``closed_form``, for small deviations and with nothing fitted,
        and ``simulated``, with one drift for each learning rate.
    """
    task_steps = int(pulls["steps"].min())
    count = (pulls["steps"] / task_steps).round().astype(int)
    shares = kept_share(torch.tensor(pulls["pull"]), torch.tensor(count))
    table = pulls.assign(closed_form=shares.numpy(), simulated=np.nan)
    most = int(count.max())
    for lr, own in pulls.groupby("lr"):
        last = own[own["steps"] == own["steps"].max()]
        free = float((last["deviation"] / last["relative_deviation"]).mean())
        drift = _drift_of(free, most, task_steps)
        without = _simulated_deviations(drift, 0.0, most, task_steps)
        for strength, part in own.groupby("isometry_strength"):
            rate = float(lr) * float(strength)
            share = _simulated_deviations(drift, rate, most, task_steps) / without
            table.loc[part.index, "simulated"] = share[count[part.index] - 1]
    return table


def misses(table: pd.DataFrame, model: str) -> dict[str, float]:
    """Return how well a model foretells the share that is kept.

    Args:
        table: From :func:`with_models`.
        model: ``"closed_form"`` or ``"simulated"``.

    Returns:
        ``share``: of the variance over all runs and seeds that is foretold; and for the
        learning rates, from ``slow`` to ``fast``, the root mean square of the misses.
    """
    apart = table["relative_deviation"] - table[model]
    spread = table["relative_deviation"].var(ddof=0)
    found = {"share": 1 - float(apart.pow(2).mean() / spread)}
    rates = apart.pow(2).groupby(table["lr"]).mean() ** 0.5
    for name, value in zip(("slow", "middle", "fast"), rates, strict=True):
        found[name] = float(value)
    return found
