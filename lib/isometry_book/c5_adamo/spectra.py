"""Chapter 5's figures of whole spectra: the variants and the partial measures."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from isometry.core.matrices import singular_values
from isometry_book.c5_adamo.drifted_network import LAYERS
from isometry_book.c5_adamo.regulariser_variants import variant
from isometry_book.style import BLUE, GREY, METHOD_STYLES, VERMILION, method_style

FLOOR = 3e-3  # singular values below are drawn here


def _readable_log(ax: Axes) -> Axes:
    """Give an axes a logarithmic scale of singular values with plain numbers on it."""
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
    _readable_log(ax)
    ax.set_title(form.label)
    ax.set_xticks(range(len(before)), LAYERS, fontsize=8)
    return ax


def spectrum_under_force(ax: Axes, numbers: pd.DataFrame, name: str) -> Axes:
    """Draw the singular values of one layer over time, under one force alone.

    Args:
        ax: Where to draw; time is linear up to ten steps and logarithmic beyond.
        numbers: Tidy numbers of the partial measures; the first seed is drawn.
        name: The measure.

    Returns:
        The axes.
    """
    rows = numbers[(numbers["method"] == name) & (numbers["seed"] == 0)]
    rows = rows[rows["metric"].str.startswith("sigma_")]
    table = rows.pivot(index="task", columns="metric", values="value")
    style = method_style(name)
    ax.plot(
        table.index,
        table.clip(lower=FLOOR),
        color=style["color"],
        linestyle="-",
        linewidth=0.8,
        alpha=0.8,
    )
    ax.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    ax.set_xscale("symlog", linthresh=10)
    ax.set_xlim(left=0)
    _readable_log(ax)
    ax.yaxis.set_major_locator(LogLocator())
    ax.set_ylim(0.6 * FLOOR, 7)
    ax.set_title(style["label"], fontsize=10)
    ax.tick_params(labelsize=8)
    return ax


def method_label(name: str) -> str:
    """Return a method's name as the figures print it; others stay as they are.

    Args:
        name: As on the command line.
    """
    return METHOD_STYLES[name].label if name in METHOD_STYLES else name
