"""Drawings of chapter 6: streams of tasks and methods over them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, stratified_bootstrap
from isometry.figures.style import method_style
from isometry.supervised.data import ImageData
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import permuted, scaled

FIGURE_SEED = 6
NAMED = ("adam", "adamo", "adamo_maxmin")  # in the figure of costs, whatever they cost
LABEL_GAP = 0.08  # of the range of scores, between names on its line


def permuted_images(
    axes: Sequence[Axes], data: ImageData, settings: SupervisedSettings
) -> Sequence[Axes]:
    """Draw one test image as it is and as the first tasks show it.

    Args:
        axes: One for the image, one a task.
        data: The images.
        settings: Of the stream; only the number of images matters.

    Source: ours.
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

    Source: ours.
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

    Source: ours.
    """
    looked = frame.loc[frame["metric"] == "gram_deviation", "task"].unique()
    frame = frame[frame["task"].isin(looked)]
    for ax, (metric, label) in zip(axes, HEALTH.items(), strict=True):
        methods_over_tasks(ax, frame, metric, label)
        ax.get_legend().remove()
        if metric.startswith(("ntk", "jacobian", "gram")):
            ax.set_yscale("log")
    handles, labels = axes[0].get_legend_handles_labels()
    figure = axes[0].figure
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return axes


def strength_sensitivity(ax: Axes, table: pd.DataFrame, part: str = "mean") -> Axes:
    """Draw what AdamO reaches against its strength, with Adam and fresh networks.

    Args:
        ax: Where to draw.
        table: Rows of one benchmark from :func:`isometry.experiments.summary`, whose
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


def standings_dots(ax: Axes, table: pd.DataFrame, title: str) -> Axes:
    """Draw each method's score with its interval, one row a method, best on top.

    Args:
        ax: Where to draw.
        table: From :func:`isometry.experiments.comparison.standings`. A fresh network
            becomes a dotted line, Adam's row a thin one.
        title: Of the panel.

    Source: ours.
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


def profile_lines(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw performance profiles: the share of runs that gain more than so much.

    Args:
        ax: Where to draw.
        table: From :func:`isometry.experiments.benchmark_tables.gain_profiles`.

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
    ax.set_ylim(-0.02, 1.02)
    ax.legend(fontsize=8)
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
        ax.plot(rows["pull"], loss, marker=marker, label=benchmark)
    ax.axhspan(-close, 0, color="grey", alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="pull of a task, $8\\eta\\lambda T$")
    ax.set_ylabel("online accuracy minus the best")
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

    Source: ours.
    """
    methods = [method for method in ratios.sort_values().index if method in scores]
    least = LABEL_GAP * (scores[methods].max() - scores[methods].min())
    front, best, named = [], -np.inf, dict.fromkeys(NAMED, (6, -9, "left"))
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
            *place, side = named[method]
            ax.annotate(
                style["label"],
                (ratios[method], scores[method]),
                xytext=place,
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

    Source: ours.
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
            label=benchmark,
        )
    ax.set_yticks(range(len(names)), list(names.values()), fontsize=9)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlabel="rank correlation with the next task's plasticity", xlim=(-1, 1))
    ax.grid(axis="y", visible=False)
    ax.legend(fontsize=8, loc="best")
    return ax
