"""Drawings of chapter 7: agents that play one game after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from isometry_book.style import method_style

# Of a figure over cycles, in which more lines could not be told apart.
MAIN = ("fresh", "adam", "adamo", "adamo_maxmin")
CHANGES = {  # a changed setting -> how it is written
    "hidden_bias=False": "no biases",
    "init_gain=1.0": "start of gain one",
    "isometry_strength=0.05": "half the pull",
    "protect_value_head=False": "the value's head pulled, too",
    "nap_affine=False": "no gains and offsets",
    "l2_init_vectors=False": "weights alone",
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


def _thousands(steps: float, _: int = 0) -> str:
    """Return a number of steps as an axis has it.

    Example:
        >>> _thousands(150_000), _thousands(0)
        ('150k', '0')
    """
    return f"{steps / 1000:g}k" if steps else "0"


def learning_curves(ax: Axes, curves: pd.DataFrame, method: str, game: str) -> Axes:
    """Draw one game's return within a visit: the first, and the mean of late ones.

    Args:
        ax: Where to draw.
        curves: From :func:`isometry_book.c7_games.tables.learning_curves`.
        method: Whose.
        game: Which game; its last quarter of cycles counts as late.
    """
    own = curves[(curves["method"] == method) & (curves["game"] == game)]
    cycles = int(curves["cycle"].max()) + 1
    late = own["cycle"] >= cycles - max(1, cycles // 4)
    parts = {"first visit": own["cycle"] == 0, "last quarter of the visits": late}
    color = method_style(method)["color"]
    looks = ((":", 1.4), ("-", 2.2))
    for (name, chosen), (line, width) in zip(parts.items(), looks, strict=True):
        mean = own[chosen].groupby("env_steps")["episodic_return"].mean()
        ax.plot(
            mean.index,
            mean,
            color=color,
            linestyle=line,
            linewidth=width,
            label=name,
        )
    ax.xaxis.set_major_locator(MaxNLocator(2))
    ax.xaxis.set_major_formatter(FuncFormatter(_thousands))
    return ax


def learning_panels(
    axes: Sequence[Axes], curves: pd.DataFrame, methods: Sequence[str], game: str
) -> Sequence[Axes]:
    """Draw :func:`learning_curves` of some methods beside each other.

    Args:
        axes: One a method; they share the y axis.
        curves: From :func:`isometry_book.c7_games.tables.learning_curves`.
        methods: Their titles.
        game: Which game.
    """
    for ax, method in zip(axes, methods, strict=True):
        learning_curves(ax, curves, method, game)
        ax.set_title(method_style(method)["label"], fontsize=10)
        ax.set_xlabel("steps of a visit", fontsize=9)
    axes[0].set_ylabel(f"return, {written(game)}", fontsize=9)
    axes[0].legend(fontsize=8, handlelength=1.6, loc="upper left")
    return axes


def _lines_over_cycles(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw a number over cycles, each method's line with its band."""
    for method, rows in table.groupby("method"):
        style = method_style(str(method), markersize=4.5)
        cycles = rows["cycle"] + 1
        ax.plot(cycles, rows["mean"], **style)
        band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
        ax.fill_between(cycles, rows["low"], rows["high"], **band)
    ax.set_xlabel("cycle")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return ax


def score_over_cycles(ax: Axes, table: pd.DataFrame, title: str = "") -> Axes:
    """Draw the score over cycles, with what a random policy and a new network reach.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c7_games.tables.over_cycles`; of its methods
            :data:`MAIN` are drawn.
        title: Of the panel.

    Returns:
        The axes, without a legend: :func:`legend_above` makes one for all panels.
    """
    for level in (0, 1):
        ax.axhline(level, color="black", linewidth=0.8, zorder=1)
    right = ax.get_yaxis_transform()
    place: dict[str, Any] = {"ha": "right", "va": "bottom", "transform": right}
    ax.text(0.99, 0, "random policy", fontsize=7.5, **place)
    _lines_over_cycles(ax, table[table["method"].isin(MAIN)])
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
            label such as ``adam(hidden_bias=False)``, whose dot is hollow and whose
            change is written as in :data:`CHANGES`. Fresh
            networks become a dotted line, Adam's row a thin one.
        title: Of the panel.
    """
    rows = table.drop(index="fresh", errors="ignore")[::-1]
    labels = []
    for place, (name, row) in enumerate(rows.iterrows()):
        method, _, change = str(name).partition("(")
        fill = "none" if change else "full"
        style = method_style(method, linestyle="none", fillstyle=fill)
        change = change.rstrip(")")
        labels.append(CHANGES.get(change, change) or style["label"])
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


def drift_panels(axes: Sequence[Axes], table: pd.DataFrame) -> Sequence[Axes]:
    """Draw how far actor and critic are from isometry over cycles.

    Args:
        axes: Of the actor and of the critic.
        table: From :func:`isometry_book.c7_games.tables.diagnostics_over_cycles`.
    """
    table = table[table["diagnostic"] == "gram_deviation"]
    for ax, part in zip(axes, ("actor", "critic"), strict=True):
        own = table[(table["part"] == part) & table["method"].isin(MAIN)]
        _lines_over_cycles(ax, own)
        ax.set(yscale="log", title=part)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel("Gram deviation of hidden weights")
    return axes


def return_over_depth(ax: Axes, table: pd.DataFrame, game: str = "") -> Axes:
    """Draw the return at the end of a visit over the depth of the agent.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c7_games.variants.depth_table`, of one start.
        game: Its name, for the axis.
    """
    depths = sorted(table["depth"].unique())
    methods = list(table["method"].unique())
    for place, (method, rows) in enumerate(table.groupby("method")):
        # A little aside, so that intervals do not hide each other.
        beside = rows["depth"] * 1.035 ** (place - (len(methods) - 1) / 2)
        errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        ax.errorbar(
            beside, rows["mean"], yerr=errors, capsize=2, **method_style(method)
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.minorticks_off()
    name = f", {written(game)}" if game else ""
    ax.set(xlabel="hidden layers of actor and critic", ylabel=f"return{name}")
    ax.legend(fontsize=8)
    return ax
