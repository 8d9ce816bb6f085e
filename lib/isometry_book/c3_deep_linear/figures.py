"""The figures of chapter 3."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

from isometry_book.style import (
    BLUE,
    DASHDOT,
    DASHED,
    DOTTED,
    ORANGE,
    PURPLE,
    SOLID,
    VERMILION,
)

# One look for each way of drawing the weights, in all figures of the chapter.
DRAW_STYLES: dict[str, dict[str, Any]] = {
    "orthogonal": {"color": BLUE, "linestyle": SOLID, "marker": "o"},
    "drifted a little": {"color": PURPLE, "linestyle": DASHED, "marker": "s"},
    "drifted": {"color": ORANGE, "linestyle": DASHDOT, "marker": "^"},
    "gaussian": {"color": VERMILION, "linestyle": DOTTED, "marker": "D"},
}


def depth_curves(ax: Axes, frame: pd.DataFrame, metric: str) -> Axes:
    """Draw a metric against depth: the median over seeds, and every seed as a point.

    A network that did not learn within the budget has no point; a curve ends where
    more than half of its seeds did not.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``depth_and_drift``, the task being the depth.
        metric: ``"condition_number"`` or ``"steps"``.
    """
    for label, look in DRAW_STYLES.items():
        chosen = frame[(frame["method"] == label) & (frame["metric"] == metric)]
        finite = chosen[np.isfinite(chosen["value"])]
        ax.plot(
            finite["task"],
            finite["value"],
            marker=look["marker"],
            linestyle="",
            color=look["color"],
            alpha=0.35,
            markersize=4,
        )
        median = chosen.groupby("task")["value"].median()
        median = median[np.isfinite(median)]
        ax.plot(median.index, median.to_numpy(), label=label, **look)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ticks = sorted(frame["task"].unique())
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("number of layers")
    return ax


def hidden_layers(ax: Axes, frame: pd.DataFrame, conditions: Sequence[float]) -> Axes:
    """Draw the learning time of two networks with the same orthogonal product.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``hidden_layers``, the task counting the conditions.
        conditions: Condition number of the first layer, by task.
    """
    looks = {
        ("isometric layers", "steps_slowest"): (BLUE, SOLID, "o"),
        ("isometric product", "steps_random"): (ORANGE, DASHED, "s"),
        ("isometric product", "steps_slowest"): (VERMILION, DASHDOT, "^"),
    }
    words = {"steps_random": "random direction", "steps_slowest": "slowest direction"}
    for (method, metric), (color, line, marker) in looks.items():
        chosen = frame[(frame["method"] == method) & (frame["metric"] == metric)]
        groups = chosen.groupby("task")["value"]
        low, middle, high = groups.min(), groups.median(), groups.max()
        where = words[metric] if method == "isometric product" else "any direction"
        ax.plot(
            conditions,
            middle,
            color=color,
            linestyle=line,
            marker=marker,
            label=f"{method}, {where}",
        )
        ax.fill_between(conditions, low, high, color=color, alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(conditions, [f"{condition:g}" for condition in conditions])
    ax.minorticks_off()
    ax.set_xlabel("condition number of the first layer")
    ax.set_ylabel("steps to 1 % of the loss")
    ax.legend()
    return ax


def modes(
    ax: Axes,
    times: Sequence[float],
    simulated: Tensor,  # (times, modes)
    theory: Tensor,  # (times, modes)
    targets: Sequence[float],
) -> Axes:
    """Draw singular values over time: integrated layers as points, theory as lines.

    Args:
        ax: Where to draw.
        times: Learning-rate units.
        simulated: From the flow of all layers.
        theory: From the flow of one mode.
        targets: What each mode learns.
    """
    for mode, target in enumerate(targets):
        line = ax.plot(times, theory[:, mode], label=f"target {target:g}", marker="")
        color = line[0].get_color()
        ax.plot(times, simulated[:, mode], linestyle="", marker="o", color=color)
    ax.set_xlabel("steps times learning rate")
    return ax


def input_spectra(ax: Axes, batches: Mapping[str, Tensor]) -> Axes:
    """Draw the spectrum of ``X X^T`` under each input prior, over its mean.

    Args:
        ax: Where to draw.
        batches: Label to eigenvalues ``(seeds, n)`` in descending order.
    """
    markers = ("o", "s", "^", "D", "v")
    for (label, values), marker in zip(batches.items(), markers, strict=False):
        scaled = (values / values.mean(-1, keepdim=True)).numpy()
        rank = np.arange(1, scaled.shape[-1] + 1)
        middle = np.median(scaled, 0)
        every = max(1, len(rank) // 8)
        line = ax.plot(rank, middle, label=label, marker=marker, markevery=every)
        ax.fill_between(
            rank,
            scaled.min(0),
            scaled.max(0),
            color=line[0].get_color(),
            alpha=0.15,
            linewidth=0,
        )
    ax.set_yscale("log")
    ax.set_xlabel("rank of the eigenvalue")
    ax.set_ylabel("eigenvalue / mean")
    ax.legend()
    return ax
