"""Chapter 5's figures of whole spectra: variants, partial measures, neighbours."""

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
from isometry_book.c5_adamo.neighbours import QUANTILES, SCHEDULES, curves
from isometry_book.c5_adamo.regulariser_variants import variant
from isometry_book.style import (
    BLUE,
    GREY,
    VERMILION,
    method_label,
    method_style,
)

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


def spectra_over_switches(ax: Axes, numbers: pd.DataFrame, name: str) -> Axes:
    """Draw the quantiles of all hidden singular values over the steps of three tasks.

    Args:
        ax: Where to draw.
        numbers: Tidy, of the neighbours' spectra; means over the seeds are drawn.
        name: The method.

    Returns:
        The axes.
    """
    color = method_style(name)["color"]
    steps = curves(numbers, name, "steps").iloc[:, 0]
    found = {key: curves(numbers, name, key).mean(axis=1) for key in QUANTILES}
    for low, high, alpha in (("smallest", "largest", 0.15), ("low", "high", 0.3)):
        ax.fill_between(
            steps, found[low], found[high], color=color, alpha=alpha, linewidth=0
        )
    for key, width in (("smallest", 0.9), ("median", 1.8), ("largest", 0.9)):
        ax.plot(steps, found[key], color=color, linestyle="-", linewidth=width)
    ax.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    _mark_switches(ax, steps)
    _readable_log(ax)
    ax.set_title(f"{method_label(name)}: {SCHEDULES[name]}", fontsize=9)
    return ax


def distance_over_switches(ax: Axes, numbers: pd.DataFrame) -> Axes:
    """Draw every method's distance from isometry over the steps of three tasks.

    Args:
        ax: Where to draw.
        numbers: Tidy, of the neighbours' spectra; means over the seeds are drawn.

    Returns:
        The axes.
    """
    for name in SCHEDULES:
        steps = curves(numbers, name, "steps").iloc[:, 0]
        mean = curves(numbers, name, "distance").mean(axis=1)
        ax.plot(steps, mean, **method_style(name, marker=""))
    _mark_switches(ax, steps)
    ax.set_title("distance from isometry, all", fontsize=9)
    return ax


def _mark_switches(ax: Axes, steps: pd.Series) -> None:
    """Draw a dotted line where a look repeats the steps of the one before."""
    for step in steps[steps.diff() == 0]:
        ax.axvline(step, color=GREY, linewidth=0.8, linestyle=":")


def accuracy_and_cost(ax: Axes, numbers: pd.DataFrame) -> Axes:
    """Draw each method's mean accuracy, at equal steps and at equal cost.

    Args:
        ax: Where to draw; an open mark is for equal steps, a full one for equal cost,
            each with the range over the seeds.
        numbers: Tidy, of the neighbours.

    Returns:
        The axes.
    """
    order = ("fresh", *SCHEDULES)
    for place, name in enumerate(order):
        own = numbers[numbers["method"] == name]
        color = method_style(name)["color"]
        for metric, shift, face in (
            ("online_accuracy", -0.14, "white"),
            ("accuracy_at_cost", 0.14, color),
        ):
            by_seed = own[own["metric"] == metric].groupby("seed")["value"].mean()
            ax.vlines(
                place + shift, by_seed.min(), by_seed.max(), color=color, linewidth=1.5
            )
            ax.scatter(
                place + shift, by_seed.mean(), color=face, edgecolor=color, zorder=3
            )
    ratio = numbers[numbers["metric"] == "time_ratio"].set_index("method")["value"]
    labels = [f"{method_label(name)}\n{ratio[name]:.2f}" for name in order]
    ax.set_xticks(range(len(order)), labels, fontsize=8)
    ax.set_ylabel("online accuracy")
    return ax
