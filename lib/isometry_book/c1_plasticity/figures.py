"""Drawings of chapter 1: losing plasticity, and budgets."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isometry_book.style import GREY, PALETTE, SKY, method_style

BAND: dict[str, Any] = {"alpha": 0.18, "linewidth": 0}


def metric_over_tasks(ax: Axes, frame: pd.DataFrame, metric: str, label: str) -> Axes:
    """Draw a metric task by task, one line a method: mean over seeds, band min to max.

    Args:
        ax: Where to draw.
        frame: Tidy numbers.
        metric: Which metric.
        label: The y axis, with the unit.
    """
    for method, numbers in frame[frame["metric"] == metric].groupby("method"):
        tasks = numbers.groupby("task")["value"]
        mean = tasks.mean()
        every = max(1, len(mean) // 10)
        style = method_style(str(method), markevery=every)
        ax.plot(mean.index + 1, mean, **style)
        ax.fill_between(
            mean.index + 1, tasks.min(), tasks.max(), color=style["color"], **BAND
        )
    ax.set(xlabel="task", ylabel=label)
    ax.legend()
    return ax


def budget_curves(ax: Axes, curves: pd.DataFrame) -> Axes:
    """Draw plasticity against the budget, one line an age of the network.

    Args:
        ax: Where to draw.
        curves: Columns ``learned``, ``steps``, ``plasticity``.
    """
    lines = ("-", "--", "-.", ":", (0, (8, 3)))
    markers = "os^Dv"
    for i, (learned, rows) in enumerate(curves.groupby("learned")):
        ax.plot(
            rows["steps"],
            rows["plasticity"],
            color=PALETTE[i],
            linestyle=lines[i],
            marker=markers[i],
            label=f"after {learned} tasks" if learned else "new network",
        )
    ax.set(xlabel="budget in steps", ylabel="plasticity", xscale="log")
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.legend()
    return ax


def control_curves(
    ax: Axes, runs: Mapping[str, pd.DataFrame], published: Mapping[str, float]
) -> Axes:
    """Draw online accuracy task by task for two activations, with published means.

    Args:
        ax: Where to draw.
        runs: ``relu`` and ``leaky_relu`` -> tidy numbers.
        published: The same keys -> published mean over all tasks, in percent; a thin
            line.
    """
    looks = {"relu": ("ReLU", GREY, "-"), "leaky_relu": ("leaky ReLU", SKY, "-.")}
    for activation, (label, color, line) in looks.items():
        frame = runs[activation]
        tasks = (
            100 * frame[frame["metric"] == "online_accuracy"].set_index("task")["value"]
        ).groupby("task")
        mean = tasks.mean()
        ax.plot(mean.index + 1, mean, color=color, linestyle=line, label=label)
        ax.fill_between(mean.index + 1, tasks.min(), tasks.max(), color=color, **BAND)
        ax.axhline(published[activation], color=color, linestyle=":", linewidth=1)
    ax.axhline(10, color="black", linewidth=0.6)
    ax.text(1, 10.8, "chance", fontsize=9)
    ax.set(xlabel="task", ylabel="online accuracy in %", ylim=(0, 100))
    ax.legend(loc="center right")
    return ax
