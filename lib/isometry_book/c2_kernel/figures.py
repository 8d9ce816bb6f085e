"""The figures of chapter 2."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor

from isometry_book.c2_kernel.foretelling import LEAST, PREDICTORS
from isometry_book.style import BLUE, GREEN, GREY, METHOD_STYLES, VERMILION

SOURCE_STYLES: dict[str, dict[str, Any]] = {
    "theory": {"color": GREY, "linestyle": "-", "linewidth": 1.2},
    "linearised": {"color": BLUE, "linestyle": "", "marker": "o", "fillstyle": "none"},
    "network": {"color": VERMILION, "linestyle": "", "marker": "x"},
}
FAMILY_STYLES: dict[tuple[str, str], dict[str, Any]] = {
    ("scale", "identity"): {"color": BLUE, "marker": "o"},
    ("scale", "maxmin"): {"color": BLUE, "marker": "s", "fillstyle": "none"},
    ("condition", "identity"): {"color": VERMILION, "marker": "^"},
    ("condition", "maxmin"): {"color": VERMILION, "marker": "v", "fillstyle": "none"},
}
FAMILY_LABELS = {
    ("scale", "identity"): "other scale, linear",
    ("scale", "maxmin"): "other scale, MaxMin",
    ("condition", "identity"): "other spectrum, linear",
    ("condition", "maxmin"): "other spectrum, MaxMin",
}
LAW_STYLES = {"relu": (VERMILION, "ReLU", "-"), "maxmin": (GREEN, "MaxMin", "--")}
PLACES = {
    "over_time": "within a network,\nover time",
    "across_seeds": "one age,\nacross seeds",
    "across_methods": "one age, across\nmethods, networks",
}
OPTIMISER_STYLES: dict[str, dict[str, Any]] = {
    "adam": {"color": BLUE, "marker": "o", "label": "by Adam", "shift": -0.15},
    "sgd": {
        "color": VERMILION,
        "marker": "s",
        "fillstyle": "none",
        "label": "by gradient descent",
        "shift": 0.2,
    },
}
WIDTH_MARKERS = ("o", "s", "^", "D", "v", "P")


def spectra(ax: Axes, eigenvalues: Mapping[str, Tensor]) -> Axes:
    """Draw the spectra of kernels, each over its own largest eigenvalue.

    Args:
        ax: Where to draw.
        eigenvalues: Label to ``(N,)``, ascending, dimensionless after scaling.
    """
    for label, values in eigenvalues.items():
        descending = values.flip(0).clamp_min(0)
        share = torch.linspace(0, 1, len(descending))
        ax.semilogy(share, descending / descending[0], label=label)
    ax.set_xlabel("share of the directions, fastest first")
    ax.set_ylabel("eigenvalue / largest")
    ax.legend()
    return ax


def progress(ax: Axes, frame: pd.DataFrame) -> Axes:
    """Draw how fast each group of the kernel's directions is learned.

    Args:
        ax: Where to draw.
        frame: From :func:`isometry_book.c2_kernel.learning.progress_along_directions`.
    """
    for source, look in SOURCE_STYLES.items():
        chosen = frame[frame["source"] == source]
        for group, one in chosen.groupby("group"):
            shown = one if source == "theory" else one.iloc[1::12]
            label = source if group == 0 else None
            ax.plot(shown["step"], shown["removed"], label=label, **look)
    for _, one in frame[frame["source"] == "theory"].groupby("group"):
        level = one["eigenvalue"].iloc[0]
        where = one[one["step"] == 18].iloc[0]
        ax.annotate(
            rf"$\lambda/\lambda_1$ = {level:.2g}",
            (where["step"], where["removed"]),
            xytext=(4, -14),
            textcoords="offset points",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    ax.set_xlabel("gradient step")
    ax.set_ylabel("fraction of the loss removed")
    ax.legend(loc="lower right")
    return ax


def scale_or_condition(ax: Axes, frame: pd.DataFrame, by: str, value: str) -> Axes:
    """Draw plasticity over a property of the kernel, one mark a network.

    Args:
        ax: Where to draw.
        frame: From :func:`isometry_book.c2_kernel.learning.scale_against_condition`.
        by: ``"trace"`` or ``"condition_number"``.
        value: ``"plasticity"`` or ``"plasticity_shared_lr"``.
    """
    for (family, activation), one in frame.groupby(["family", "activation"]):
        look = FAMILY_STYLES[family, activation]
        label = FAMILY_LABELS[family, activation]
        ax.plot(one[by], one[value], linestyle="", label=label, markersize=7, **look)
    ax.set_xscale("log")
    ax.set_ylim(-0.03, 1.05)
    names = {"trace": "trace of K", "condition_number": r"$\kappa(K)$"}
    ax.set_xlabel(names[by])
    return ax


def law(ax: Axes, frame: pd.DataFrame, fit: pd.DataFrame) -> Axes:
    """Draw the kernel's excess condition number over depth / width.

    Args:
        ax: Where to draw.
        frame: From :func:`isometry_book.c2_kernel.law.law_of`.
        fit: From ``kernel_law.law_fit``.
    """
    found = fit.set_index("activation")
    widths = sorted(frame["width"].unique())
    for activation, (color, label, line) in LAW_STYLES.items():
        chosen = frame[frame["activation"] == activation]
        for width, marker in zip(widths, WIDTH_MARKERS, strict=False):
            one = chosen[chosen["width"] == width]
            name = f"{label}, width {width}"
            ax.plot(
                one["aspect"],
                one["excess"],
                linestyle="",
                marker=marker,
                color=color,
                fillstyle="none" if activation == "maxmin" else "full",
                label=name,
            )
        x = np.geomspace(chosen["aspect"].min(), chosen["aspect"].max(), 100)
        a, p = found.loc[activation, ["a", "p"]]
        ax.plot(x, np.exp(a * x**p), color=color, linestyle=line)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("depth / width")
    ax.set_ylabel(r"$\kappa$ / its value at infinite width")
    ax.legend(fontsize=8, ncols=2)
    return ax


def over_tasks(ax: Axes, frame: pd.DataFrame, metric: str, label: str) -> Axes:
    """Draw a metric of the kernel over tasks: median and range of the middle half.

    Args:
        ax: Where to draw.
        frame: Tidy, columns ``method, seed, task, metric, value``.
        metric: Which metric.
        label: Of the vertical axis.
    """
    chosen = frame[frame["metric"] == metric]
    for method, one in chosen.groupby("method"):
        table = one.pivot_table(index="task", columns="seed", values="value")
        look = METHOD_STYLES[method].line(markevery=max(1, len(table) // 8))
        lines = ax.plot(table.index, table.median(axis=1), **look)
        low, high = table.quantile(0.25, axis=1), table.quantile(0.75, axis=1)
        color = lines[0].get_color()
        ax.fill_between(table.index, low, high, color=color, alpha=0.15, linewidth=0)
    ax.set_xlabel("task")
    ax.set_ylabel(label)
    return ax


def layer_shares(ax: Axes, frame: pd.DataFrame, metric: str, methods) -> Axes:
    """Draw which layers carry an extreme of the kernel's spectrum, at the last task.

    Args:
        ax: Where to draw.
        frame: Tidy, columns ``method, seed, task, metric, value``.
        metric: ``"top_share"``, ``"low_share"`` or ``"trace_share"``.
        methods: Which methods, in the order of the bars.
    """
    last = frame[frame["task"] == frame["task"].max()]
    names = sorted(n for n in last["metric"].unique() if n.startswith(metric))
    width = 0.8 / len(methods)
    for index, method in enumerate(methods):
        one = last[last["method"] == method]
        table = one.pivot_table(index="metric", columns="seed", values="value")
        middle = table.loc[names].median(axis=1)
        place = np.arange(len(names)) + (index - (len(methods) - 1) / 2) * width
        look = METHOD_STYLES[method]
        filled = look.linestyle == "-"  # as lines are: a fresh network's are dotted
        ax.bar(
            place,
            middle,
            width,
            label=look.label,
            facecolor=look.color if filled else "white",
            edgecolor=look.color,
            linestyle=look.linestyle,
        )
    ax.set_xticks(range(len(names)), [str(i + 1) for i in range(len(names))])
    ax.set_xlabel("layer")
    return ax


def foretold(axes: Sequence[Axes], frame: pd.DataFrame) -> None:
    """Draw how each predictor goes with what is learned next, one panel a comparison.

    A predictor's sign is turned so that to the right is as expected.

    Args:
        axes: One for each of ``foretelling.WHERE``.
        frame: From :func:`isometry_book.c2_kernel.foretelling.foretold`.
    """
    names = list(PREDICTORS)
    for ax, (place, title) in zip(axes, PLACES.items(), strict=True):
        here = frame[frame["place"] == place]
        for optimiser, look in OPTIMISER_STYLES.items():
            chosen = here[here["optimiser"] == optimiser]
            signs = np.array([PREDICTORS[n].sign for n in chosen["predictor"]], int)
            ends = chosen[["low", "high"]].to_numpy() * signs[:, None]
            middle = chosen["estimate"].to_numpy() * signs
            error = np.abs(np.sort(ends, axis=1).T - middle)
            form = dict(look)
            shift = form.pop("shift")
            height = [names.index(n) + shift for n in chosen["predictor"]]
            ax.errorbar(middle, height, xerr=error, linestyle="", capsize=2, **form)
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.axvspan(-LEAST, LEAST, color=GREY, alpha=0.12, linewidth=0)
        ax.set_xlim(-1.05, 1.05)
        ax.set_title(title, fontsize=10)
        ax.set_yticks(range(len(names)), [PREDICTORS[n].label for n in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.label_outer()
    figure = axes[0].figure
    handles, labels = axes[0].get_legend_handles_labels()
    figure.supxlabel("rank correlation; to the right as expected", fontsize=10)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))


def side_by_side(columns: int = 2, height: float = 3.2):
    """Return a figure with a row of axes.

    Args:
        columns: How many.
        height: In inches.
    """
    return plt.subplots(1, columns, figsize=(7.2, height))
