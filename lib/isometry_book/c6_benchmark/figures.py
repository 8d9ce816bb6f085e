"""Drawings of chapter 6: streams of tasks and methods over them."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import stratified_bootstrap
from isometry.supervised.data.sets import ImageData
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import permuted, scaled
from isometry_book.style import method_style, stream_label

FIGURE_SEED = 6


def permuted_images(
    axes: Sequence[Axes], data: ImageData, settings: SupervisedSettings
) -> Sequence[Axes]:
    """Draw one test image as it is and as the first tasks show it.

    Args:
        axes: One for the image, one a task.
        data: The images.
        settings: Of the stream; only the number of images matters.
    """
    pixels = scaled(data, settings.input_scaling)
    shape = data.test_images.shape[-2:]
    for number, ax in enumerate(axes):
        image = pixels.test_inputs[0]
        if number > 0:
            task = permuted(pixels, settings, seed=0, task=number - 1)
            assert task.test_inputs is not None  # for the type checker
            image = task.test_inputs[0]
        ax.imshow(image.view(shape), cmap="gray")
        ax.set_title("the image" if number == 0 else f"task {number}")
        ax.set_axis_off()
    return axes


def methods_over_tasks(
    ax: Axes, frame: pd.DataFrame, metric: str, label: str, window: int = 1
) -> Axes:
    """Draw each method's interquartile mean over seeds with its 95 % interval.

    Args:
        ax: Where to draw.
        frame: Tidy numbers with a column ``label``, a method's name before any comma.
        metric: Which metric.
        label: The y axis, with the unit.
        window: How many tasks a point averages.
    """
    chosen = frame[frame["metric"] == metric]
    fills = ("full", "none")
    for name, numbers in chosen.groupby("label", sort=False):
        table = numbers.pivot(index="seed", columns="task", values="value")
        groups = np.arange(table.shape[1]) // window
        means = table.T.groupby(groups).mean().T
        draw = numpy_generator(FIGURE_SEED, str(name), metric)
        points = [stratified_bootstrap(means[g], draw) for g in means]
        tasks = [table.columns[groups == g].to_numpy().mean() + 1 for g in means]
        method, _, detail = str(name).partition(",")
        style = method_style(method, fillstyle=fills[bool(detail)])
        if detail:
            style["label"] += f", strength{detail}"
            style["linestyle"] = "--" if float(detail) < 0.01 else "-"
        ax.plot(tasks, [p.estimate for p in points], **style)
        low, high = [p.low for p in points], [p.high for p in points]
        ax.fill_between(tasks, low, high, color=style["color"], alpha=0.18, linewidth=0)
    ax.set(xlabel="task", ylabel=label)
    ax.legend()
    return ax


HEALTH = {  # metric -> label; in the order of panels
    "online_accuracy": "online accuracy",
    "ntk_robust_condition_number": "condition of the kernel",
    "ntk_trace": "trace of the kernel",
    "jacobian_condition_number": "condition of the Jacobian",
    "gram_deviation": "Gram deviation of the weights",
    "dormant_fraction": "dormant units",
}


def health_over_tasks(axes: Sequence[Axes], frame: pd.DataFrame) -> Sequence[Axes]:
    """Draw performance and diagnostics over tasks, a panel each, one legend.

    Args:
        axes: One for each of :data:`HEALTH`.
        frame: As for :func:`methods_over_tasks`.
    """
    looked = frame.loc[frame["metric"] == "gram_deviation", "task"].unique()
    frame = frame[frame["task"].isin(looked)]
    for ax, (metric, label) in zip(axes, HEALTH.items(), strict=True):
        methods_over_tasks(ax, frame, metric, label)
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
        if metric.startswith(("ntk", "jacobian", "gram")):
            ax.set_yscale("log")
    handles, labels = axes[0].get_legend_handles_labels()
    figure = axes[0].figure
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return axes


STREAMS = {  # case of the residual study -> method of the style, name
    "adam": ("adam", "Adam, orthogonal start"),
    "adam_default_init": ("l2", "Adam, torch's own start"),
    "adamo": ("adamo", "AdamO, orthogonal start"),
}


def stream_spread(ax: Axes, frame: pd.DataFrame, metric: str, label: str) -> Axes:
    """Draw how far a transformer's stream is from an isometry, over tasks learned.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of :mod:`isometry_book.c6_benchmark.study`.
        metric: Which metric.
        label: The y axis.
    """
    own = frame[frame["metric"] == metric]
    for case, (method, name) in STREAMS.items():
        numbers = own[own["method"] == case]
        table = numbers.pivot(index="seed", columns="task", values="value")
        draw = numpy_generator(FIGURE_SEED, case, metric)
        points = [stratified_bootstrap(table[task], draw) for task in table]
        style = method_style(method, label=name)
        ax.plot(table.columns, [p.estimate for p in points], **style)
        low, high = [p.low for p in points], [p.high for p in points]
        color = style["color"]
        ax.fill_between(table.columns, low, high, color=color, alpha=0.18, linewidth=0)
    ax.set(xlabel="tasks learned", ylabel=label)
    ax.legend(fontsize=8)
    return ax


def losses_over_blends(ax: Axes, table: pd.DataFrame, label: str) -> Axes:
    """Draw what methods lose against the length of the blend, evenly spaced.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c6_benchmark.gradual.intervals_by_blend`.
        label: The y axis.
    """
    blends = list(dict.fromkeys(table.index.get_level_values("blend")))
    for place, (method, rows) in enumerate(table.groupby(level="method", sort=False)):
        own = rows.droplevel("method").loc[blends]
        errors = [own["mean"] - own["low"], own["high"] - own["mean"]]
        style = method_style(str(method))
        places = np.arange(len(blends)) + 0.06 * (place - 1)  # bars beside each other
        ax.errorbar(places, own["mean"], yerr=errors, capsize=3, **style)
    ax.set_xticks(range(len(blends)), [str(Fraction(blend)) for blend in blends])
    ax.axhline(0, color="black", linewidth=0.8, zorder=0)
    ax.set(xlabel="share of a task that blends", ylabel=label)
    return ax


def strength_sensitivity(ax: Axes, table: pd.DataFrame, part: str = "mean") -> Axes:
    """Draw what AdamO reaches against its strength, with Adam and fresh networks.

    Args:
        ax: Where to draw.
        table: Rows of one benchmark from :func:`isometry.lab.report.summary`, whose
            AdamO rows are labelled ``adamo(isometry_strength=...)``.
        part: ``mean`` over all tasks, or the ``first`` or ``last`` fifth.

    Source: ours; the question is that of arXiv 2606.09762, Fig. 3.
    """
    start = "adamo(isometry_strength="
    rows = table[table["method"].str.startswith(start)].copy()
    rows["strength"] = rows["method"].str[len(start) : -1].astype(float)
    rows = rows.sort_values("strength")
    errors = [
        rows[part] - rows[f"{part}_low"],
        rows[f"{part}_high"] - rows[part],
    ]
    style = method_style("adamo")
    ax.errorbar(rows["strength"], rows[part], yerr=errors, capsize=3, **style)
    for method in ("adam", "fresh"):
        row = table[table["method"] == method].iloc[0]
        line = method_style(method, marker="")
        ax.axhline(row[part], **line)
        ax.axhspan(
            row[f"{part}_low"],
            row[f"{part}_high"],
            color=line["color"],
            alpha=0.15,
            linewidth=0,
        )
    ax.set(xscale="log", xlabel="strength", ylabel="online accuracy")
    ax.legend()
    return ax


def pull_sensitivity(
    ax: Axes, tables: Mapping[str, tuple[pd.DataFrame, float]], close: float
) -> Axes:
    """Draw what AdamO loses against its best strength, over the pull of a task.

    Args:
        ax: Where to draw.
        tables: Benchmark -> rows as for :func:`strength_sensitivity`, and the pull of
            strength one.
        close: A loss that still counts as robust, drawn as a band.

    Source: ours; the question is that of arXiv 2606.09762, Fig. 3.
    """
    start = "adamo(isometry_strength="
    for (benchmark, (table, pull)), marker in zip(
        tables.items(), "osD^v", strict=False
    ):
        rows = table[table["method"].str.startswith(start)]
        strength = rows["method"].str[len(start) : -1].astype(float)
        rows = rows.assign(pull=strength * pull).sort_values("pull")
        loss = rows["mean"] - rows["mean"].max()
        ax.plot(rows["pull"], loss, marker=marker, label=stream_label(benchmark))
    ax.axhspan(-close, 0, color="grey", alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="pull of a task, $8\\eta\\lambda T$")
    ax.set_ylabel("online accuracy minus the best")
    ax.legend(fontsize=8)
    return ax
