"""The figures of chapter 2."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from torch import Tensor


def spectra(ax: Axes, eigenvalues: Mapping[str, Tensor]) -> Axes:
    """Draw the spectra of kernels, each over its own largest eigenvalue.

    Args:
        ax: Where to draw.
        eigenvalues: Label to ``(N,)``, ascending, dimensionless after scaling.

    Source: ours.
    """
    for label, values in eigenvalues.items():
        descending = values.flip(0).clamp_min(0)
        share = torch.linspace(0, 1, len(descending))
        ax.semilogy(share, descending / descending[0], label=label)
    ax.set_xlabel("share of the directions, fastest first")
    ax.set_ylabel("eigenvalue / largest")
    ax.legend()
    return ax
