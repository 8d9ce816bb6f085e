"""The figures of chapter 5, and the one that can be driven."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from isometry.adamo import relaxation_steps, singular_value_flow
from isometry.adamo.drift import kept_share
from isometry_book.c5_adamo.continual import SpectraRecord
from isometry_book.style import BLUE, GREEN, GREY, PALETTE, RC, VERMILION, method_style

LINES = ("-", "--", ":", "-.")
FLOW_LINES = 12  # curves in the driven figure; enough to see the spectrum


def spectra_over_training(ax: Axes, record: SpectraRecord, title: str) -> Axes:
    """Draw smallest, median and largest singular value of every hidden layer.

    Args:
        ax: Where to draw.
        record: Of one method; values are averaged over members.
        title: Of the panel.

    Returns:
        The axes.
    """
    values = record.singular_values.mean(1)  # (records, layers, width)
    for layer in range(values.shape[1]):
        color = (BLUE, VERMILION, GREEN, GREY)[layer % 4]
        line = LINES[layer % len(LINES)]
        low, high = values[:, layer].amin(-1), values[:, layer].amax(-1)
        middle = values[:, layer].median(-1).values
        ax.fill_between(record.steps, low, high, color=color, alpha=0.12, linewidth=0)
        for edge in (low, high):
            ax.plot(record.steps, edge, color=color, linestyle=line, linewidth=1.2)
        label = f"layer {layer + 1}"
        ax.plot(record.steps, middle, color=color, linestyle=line, label=label)
    ax.axhline(1, color=GREY, linewidth=0.8)
    ax.set_yscale("log")
    ax.set_title(title)
    ax.set_xlabel("optimiser steps")
    return ax


def accuracy_over_tasks(
    ax: Axes, records: Mapping[str, tuple[SpectraRecord, dict[str, Any]]]
) -> Axes:
    """Draw each method's online accuracy, its mean and its range over the seeds.

    Args:
        ax: Where to draw.
        records: Method's name -> its record and keywords that change its style; a
            part of the name after a colon tells two settings of a method apart.

    Returns:
        The axes.
    """
    for name, (record, override) in records.items():
        accuracy = record.online_accuracy
        tasks = torch.arange(1, len(accuracy) + 1)
        style = method_style(name.partition(":")[0], **override)
        ax.plot(tasks, accuracy.mean(1), **style)
        if accuracy.shape[1] > 1:
            low, high = accuracy.amin(1), accuracy.amax(1)
            ax.fill_between(
                tasks, low, high, color=style["color"], alpha=0.12, linewidth=0
            )
    ax.set_xlabel("task")
    ax.set_ylabel("online accuracy")
    ax.legend(fontsize=8)
    return ax


def relaxation_times(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw the relaxation time of known settings, and the length of a task beside it.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c5_adamo.strength.relaxation_table`.

    Returns:
        The axes.
    """
    rows = range(len(table))
    ax.scatter(table["relaxation_steps"], rows, color=BLUE, label="relaxation time")
    known = table["task_steps"].notna().to_numpy()
    ax.scatter(
        table["task_steps"][known].astype(float),
        [row for row in rows if known[row]],
        color=VERMILION,
        marker="|",
        s=160,
        label="steps of one task, where known",
    )
    ax.set_xscale("log")
    ax.set_yticks(list(rows), table["setting"])
    ax.invert_yaxis()
    ax.set_xlabel("optimiser steps")
    ax.legend(loc="lower right", fontsize=8)
    return ax


def regrets(ax: Axes, table: pd.DataFrame, game: bool) -> Axes:
    """Draw what each relaxation time loses to the best; Adam stands at the right.

    Args:
        ax: Where to draw.
        table: From :func:`isometry_book.c5_adamo.regret.regret_table`.
        game: Whether to draw the games or the streams of images.

    Returns:
        The axes.
    """
    shown = table[table["game"] == game]
    adam = 1e6  # where infinity is drawn
    for index, ((name, lr), own) in enumerate(
        shown.groupby(["stream", "lr"], sort=False)
    ):
        own = own.sort_values("relaxation")
        ax.plot(
            own["relaxation"].clip(upper=adam),
            100 * own["regret"],
            color=PALETTE[index],
            linestyle=LINES[index % len(LINES)],
            marker="os^vD"[index % 5],
            label=name if game else f"{name}, lr {lr:g}",
        )
    ax.set_xscale("log")
    ticks = [10.0**power for power in range(6)]
    ax.set_xticks([*ticks, adam], [f"{t:,.0f}" for t in ticks] + ["Adam"], rotation=30)
    ax.set_xlim(0.6, 1.6 * adam)
    ax.set_xlabel("relaxation time, steps")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=7)
    return ax


def pull_collapse(
    ax: Axes,
    runs: pd.DataFrame,
    column: str = "relative_deviation",
    tasks: Sequence[int] = (),
) -> Axes:
    """Draw what became of many runs over their pull, the mean over the seeds.

    Args:
        ax: Where to draw.
        runs: From :func:`isometry_book.c5_adamo.pull.pull_table`.
        column: ``relative_deviation`` or ``accuracy_gain``.
        tasks: Draw what :func:`isometry.adamo.drift.kept_share` says of these numbers
            of tasks, too.

    Returns:
        The axes.
    """
    means = runs.groupby(["lr", "isometry_strength", "steps"]).mean().reset_index()
    for index, (lr, part) in enumerate(means.groupby("lr")):
        ax.scatter(
            part["pull"],
            part[column],
            color=PALETTE[index],
            marker="os^vD"[index % 5],
            label=f"lr = {lr:g}",
            alpha=0.8,
        )
    low, high = (math.log10(f(means["pull"])) for f in (min, max))
    pull = torch.logspace(low, high, 200)
    for line, count in zip(LINES, tasks, strict=False):
        label = f"derived, {count} task" + "s" * (count > 1)
        share = kept_share(pull, count)
        ax.plot(pull, share, color="black", linestyle=line, linewidth=1, label=label)
    ax.set_xscale("log")
    ax.set_xlabel(r"pull $8\,\eta_{\mathrm{iso}}\,\lambda\,T$")
    if column == "relative_deviation":
        ax.set_ylabel("deviation / deviation without pull")
        ax.set_ylim(bottom=0)
    else:
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.set_ylabel("online accuracy, gain by the pull")
    ax.legend(fontsize=9)
    return ax


def deviations(ax: Axes, curves: Mapping[float, Tensor], method: str) -> Axes:
    """Draw the deviation of one matrix over the steps, a line for each strength.

    Args:
        ax: Where to draw.
        curves: Strength -> ``(steps + 1,)``.
        method: Gives colour and marker; ``"flow"`` is drawn thin and grey.

    Returns:
        The axes.
    """
    for index, (strength, values) in enumerate(curves.items()):
        if method == "flow":
            style: dict[str, Any] = {"color": "black", "linewidth": 0.8}
            style["label"] = "closed-form flow" if index == 0 else None
        else:
            style = method_style(method, linestyle=LINES[index % 4])
            style["label"] += f", strength {strength:.2g}"
            style["markevery"] = (10 * index, max(1, len(values) // 8))
        ax.semilogy(values, **style)
    ax.set_xlabel("optimiser steps")
    ax.set_ylabel(r"$\|\mathrm{Gram} - I\|_F$")
    return ax


def sigma_flow(ax: Axes, sigma: Tensor, strength: float, lr: float, steps: int) -> Axes:
    """Draw where the pull takes a layer's singular values in a number of steps.

    Args:
        ax: Where to draw.
        sigma: Singular values at the start, ``(d,)``.
        strength: lambda.
        lr: eta_iso.
        steps: Optimiser steps.

    Returns:
        The axes.

    Source: :func:`isometry.adamo.singular_value_flow`.
    """
    chosen = sigma[torch.linspace(0, len(sigma) - 1, FLOW_LINES).long()].double()
    time = torch.linspace(0, steps, 61, dtype=torch.float64).unsqueeze(1)
    ax.plot(
        time.expand(-1, FLOW_LINES).numpy(),
        singular_value_flow(chosen, lr * strength, time).numpy(),
        color=BLUE,
        linestyle="-",
        linewidth=1.2,
    )
    relaxation = relaxation_steps(strength, lr)
    if relaxation <= steps:
        ax.axvline(relaxation, color=VERMILION, linestyle="--")
    ax.axhline(1, color=GREY, linewidth=0.8)
    ax.set_title(f"relaxation time {relaxation:,.0f} steps", fontsize=11)
    ax.set_xlabel("optimiser steps")
    ax.set_ylabel("singular value")
    ax.set_yscale("log")
    return ax


def _flow_image(sigma: Tensor, strength: float, lr: float, steps: int) -> str:
    """Return the driven figure as an HTML image with its alternative text."""
    buffer = io.BytesIO()
    with rc_context(RC):
        figure = Figure(figsize=(6.4, 3.2))
        sigma_flow(figure.subplots(), sigma, strength, lr, steps)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    end = singular_value_flow(sigma.double(), lr * strength, steps)
    text = (
        f"Singular values of a layer under strength {strength:.2g} and learning rate "
        f"{lr:.2g}: from {sigma.min():.2f}-{sigma.max():.2f} to "
        f"{end.min():.2f}-{end.max():.2f} in {steps} steps."
    )
    alt = html.escape(text, quote=True)
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}">'


def flow_explorer(sigma: Tensor, strength: float, lr: float, steps: int) -> Any:
    """Return a widget that redraws the flow when strength or learning rate change.

    Args:
        sigma: Singular values at the start, ``(d,)``.
        strength: lambda at the start.
        lr: eta_iso at the start.
        steps: Optimiser steps.

    Returns:
        An ``ipywidgets.VBox``; without a kernel it shows its first state.
    """
    import ipywidgets

    style = {"description_width": "9em"}
    layout = ipywidgets.Layout(width="32em", max_width="100%")
    common = {"step": 0.1, "continuous_update": False, "style": style, "layout": layout}
    strengths = ipywidgets.FloatLogSlider(
        value=strength,
        min=-4,
        max=1,
        description="strength",
        tooltip="isometry strength, lambda",
        readout_format=".1e",
        **common,
    )
    rates = ipywidgets.FloatLogSlider(
        value=lr,
        min=-5,
        max=-2,
        description="learning rate",
        tooltip="learning rate of the isometry step, eta_iso",
        readout_format=".1e",
        **common,
    )
    picture = ipywidgets.HTML(_flow_image(sigma, strength, lr, steps))

    def redraw(_: Any) -> None:
        picture.value = _flow_image(sigma, strengths.value, rates.value, steps)

    for slider in (strengths, rates):
        slider.observe(redraw, names="value")
    return ipywidgets.VBox([strengths, rates, picture])
