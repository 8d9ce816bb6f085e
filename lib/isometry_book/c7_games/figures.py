"""Drawings of chapter 7: agents that play one game after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from isometry_book.style import method_style

# Drawn with their bands; the others as thin lines without.
MAIN = ("fresh", "adam", "adamo", "adamo_maxmin")
DIAGNOSTICS = {  # diagnostic -> label, whether its axis is logarithmic; the columns
    "gram_deviation": ("Gram\ndeviation", True),
    "weight_condition_number": ("condition\nof weights", True),
    "dormant_fraction": ("dormant\nunits", False),
    "feature_effective_rank": ("rank of\nfeatures", False),
    "ntk_effective_rank": ("rank of\nkernel", False),
}


def written(game: str) -> str:
    """Return a game's name as a title has it.

    Args:
        game: As in the store.

    Example:
        >>> written("space_invaders")
        'Space Invaders'
    """
    return game.replace("_", " ").title()


def _shade(color: str, share: float) -> str:
    """Return a light tint of a colour for 0, a dark one for 1.

    Example:
        >>> _shade("#808080", 0.0), _shade("#808080", 1.0)
        ('#d3d3d3', '#464646')
    """
    keep, white = 0.35 + 0.2 * share, 0.65 * (1 - share)
    red, green, blue = (keep * part + white for part in to_rgb(color))
    return to_hex((red, green, blue))


def _thousands(steps: float, _: int = 0) -> str:
    """Return a number of steps as an axis has it.

    Example:
        >>> _thousands(150_000), _thousands(0)
        ('150k', '0')
    """
    return f"{steps / 1000:g}k" if steps else "0"


def learning_curves(ax: Axes, curves: pd.DataFrame, method: str, game: str) -> Axes:
    """Draw one game's return within a visit, a line a cycle, later ones darker.

    Args:
        ax: Where to draw.
        curves: From :func:`isometry_book.c7_games.tables.learning_curves`.
        method: Whose.
        game: Which game.
    """
    own = curves[(curves["method"] == method) & (curves["game"] == game)]
    color = method_style(method)["color"]
    last = max(1, int(curves["cycle"].max()))
    for cycle, rows in own.groupby("cycle"):
        ax.plot(
            rows["env_steps"],
            rows["episodic_return"],
            color=_shade(color, cycle / last),
            linestyle="-",
            linewidth=1.4,
            label=f"cycle {cycle + 1}" if cycle in (0, last) else None,
        )
    ax.xaxis.set_major_locator(MaxNLocator(2))
    ax.xaxis.set_major_formatter(FuncFormatter(_thousands))
    return ax


def learning_grid(
    axes: np.ndarray, curves: pd.DataFrame, methods: Sequence[str]
) -> np.ndarray:
    """Draw :func:`learning_curves` of all games and some methods.

    Args:
        axes: Rows are games, columns methods; those of a row share the y axis.
        curves: From :func:`isometry_book.c7_games.tables.learning_curves`.
        methods: The columns.
    """
    games = sorted(curves["game"].unique())
    for row, game in zip(axes, games, strict=True):
        for ax, method in zip(row, methods, strict=True):
            learning_curves(ax, curves, method, game)
            if game == games[0]:
                ax.set_title(method_style(method)["label"], fontsize=10)
            if game == games[-1]:
                ax.set_xlabel("steps of a visit", fontsize=9)
        row[0].set_ylabel(f"return, {written(game)}", fontsize=9)
    axes[0, 0].legend(fontsize=8, handlelength=1.2)
    return axes


def _thin_or_main(method: str) -> dict[str, Any]:
    """Return the style of a method's line: thin unless it is one of :data:`MAIN`."""
    if method in MAIN:
        return method_style(method, markersize=4.5)
    return method_style(method, linewidth=0.9, markersize=3.5)


def _lines_over_cycles(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw a number over cycles, a line a method, bands for :data:`MAIN`."""
    for method, rows in table.groupby("method"):
        style = _thin_or_main(str(method))
        cycles, above = rows["cycle"] + 1, 2.0 + (method in MAIN)
        ax.plot(cycles, rows["mean"], zorder=above, **style)
        if method in MAIN:
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
            ax.fill_between(cycles, rows["low"], rows["high"], **band)
    ax.set_xlabel("cycle")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return ax


def score_over_cycles(ax: Axes, table: pd.DataFrame, title: str = "") -> Axes:
    """Draw the score over cycles, with what a random policy and a new network reach.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c7_games.tables.over_cycles`.
        title: Of the panel.

    Returns:
        The axes, without a legend: :func:`legend_above` makes one for all panels.
    """
    for level in (0, 1):
        ax.axhline(level, color="black", linewidth=0.8, zorder=1)
    right = ax.get_yaxis_transform()
    place: dict[str, Any] = {"ha": "right", "va": "bottom", "transform": right}
    ax.text(0.99, 0, "random policy", fontsize=7.5, **place)
    _lines_over_cycles(ax, table)
    ax.set(ylabel="score at the end of a visit", title=title)
    return ax


def legend_above(axes: Sequence[Axes], ncols: int = 4) -> Sequence[Axes]:
    """Give the panels of a figure one legend above them.

    Args:
        axes: All of one figure; their lines have names.
        ncols: Names in a row.
    """
    named: dict[str, Any] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    axes[0].figure.legend(
        list(named.values()),
        list(named),
        loc="outside upper center",
        ncols=ncols,
        fontsize=9,
    )
    return axes


def score_dots(ax: Axes, table: pd.DataFrame, title: str = "") -> Axes:
    """Draw scores with intervals, one row a method or a changed run, from the top.

    Args:
        ax: Where to draw.
        table: ``mean, low, high`` in the order of the rows, indexed by a method or a
            label such as ``adam(hidden_bias=False)``, whose dot is hollow. Fresh
            networks become a dotted line, Adam's row a thin one.
        title: Of the panel.
    """
    rows = table.drop(index="fresh", errors="ignore")[::-1]
    labels = []
    for place, (name, row) in enumerate(rows.iterrows()):
        method, _, change = str(name).partition("(")
        fill = "none" if change else "full"
        style = method_style(method, linestyle="none", fillstyle=fill)
        labels.append(change.rstrip(")") if change else style["label"])
        style |= {"marker": style["marker"] or "o", "label": None}
        errors = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        ax.errorbar(row["mean"], place, xerr=errors, capsize=2, **style)
    ax.set_yticks(range(len(rows)), labels, fontsize=8)
    for method in ("adam", "fresh"):
        if method in table.index:
            line = method_style(method, marker="", linewidth=1, label=None)
            ax.axvline(table.loc[method, "mean"], zorder=1, **line)
    ax.set(xlabel="score, last quarter", title=title)
    ax.margins(y=0.08)
    ax.grid(axis="y", visible=False)
    return ax


def score_panels(
    axes: Sequence[Axes], tables: Mapping[str, pd.DataFrame]
) -> Sequence[Axes]:
    """Draw :func:`score_dots` side by side, with the rows of the first panel in all.

    Args:
        axes: One a table.
        tables: Title -> table as for :func:`score_dots`, of the same methods.
    """
    first = next(iter(tables.values()))
    for place, (ax, (title, table)) in enumerate(
        zip(axes, tables.items(), strict=True)
    ):
        score_dots(ax, table.loc[first.index], title)
        if place:
            ax.tick_params(axis="y", labelleft=False)
        ax.title.set_fontsize(10)
        ax.xaxis.label.set_fontsize(9)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    return axes


def diagnostics_grid(axes: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Draw diagnostics over cycles: a row for actor and critic each.

    Args:
        axes: ``(2, columns)``, a column for each of :data:`DIAGNOSTICS`, from the
            first on.
        table: From :func:`isometry_book.c7_games.tables.diagnostics_over_cycles`.
    """
    for row, part in zip(axes, ("actor", "critic"), strict=True):
        for ax, (name, (label, log)) in zip(row, DIAGNOSTICS.items(), strict=False):
            own = (table["part"] == part) & (table["diagnostic"] == name)
            _lines_over_cycles(ax, table[own])
            if log:
                ax.set_yscale("log")
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
                ax.yaxis.set_minor_locator(NullLocator())
            ax.tick_params(labelsize=8)
            if part == "actor":
                ax.set_title(label, fontsize=9)
                ax.set_xlabel("")
        row[0].set_ylabel(part)
    return axes


def return_over_depth(ax: Axes, table: pd.DataFrame, game: str = "") -> Axes:
    """Draw the return at the end of a visit over the depth of the agent.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c7_games.variants.depth_table`; what
            starts from torch's own initialisation is dashed and hollow.
        game: Its name, for the axis.
    """
    depths = sorted(table["depth"].unique())
    methods = list(table["method"].unique())
    for place, (label, rows) in enumerate(table.groupby("method")):
        method, _, other = str(label).partition("(")
        style = method_style(method)
        if other:
            style |= {"linestyle": "--", "fillstyle": "none"}
            style["label"] += ", torch's initialisation"
        # A little aside, so that intervals do not hide each other.
        beside = rows["depth"] * 1.035 ** (place - (len(methods) - 1) / 2)
        errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        ax.errorbar(beside, rows["mean"], yerr=errors, capsize=2, **style)
    ax.set_xscale("log", base=2)
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.minorticks_off()
    name = f", {written(game)}" if game else ""
    ax.set(xlabel="hidden layers of actor and critic", ylabel=f"return{name}")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax
