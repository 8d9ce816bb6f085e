"""Drawings of the forks: how much of the lost plasticity comes back with what."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import stratified_bootstrap
from isometry_book.interventions.report import INTERVENTION_NAMES, scores_of
from isometry_book.style import BLUE, GREY, method_style

LEAST_SHOWN = -2.0  # share; an arrow stands for what is further left


def shares_dots(ax: Axes, table: pd.DataFrame, age: int, label: str) -> Axes:
    """Draw which share of what was lost comes back with each intervention.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.interventions.report.returned_table`.
        age: Tasks before the one that is measured.
        label: Of what the share is.
    """
    rows = table[table["age"] == age].set_index("intervention")
    rows = rows.loc[[name for name in INTERVENTION_NAMES if name in rows.index]]
    places = np.arange(len(rows))[::-1]
    ax.axvspan(0, 1, color="0.93", zorder=0)
    for place, (name, row) in zip(places, rows.iterrows(), strict=True):
        color = BLUE if "spectrum" in str(name) else GREY
        if row["share"] < LEAST_SHOWN:
            ax.plot(LEAST_SHOWN, place, marker="<", color=color)
            continue
        errors = [[row["share"] - row["low"]], [row["high"] - row["share"]]]
        ax.errorbar(row["share"], place, xerr=errors, fmt="o", color=color, capsize=3)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(places, [INTERVENTION_NAMES[str(name)] for name in rows.index])
    ax.set(xlabel=label, xlim=(LEAST_SHOWN - 0.1, 1.8))
    return ax


def rates_lines(ax: Axes, frame: pd.DataFrame, age: int, title: str) -> Axes:
    """Draw how well worn and new networks learn the next task at every learning rate.

    Args:
        ax: Where to draw.
        frame: Tidy, of a benchmark ``interventions_<stream>``.
        age: Tasks before the one that is measured.
        title: Of the panel.
    """
    draw = numpy_generator(0, "rates", title)
    for kind, label, style in (
        ("fresh_rate_", "new network", method_style("fresh", marker="o")),
        ("rate_", f"after {age} tasks", method_style("adam", marker="s")),
    ):
        names = [n for n in frame["method"].unique() if n.startswith(kind)]
        names.sort(key=lambda name: float(name.removeprefix(kind)))
        found = [
            stratified_bootstrap(scores_of(frame, n, age, "online_accuracy"), draw)
            for n in names
        ]
        middle = [one.estimate for one in found]
        errors = [[one.estimate - one.low for one in found]]
        errors.append([one.high - one.estimate for one in found])
        rates = [float(name.removeprefix(kind)) for name in names]
        ax.errorbar(rates, middle, errors, capsize=3, **{**style, "label": label})
    ax.set(xscale="log", xlabel="learning rate", title=title)
    ax.legend()
    return ax
