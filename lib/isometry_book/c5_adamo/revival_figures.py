"""Chapter 5's figures of dead units: who comes back, and when against the bound."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isometry_book.style import BLUE, GREY, VERMILION, method_style

TITLES = {
    "direction": "killed by direction",
    "bias": "by a bias just too low",
    "strong_bias": "by a bias out of reach",
}


def shares_over_steps(ax: Axes, numbers: pd.DataFrame, kill: str) -> Axes:
    """Draw which share of the killed units fires, over the steps after the killing.

    Args:
        ax: Where to draw.
        numbers: Tidy numbers of the study of revival.
        kill: How the units were killed.

    Returns:
        The axes: means over the seeds, bands from the lowest to the highest seed.
    """
    rows = numbers[numbers["benchmark"] == f"revival_{kill}"]
    rows = rows[(rows["metric"] == "fires") & (rows["task"] > 0)]
    for index, (name, part) in enumerate(rows.groupby("method", sort=False)):
        seeds = part.groupby("task")["value"]
        mean = seeds.mean()
        style = method_style(str(name))
        style["markevery"] = (index, max(1, len(mean) // 6))
        ax.plot(mean.index, mean, **style)
        ax.fill_between(
            mean.index,
            seeds.min(),
            seeds.max(),
            color=style["color"],
            alpha=0.12,
            linewidth=0,
        )
    ax.set_title(TITLES[kill])
    ax.set_ylim(-0.03, 1.05)
    ax.set_xlabel("steps after the killing")
    return ax


def bound_and_steps(ax: Axes, units: pd.DataFrame) -> Axes:
    """Draw when dead units fire against the step by which the theorem says they must.

    Args:
        ax: Where to draw.
        units: From :func:`isometry_book.c5_adamo.revival_bound.bounds`.

    Returns:
        The axes.
    """
    met = units[np.isfinite(units["bound"])]
    for killed, color, marker in (
        ("direction", BLUE, "o"),
        ("bias", VERMILION, "^"),
    ):
        part = met[met["killed"] == killed]
        ax.scatter(
            part["bound"],
            part["steps"],
            color=color,
            marker=marker,
            s=18,
            alpha=0.7,
            label=f"killed by {killed}",
        )
    ends = [1.0, 1.2 * float(met["bound"].max())]
    ax.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="the bound")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("bound, steps")
    ax.set_ylabel("first fires after, steps")
    ax.legend(fontsize=9)
    return ax
