"""How much one diagonal entry of the kernel varies from network to network.

For ReLU networks with Gaussian weights its relative second moment grows like the
exponential of depth over width (Hanin & Nica 2020). Chapter 2 sets its law beside that.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry_book.c2_kernel.law import Sizes
from isometry_book.c2_kernel.networks import INITS

SHAPES = ((1, 64), (2, 64), (4, 64), (4, 32), (4, 16))  # hidden layers, width
BATCH = 500  # networks at a time


def _drawn_weights(
    count: int, depth: int, width: int, init: str, seed: int
) -> list[Tensor]:
    """Return the weights of many ReLU networks with one output, of gain sqrt(2)."""
    draw, weights = generator(seed, "kernel moments", init, depth, width), []
    for layer in range(depth + 1):
        out = width if layer < depth else 1
        square = torch.randn(count, width, width, generator=draw, dtype=torch.float64)
        if init == "orthogonal":
            square, upper = torch.linalg.qr(square)
            signs = upper.diagonal(dim1=-2, dim2=-1).sign()
            square = square * signs.unsqueeze(1)  # or QR would not be uniform
        else:
            square = square / width**0.5
        weights.append(2**0.5 * square[:, :out])
    return weights


def _diagonal_entries(weights: list[Tensor], one: Tensor) -> Tensor:
    """Return each ReLU network's kernel of one input with itself, without biases.

    ``sum_l |h_{l-1}|^2 |B_l|^2``.
    """
    h = one.expand(len(weights[0]), -1)
    received, gates = [h.square().sum(1)], []
    for weight in weights[:-1]:
        z = (weight @ h.unsqueeze(2)).squeeze(2)
        gates.append(z > 0)
        h = z.relu()
        received.append(h.square().sum(1))
    back = torch.ones_like(weights[-1][:, :, :1]).squeeze(2)
    total = received[-1] * back.square().sum(1)
    for index in range(len(gates) - 1, -1, -1):
        back = (back.unsqueeze(1) @ weights[index + 1]).squeeze(1) * gates[index]
        total = total + received[index] * back.square().sum(1)
    return total


def diagonal_moments(sizes: Sizes) -> pd.DataFrame:
    """Measure the relative second moment of a diagonal entry, over depth and width.

    Args:
        sizes: How many networks.

    Returns:
        Columns ``init``, ``aspect`` (depth over width) and ``log_moment``, the
        logarithm of E[K^2] / E[K]^2 over random networks.
    """
    rows = []
    for init in INITS:
        for depth, width in SHAPES:
            one = torch.zeros(width, dtype=torch.float64)
            one[0] = 1
            entries = torch.cat(
                [
                    _diagonal_entries(
                        _drawn_weights(BATCH, depth, width, init, seed), one
                    )
                    for seed in range(sizes.drawn // BATCH)
                ]
            )
            moment = entries.square().mean() / entries.mean() ** 2
            rows.append((init, depth / width, float(moment.log())))
    return pd.DataFrame(rows, columns=["init", "aspect", "log_moment"])


def moment_powers(moments: pd.DataFrame) -> dict[str, float]:
    """Return p of ``log_moment = a (depth / width)^p`` for each kind of weights.

    Args:
        moments: From :func:`diagonal_moments`.
    """
    return {
        str(init): float(
            np.polyfit(np.log(part["aspect"]), np.log(part["log_moment"]), 1)[0]
        )
        for init, part in moments.groupby("init")
    }
