"""Drawings of chapter 6: who goes on learning, and at what level."""

import pandas as pd
from matplotlib.axes import Axes

from isometry.figures.style import method_style

# Methods whose force drives every singular value to one.
ISOMETRIC = (
    "adamo",
    "adamo_maxmin",
    "newton_schulz",
    "adam_isometry",
    "parseval",
)


def ranked_dots(
    ax: Axes, table: pd.DataFrame, order: list[str], xlabel: str, title: str = ""
) -> Axes:
    """Draw one number of each method with its interval, one row a method.

    Args:
        ax: Where to draw.
        table: Indexed by method: ``mean, low, high``.
        order: Methods from the top; those without a number have an empty row.
        xlabel: What the number is.
        title: Of the panel.

    Returns:
        The axes; names of methods in :data:`ISOMETRIC` are bold.
    """
    rows = list(reversed(order))
    for place, method in enumerate(rows):
        if method not in table.index:
            continue
        row = table.loc[method]
        style = method_style(method.split(",")[0], linestyle="none")
        if style["marker"] == "":
            style["marker"] = "o"
        if "," in method:  # the same method, chosen in another way
            style["markerfacecolor"] = "none"
        errors = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        ax.errorbar(row["mean"], place, xerr=errors, capsize=2, **style)
    ax.set_yticks(range(len(rows)), [written(method) for method in rows], fontsize=8)
    for label, method in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if method in ISOMETRIC else "normal")
    ax.set(xlabel=xlabel, title=title)
    ax.grid(axis="y", visible=False)
    return ax


def written(method: str) -> str:
    """Return how a method is written in figures.

    Args:
        method: Its name, and after a comma how it was chosen.
    """
    name, comma, rest = method.partition(",")
    return f"{method_style(name)['label']}{comma}{rest}"
