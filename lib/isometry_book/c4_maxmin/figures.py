"""The figures of chapter 4."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

from isometry_book.style import BROWN, DASHDOT, DASHED, GREEN, GREY, SOLID, VERMILION

# One look for each kind of network in all figures of the chapter; MaxMin's and
# LayerNorm's colours are those of the methods with these names.
LOOKS: dict[str, dict[str, Any]] = {
    "maxmin": {
        "color": GREEN,
        "linestyle": SOLID,
        "marker": "v",
        "label": "MaxMin, orthogonal",
    },
    "relu": {"color": GREY, "linestyle": DASHED, "marker": "o", "label": "ReLU"},
    "relu_orthogonal": {
        "color": VERMILION,
        "linestyle": DASHDOT,
        "marker": "s",
        "label": "ReLU, orthogonal",
    },
    "relu_layernorm": {
        "color": BROWN,
        "linestyle": DASHDOT,
        "marker": "1",
        "label": "ReLU + LayerNorm",
    },
}


def against_depth(
    ax: Axes, frame: pd.DataFrame, metric: str, looks: Mapping[str, dict[str, Any]]
) -> Axes:
    """Draw a metric against depth, the task: medians, and the range over seeds.

    Args:
        ax: Where to draw.
        frame: Tidy numbers.
        metric: Which metric.
        looks: Method to keyword arguments of ``Axes.plot``; the methods to draw.
    """
    for method, look in looks.items():
        chosen = frame[(frame["method"] == method) & (frame["metric"] == metric)]
        groups = chosen.groupby("task")["value"]
        middle = groups.median()
        ax.plot(middle.index, middle.to_numpy(), **look)
        ax.fill_between(
            middle.index,
            groups.min().to_numpy(),
            groups.max().to_numpy(),
            color=look["color"],
            alpha=0.15,
            linewidth=0,
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("hidden layers")
    return ax


def jacobians(ax: Axes, frame: pd.DataFrame) -> Axes:
    """Draw the largest singular value of MaxMin and ReLU with the same weights.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``jacobians``, the task being the depth.
    """
    looks = {"maxmin": LOOKS["maxmin"], "relu": LOOKS["relu_orthogonal"]}
    against_depth(ax, frame, "largest_singular_value", looks)
    ax.set_ylabel("largest singular value")
    ax.legend()
    return ax


def precisions(ax: Axes, frame: pd.DataFrame) -> Axes:
    """Draw the deviation from one in each floating-point type.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``precisions``.
    """
    styles = zip(
        ("bfloat16", "float32", "float64"),
        (VERMILION, BROWN, GREEN),
        (DASHDOT, DASHED, SOLID),
        ("s", "o", "v"),
        strict=True,
    )
    looks = {
        name: {"color": color, "linestyle": line, "marker": marker, "label": name}
        for name, color, line, marker in styles
    }
    against_depth(ax, frame, "deviation", looks)
    ax.set_ylabel("largest deviation from one")
    ax.legend()
    return ax


def fits(ax: Axes, curves: Mapping[str, Tensor]) -> Axes:
    """Draw what each network makes of the absolute value.

    Args:
        ax: Where to draw.
        curves: ``"x"`` and one ``(points,)`` per kind of network.
    """
    x = curves["x"]
    ax.plot(x, x.abs(), color="black", linewidth=4, alpha=0.2, label="target")
    for name, values in curves.items():
        if name != "x":
            ax.plot(x, values, **{**LOOKS[name], "marker": ""})
    ax.set_xlabel("input")
    ax.set_ylabel("output")
    ax.legend()
    return ax


def critics(axes: Sequence[Axes], maps: Mapping[str, Tensor]) -> Sequence[Axes]:
    """Draw the level lines of the exact critic and of trained ones, a panel each.

    Args:
        axes: Where to draw, one for each map.
        maps: ``"axis"``, ``(points,)``, and maps ``(points, points)`` by name.
    """
    axis = maps["axis"]
    names = [name for name in maps if name != "axis"]
    for ax, name in zip(axes, names, strict=True):
        levels = np.linspace(-0.25, 2.25, 11)
        ax.contourf(axis, axis, maps[name], levels, cmap="cividis", extend="both")
        lines = ax.contour(axis, axis, maps[name], [0.5, 1], colors="white")
        ax.clabel(lines, fontsize=8)
        title = LOOKS[name]["label"] if name in LOOKS else "exact"
        ax.set_title(title)
        ax.set_aspect("equal")
        ax.grid(visible=False)
    return axes


def training(ax: Axes, frame: pd.DataFrame, chance: float) -> Axes:
    """Draw training losses over steps: seeds' mean, smoothed over ten steps, and range.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of one depth of ``deep_training``, the task being the step.
        chance: Loss of a network that knows nothing, nats.
    """
    ax.axhline(chance, color="black", linewidth=1, alpha=0.4)
    for name in frame["method"].unique():
        chosen = frame[frame["method"] == name]
        table = chosen.pivot_table(index="task", columns="seed", values="value")
        smooth = table.rolling(10, min_periods=1).mean()
        look = {**LOOKS[name], "markevery": max(1, len(smooth) // 6)}
        ax.plot(smooth.index, smooth.mean(axis=1), **look)
        ax.fill_between(
            smooth.index,
            smooth.min(axis=1),
            smooth.max(axis=1),
            color=look["color"],
            alpha=0.15,
            linewidth=0,
        )
    ax.set_xlabel("step")
    return ax


def backward_norms(ax: Axes, frame: pd.DataFrame) -> Axes:
    """Draw the factor on a gradient's length against what random rotations give.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``backward_norms``.
    """
    wide = frame.pivot_table(
        index=["method", "seed"], columns="metric", values="value"
    ).reset_index()
    styles = {"square": ("o", GREEN), "wide": ("^", BROWN), "tall": ("s", VERMILION)}
    for method, (marker, color) in styles.items():
        chosen = wide[wide["method"] == method]
        ax.plot(
            chosen["root_of_shares"],
            chosen["norm_ratio"],
            linestyle="",
            marker=marker,
            color=color,
            label=method,
        )
    line = np.linspace(0, 1, 2)
    ax.plot(line, line, color="black", linewidth=1, linestyle=DASHED)
    ax.set_xlabel("root of min(1, inputs / outputs)")
    ax.set_ylabel("length of the gradient, after / before")
    ax.legend()
    return ax


def convolution_spectra(ax: Axes, spectra: Mapping[str, Tensor]) -> Axes:
    """Draw the singular values of convolutions, over the width of their kernel.

    Args:
        ax: Where to draw.
        spectra: Label to descending values, already divided by the kernel's width.
    """
    for label, values in spectra.items():
        share = np.linspace(0, 1, len(values))
        ax.plot(share, values, label=label, marker="")
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("share of the singular values, largest first")
    ax.set_ylabel("singular value / kernel width")
    ax.legend()
    return ax


def newton_schulz_map(
    ax: Axes,
    sigma: Tensor,  # (points,)
    after: Mapping[int, Tensor],
    limit: float,
) -> Axes:
    """Draw a singular value after some iterations against where it began.

    Args:
        ax: Where to draw.
        sigma: Where it began.
        after: Number of iterations to the values ``(points,)``.
        limit: The end of the region of convergence, marked by a line.
    """
    for iterations, values in after.items():
        ax.plot(
            sigma,
            values,
            label=f"{iterations} step" + "s" * (iterations > 1),
            marker="",
        )
    ax.axvline(limit, color="black", linewidth=1, linestyle=DASHED)
    ax.set_ylim(-1.3, 1.3)
    ax.set_xlabel("singular value before")
    ax.set_ylabel("and after")
    ax.legend(loc="lower left")
    return ax
