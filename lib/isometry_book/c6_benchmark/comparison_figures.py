"""Drawings of chapter 6: all methods beside each other."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isometry.core.statistics import Interval
from isometry.methods import METHODS
from isometry_book.style import (
    FAMILIES,
    OTHERS,
    by_family,
    method_label,
    method_of,
    method_style,
    stream_label,
)

# Named in the figure of costs, whatever they cost: how far right and up, in points.
NAMED = {"adam": (6, -9), "adamo": (2, -13), "adamo_maxmin": (5, 5)}
LABEL_GAP = 0.08  # of the range of scores, between names on its line
# Methods whose force drives every singular value to one.
ISOMETRIC = tuple(method.name for method in METHODS if method.to_isometry)
ROW = 0.17  # inches, of a method
TITLES = (*FAMILIES, OTHERS)


def standings_dots(ax: Axes, table: pd.DataFrame, title: str) -> Axes:
    """Draw each method's score with its interval, one row a method, best on top.

    Args:
        ax: Where to draw.
        table: From :func:`isometry.lab.comparison.standings`. A fresh network
            becomes a dotted line, Adam's row a thin one.
        title: Of the panel.
    """
    rows = table.drop(index="fresh", errors="ignore")[::-1]
    for place, (method, row) in enumerate(rows.iterrows()):
        style = method_style(str(method), linestyle="none")
        if style["marker"] == "":
            style["marker"] = "o"
        errors = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        ax.errorbar(row["mean"], place, xerr=errors, capsize=2, **style)
    labels = [method_style(str(method))["label"] for method in rows.index]
    ax.set_yticks(range(len(rows)), labels, fontsize=8)
    for method in ("adam", "fresh"):
        if method in table.index:
            line = method_style(method, marker="", linewidth=1, label=None)
            ax.axvline(table.loc[method, "mean"], **line)
    ax.set(xlabel="online accuracy", title=title)
    ax.grid(axis="y", visible=False)
    return ax


def performance_profile_lines(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw performance profiles: the share of runs that gain more than so much.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c6_benchmark.tables.gain_performance_profiles`.

    Source: Agarwal et al. 2021.
    """
    for method, rows in table.groupby("method", sort=False):
        style = method_style(str(method), markevery=5, markersize=4)
        ax.plot(rows["threshold"], rows["fraction"], **style)
        low, high = rows["fraction_low"], rows["fraction_high"]
        color = style["color"]
        ax.fill_between(rows["threshold"], low, high, color=color, alpha=0.12, lw=0)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlabel="share of the best gain over Adam", ylabel="share of runs above")
    ax.set(xlim=(max(-1, table["threshold"].min()), None), ylim=(-0.02, 1.02))
    ax.legend(fontsize=8)
    return ax


def cost_dots(ax: Axes, scores: pd.Series, ratios: pd.Series, title: str) -> Axes:
    """Draw what each method reaches against the time of its training step.

    Args:
        ax: Where to draw.
        scores: Online accuracy by method.
        ratios: Time of a step over Adam's, by method.
        title: Of the panel.

    Returns:
        The axes; methods that none beats both in time and score are on a line. Those
        that rise well above the last name on it have names, as have :data:`NAMED`.
    """
    methods = [method for method in ratios.sort_values().index if method in scores]
    least = LABEL_GAP * (scores[methods].max() - scores[methods].min())
    front, best = [], -np.inf
    named = {method: (*place, "left") for method, place in NAMED.items()}
    labelled = -np.inf
    for method in methods:
        if scores[method] > best:
            front.append(method)
            best = scores[method]
            if best > labelled + least and method not in NAMED:
                named[method], labelled = (-5, 4, "right"), best
    line = [ratios[front], scores[front]]
    ax.step(*line, where="post", color="grey", linewidth=0.8, zorder=0)
    for method in methods:
        style = method_style(method, linestyle="none")
        if style["marker"] == "":
            style["marker"] = "o"
        ax.plot(ratios[method], scores[method], **style)
        if method in named:
            right, up, side = named[method]
            ax.annotate(
                style["label"],
                (ratios[method], scores[method]),
                xytext=(right, up),
                textcoords="offset points",
                fontsize=8,
                ha=side,
            )
    ax.set(xscale="log", xlabel="time of a step, over Adam's", title=title)
    ax.set_xlim(0.6, 7.5)
    ticks = [1, 1.5, 2, 3, 6]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylabel("online accuracy")
    return ax


def prediction_dots(
    ax: Axes, found: Mapping[str, Mapping[str, Interval]], names: Mapping[str, str]
) -> Axes:
    """Draw how each diagnostic's rank goes with that of the next task's plasticity.

    Args:
        ax: Where to draw.
        found: benchmark -> diagnostic -> correlation with its interval.
        names: Diagnostic -> how it is written; also the order of rows, from the top.
    """
    markers, height = "osD^v", 0.7
    for place, (benchmark, values) in enumerate(found.items()):
        shift = height * ((place + 0.5) / len(found) - 0.5)
        rows = [i for i, name in enumerate(names) if name in values]
        points = [values[name] for name in names if name in values]
        errors = [
            [p.estimate - p.low for p in points],
            [p.high - p.estimate for p in points],
        ]
        ax.errorbar(
            [p.estimate for p in points],
            [row + shift for row in rows],
            xerr=errors,
            linestyle="none",
            marker=markers[place],
            capsize=2,
            label=stream_label(benchmark),
        )
    ax.set_yticks(range(len(names)), list(names.values()), fontsize=9)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlabel="rank correlation with the next task's plasticity", xlim=(-1, 1))
    ax.grid(axis="y", visible=False)
    ax.legend(fontsize=8, loc="best")
    return ax


def ranked_dots(
    ax: Axes, table: pd.DataFrame, order: list[str], xlabel: str, title: str = ""
) -> Axes:
    """Draw one number of each method with its interval, one row a method.

    Args:
        ax: Where to draw.
        table: Indexed by method: ``mean, low, high``.
        order: Methods and titles of families from the top; what has no number has an
            empty row.
        xlabel: What the number is.
        title: Of the panel.

    Returns:
        The axes; names of methods in :data:`ISOMETRIC` are bold, titles italic.
    """
    rows = list(reversed(order))
    for place, method in enumerate(rows):
        if method not in table.index:
            continue
        row = table.loc[method]
        style = method_style(method_of(method), linestyle="none")
        if style["marker"] == "":
            style["marker"] = "o"
        if method_of(method) != method:  # chosen, or run, in another way
            style["markerfacecolor"] = "none"
        errors = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        ax.errorbar(row["mean"], place, xerr=errors, capsize=2, **style)
    ax.set_yticks(
        range(len(rows)), [method_label(method) for method in rows], fontsize=8
    )
    for label, method in zip(ax.get_yticklabels(), rows, strict=True):
        isometric = method_of(method) in ISOMETRIC
        label.set_fontweight("bold" if isometric else "normal")
        if method in TITLES:
            label.set(fontstyle="italic", color="#4D4D4D")
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=xlabel, ylim=(-0.7, len(rows) - 0.3))
    ax.set_title(title, fontsize=10)
    ax.grid(axis="y", visible=False)
    return ax


def streams_by_family(
    found: Mapping[str, Mapping[str, pd.DataFrame]], labels: Mapping[str, str]
) -> Figure:
    """Draw numbers of all methods of several streams, methods by family.

    Args:
        found: Stream -> number -> table, as for :func:`ranked_dots`; at least one.
        labels: Number -> how it is written; the columns of panels.

    Returns:
        The figure, narrow enough for a telephone: a row of panels a stream, as high
        as the stream has methods. A line stands at Adam's number, a dotted one at
        that of fresh networks and a thin one at zero, where they are.
    """
    first = next(iter(labels))
    orders = {
        name: [
            one
            for title, own in by_family(map(str, tables[first].index)).items()
            for one in (title, *own)
        ]
        for name, tables in found.items()
    }
    rows = [len(order) for order in orders.values()]
    fig, axes = plt.subplots(
        len(found),
        len(labels),
        squeeze=False,
        figsize=(5.8, sum(ROW * count + 0.9 for count in rows)),
        height_ratios=rows,
    )
    for panels, (name, tables) in zip(axes, found.items(), strict=True):
        for ax, (number, label) in zip(panels, labels.items(), strict=True):
            title = stream_label(name) if ax is panels[0] else ""
            ranked_dots(ax, tables[number], orders[name], label, title)
            for method in ("adam", "fresh"):
                if method in tables[number].index:
                    line = method_style(method, marker="", linewidth=1, label=None)
                    ax.axvline(tables[number].loc[method, "mean"], zorder=0, **line)
            if tables[number]["mean"].min() < 0:
                ax.axvline(0, color="black", linewidth=0.8, zorder=0)
            ax.locator_params(axis="x", nbins=3)
            if ax is not panels[0]:
                ax.set_yticklabels([])
    return fig
