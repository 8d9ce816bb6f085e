"""Chapter 5's figure of copies: how fast they part, and in whose training."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isometry_book.style import (
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    SOLID,
    VERMILION,
    method_style,
)

LOOKS = {"wide": (BLUE, SOLID), "square": (GREEN, DASHED), "tall": (VERMILION, DOTTED)}
DESCENT: dict[str, Any] = {
    "label": "gradient descent",
    "color": BLUE,
    "linestyle": DASHED,
}


def distances(ax: Axes, parted: dict[str, pd.DataFrame]) -> Axes:
    """Draw how far two rows are apart, over relaxation times of the pull alone.

    Args:
        ax: Where to draw.
        parted: Shape to what
            :func:`isometry_book.c5_adamo.clones.separation.parted_by_the_pull` found.

    Returns:
        The axes; the closed forms are thin grey lines under the others.
    """
    for shape, found in parted.items():
        color, line = LOOKS[shape]
        ax.plot(found["time"], found["foretold"], color=GREY, linewidth=0.8)
        ax.plot(
            found["time"], found["distance"], color=color, linestyle=line, label=shape
        )
    ax.set_yscale("log")
    ax.set_xlabel("relaxation times")
    ax.set_ylabel("distance of two rows / start")
    ax.legend(title="matrix", fontsize=9)
    return ax


def shares_apart(ax: Axes, numbers: pd.DataFrame) -> Axes:
    """Draw which share of the copies is told apart, over the steps of training.

    Args:
        ax: Where to draw.
        numbers: From
            :func:`isometry_book.c5_adamo.clones.separation.parted_in_training`.

    Returns:
        The axes: means over the seeds, bands from the lowest to the highest seed.
    """
    for name, part in numbers.groupby("method", sort=False):
        style = DESCENT if name == "sgd" else method_style(str(name), marker="")
        seeds = part.groupby("step")["apart"]
        mean = seeds.mean()
        ax.plot(mean.index, mean, **style)
        low, high = seeds.min(), seeds.max()
        ax.fill_between(
            mean.index, low, high, color=style["color"], alpha=0.12, linewidth=0
        )
    ax.set_ylim(-0.03, 1.05)
    ax.set_xlabel("steps of training")
    ax.set_ylabel("share of copies told apart")
    ax.legend(fontsize=9)
    return ax
