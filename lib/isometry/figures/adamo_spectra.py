"""Chapter 5's figures of whole spectra: the variants and the partial measures."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from isometry.core.matrices import singular_values
from isometry.experiments.drifted_network import LAYERS
from isometry.experiments.regulariser_variants import variant
from isometry.figures.style import BLUE, GREY, VERMILION


def readable_log(ax: Axes) -> Axes:
    """Give an axes a logarithmic scale of singular values with plain numbers on it.

    Args:
        ax: Which.

    Source: ours.
    """
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    return ax


def variant_spectra(
    ax: Axes, before: Sequence[Tensor], after: Sequence[Tensor], name: str
) -> Axes:
    """Draw all singular values of each layer before and after a variant's pull.

    Args:
        ax: Where to draw.
        before: One ``(out, in)`` a layer, as in :data:`LAYERS`.
        after: The same layers after the pull.
        name: The variant; its goals are drawn as short lines.

    Returns:
        The axes.

    Source: ours.
    """
    form = variant(name)
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        looks: tuple[tuple[Tensor, float, dict[str, Any]], ...] = (
            (old, -0.17, {"color": GREY, "marker": "_"}),
            (new, 0.17, {"color": BLUE, "marker": "o"}),
        )
        for weight, shift, look in looks:
            values = singular_values(weight)
            spread = torch.linspace(-0.1, 0.1, len(values))
            ax.scatter(place + shift + spread, values, s=7, linewidth=0.8, **look)
        if form.head or place < len(before) - 1:
            goal = math.sqrt(form.target(*new.shape[-2:]))
            ax.hlines(goal, place - 0.4, place + 0.4, color=VERMILION, linewidth=1.2)
    readable_log(ax)
    ax.set_title(form.label)
    ax.set_xticks(range(len(before)), LAYERS, fontsize=8)
    return ax
