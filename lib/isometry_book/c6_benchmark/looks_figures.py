"""Chapter 6's figure of the study of looks: accuracy and three diagnostics."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from isometry_book.style import method_style

PANELS: Mapping[str, str] = {
    "online_accuracy": "online accuracy",
    "duplicate": "duplicate units",
    "exponent_spread": "spread of exponents",
    "hessian_rank": "rank of the Hessian",
}


def looks_over_tasks(axes: Sequence[Axes], numbers: pd.DataFrame) -> Sequence[Axes]:
    """Draw what was seen over the tasks that a network has done, a panel a number.

    Args:
        axes: As many as :data:`PANELS`.
        numbers: From :func:`isometry_book.c6_benchmark.looks.look_numbers`.

    Returns:
        The axes: means over the seeds, bands from the lowest to the highest seed; the
        dotted line is fresh networks.
    """
    for ax, (metric, title) in zip(axes, PANELS.items(), strict=True):
        rows = numbers[numbers["metric"] == metric]
        for index, (name, part) in enumerate(rows.groupby("method", sort=False)):
            style = method_style(str(name))
            seeds = part.groupby("task")["value"]
            mean = seeds.mean()
            style["markevery"] = (index, max(1, len(mean) // 5))
            ax.plot(mean.index, mean, **style)
            low, high = seeds.min(), seeds.max()
            ax.fill_between(
                mean.index, low, high, color=style["color"], alpha=0.12, linewidth=0
            )
        fresh = rows[rows["task"] == 0]["value"].mean()
        ax.axhline(fresh, **method_style("fresh"))
        ax.set_title(title)
        ax.set_xlabel("tasks done")
    axes[0].legend(fontsize=9)
    return axes
