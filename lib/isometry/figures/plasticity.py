"""Drawings of chapter 1: losing plasticity, and budgets."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isometry.figures.style import PALETTE, method_style

BAND: dict[str, Any] = {"alpha": 0.18, "linewidth": 0}


def metric_over_tasks(ax: Axes, frame: pd.DataFrame, metric: str, label: str) -> Axes:
    """Draw a metric task by task, one line a method: mean over seeds, band min to max.

    Args:
        ax: Where to draw.
        frame: Tidy numbers.
        metric: Which metric.
        label: The y axis, with the unit.

    Source: ours.
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

    Source: ours.
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
