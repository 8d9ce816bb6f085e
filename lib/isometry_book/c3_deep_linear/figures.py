"""The figures of chapter 3, and its explorable."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

from isometry_book.controls import data_script
from isometry_book.style import (
    BLUE,
    DASHDOT,
    DASHED,
    DOTTED,
    GREY,
    ORANGE,
    PURPLE,
    SOLID,
    VERMILION,
)

# One look for each way of drawing the weights, in all figures of the chapter.
DRAW_STYLES: dict[str, dict[str, Any]] = {
    "orthogonal": {"color": BLUE, "linestyle": SOLID, "marker": "o"},
    "drifted a little": {"color": PURPLE, "linestyle": DASHED, "marker": "s"},
    "drifted": {"color": ORANGE, "linestyle": DASHDOT, "marker": "^"},
    "gaussian": {"color": VERMILION, "linestyle": DOTTED, "marker": "D"},
}
DASHES = {"orthogonal": "", "drifted a little": "7 4", "drifted": "8 3 2 3"}
DASHES["gaussian"] = "2 3"
# Drawing area of the explorable and its lowest decade.
LEFT, RIGHT, TOP, BOTTOM, DECADES = 56, 500, 14, 262, 12


def depth_curves(ax: Axes, frame: pd.DataFrame, metric: str) -> Axes:
    """Draw a metric against depth: the median over seeds, and every seed as a point.

    A network that did not learn within the budget has no point; a curve ends where
    more than half of its seeds did not.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``depth_and_drift``, the task being the depth.
        metric: ``"condition_number"`` or ``"steps"``.
    """
    for label, look in DRAW_STYLES.items():
        chosen = frame[(frame["method"] == label) & (frame["metric"] == metric)]
        finite = chosen[np.isfinite(chosen["value"])]
        ax.plot(
            finite["task"],
            finite["value"],
            marker=look["marker"],
            linestyle="",
            color=look["color"],
            alpha=0.35,
            markersize=4,
        )
        median = chosen.groupby("task")["value"].median()
        median = median[np.isfinite(median)]
        ax.plot(median.index, median.to_numpy(), label=label, **look)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ticks = sorted(frame["task"].unique())
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("number of layers")
    return ax


def hidden_layers(ax: Axes, frame: pd.DataFrame, conditions: Sequence[float]) -> Axes:
    """Draw the learning time of two networks with the same orthogonal product.

    Args:
        ax: Where to draw.
        frame: Tidy numbers of ``hidden_layers``, the task counting the conditions.
        conditions: Condition number of the first layer, by task.
    """
    looks = {
        ("isometric layers", "steps_slowest"): (BLUE, SOLID, "o"),
        ("isometric product", "steps_random"): (ORANGE, DASHED, "s"),
        ("isometric product", "steps_slowest"): (VERMILION, DASHDOT, "^"),
    }
    words = {"steps_random": "random direction", "steps_slowest": "slowest direction"}
    for (method, metric), (color, line, marker) in looks.items():
        chosen = frame[(frame["method"] == method) & (frame["metric"] == metric)]
        groups = chosen.groupby("task")["value"]
        low, middle, high = groups.min(), groups.median(), groups.max()
        where = words[metric] if method == "isometric product" else "any direction"
        ax.plot(
            conditions,
            middle,
            color=color,
            linestyle=line,
            marker=marker,
            label=f"{method}, {where}",
        )
        ax.fill_between(conditions, low, high, color=color, alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(conditions, [f"{condition:g}" for condition in conditions])
    ax.minorticks_off()
    ax.set_xlabel("condition number of the first layer")
    ax.set_ylabel("steps to 1 % of the loss")
    ax.legend()
    return ax


def modes(
    ax: Axes,
    times: Sequence[float],
    simulated: Tensor,  # (times, modes)
    theory: Tensor,  # (times, modes)
    targets: Sequence[float],
) -> Axes:
    """Draw singular values over time: integrated layers as points, theory as lines.

    Args:
        ax: Where to draw.
        times: Learning-rate units.
        simulated: From the flow of all layers.
        theory: From the flow of one mode.
        targets: What each mode learns.
    """
    for mode, target in enumerate(targets):
        line = ax.plot(times, theory[:, mode], label=f"target {target:g}", marker="")
        color = line[0].get_color()
        ax.plot(times, simulated[:, mode], linestyle="", marker="o", color=color)
    ax.set_xlabel("steps times learning rate")
    return ax


def input_spectra(ax: Axes, batches: Mapping[str, Tensor]) -> Axes:
    """Draw the spectrum of ``X X^T`` under each input prior, over its mean.

    Args:
        ax: Where to draw.
        batches: Label to eigenvalues ``(seeds, n)`` in descending order.
    """
    markers = ("o", "s", "^", "D", "v")
    for (label, values), marker in zip(batches.items(), markers, strict=False):
        scaled = (values / values.mean(-1, keepdim=True)).numpy()
        rank = np.arange(1, scaled.shape[-1] + 1)
        middle = np.median(scaled, 0)
        every = max(1, len(rank) // 8)
        line = ax.plot(rank, middle, label=label, marker=marker, markevery=every)
        ax.fill_between(
            rank,
            scaled.min(0),
            scaled.max(0),
            color=line[0].get_color(),
            alpha=0.15,
            linewidth=0,
        )
    ax.set_yscale("log")
    ax.set_xlabel("rank of the eigenvalue")
    ax.set_ylabel("eigenvalue / mean")
    ax.legend()
    return ax


def depth_explorable(
    spectra: Mapping[str, Mapping[int, Sequence[float]]], depth: int
) -> str:
    """Return a figure as HTML in which a slider moves through depths, without a kernel.

    The page holds all spectra; a small script redraws the curves. Without the script
    the figure stands still at the given depth and has no slider.

    Args:
        spectra: Label of a draw, then depth, to eigenvalues over the largest.
        depth: What is shown first.
    """
    depths = sorted(next(iter(spectra.values())))
    logs = {
        label: {str(key): _logs(values) for key, values in by_depth.items()}
        for label, by_depth in spectra.items()
    }
    geometry = {
        "left": LEFT,
        "right": RIGHT,
        "top": TOP,
        "bottom": BOTTOM,
        "decades": DECADES,
    }
    data = {"depths": depths, "logs": logs, "geometry": geometry}
    curves = "\n".join(
        f'<g data-draw="{label}"><polyline fill="none" stroke-width="2.2" '
        f'stroke="{look["color"]}" stroke-dasharray="{DASHES[label]}" '
        f'points="{_points(logs[label][str(depth)])}"/></g>'
        for label, look in DRAW_STYLES.items()
    )
    rows = "\n".join(
        f'<tr><th scope="row">{_key(label)} {label}</th>'
        f'<td data-condition="{label}">{_condition(logs[label][str(depth)])}</td></tr>'
        for label in DRAW_STYLES
    )
    first = depths.index(depth)
    return f"""<div class="explorable" data-explorable="depth-spectra">
<p class="explorable-controls" hidden><label for="depth-spectra-slider">Number of
layers: <output for="depth-spectra-slider">{depth}</output></label>
<input type="range" id="depth-spectra-slider" min="0" max="{len(depths) - 1}" step="1"
value="{first}" aria-valuetext="{depth} layers" style="width: 18rem"></p>
<svg viewBox="0 0 520 312" role="img" style="max-width: 40rem; width: 100%"
aria-label="Eigenvalues of the kernel over the largest, in descending order, for four
ways of drawing the weights; the table below gives their condition numbers.">
{_axes()}
{curves}
</svg>
<table aria-live="polite"><thead><tr><th scope="col">weights</th>
<th scope="col">condition number</th></tr></thead><tbody>
{rows}
</tbody></table>
{data_script(data)}
<script src="../_static/explorables/depth_spectra.js" defer></script>
</div>"""


def _logs(values: Sequence[float]) -> list[float]:
    """Return decimal logarithms to two digits, cut off at the lowest decade."""
    floor = 10.0**-DECADES
    return [round(float(np.log10(max(value, floor))), 2) for value in values]


def _points(logs: Sequence[float]) -> str:
    step = (RIGHT - LEFT) / max(1, len(logs) - 1)
    scale = (BOTTOM - TOP) / DECADES
    pairs = ((LEFT + i * step, TOP - log * scale) for i, log in enumerate(logs))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _condition(logs: Sequence[float]) -> str:
    lowest = min(logs)
    if lowest <= -DECADES:
        return f"above 10^{DECADES}"
    return f"{10**-lowest:.3g}" if lowest > -4 else f"10^{-lowest:.1f}"


def _key(label: str) -> str:
    """Return a short piece of the curve, for the table's first column."""
    look = DRAW_STYLES[label]
    return (
        '<svg width="34" height="10" aria-hidden="true"><line x1="0" y1="5" x2="34" '
        f'y2="5" stroke-width="2.5" stroke="{look["color"]}" '
        f'stroke-dasharray="{DASHES[label]}"/></svg>'
    )


def _axes() -> str:
    """Return grid, ticks and labels; the text takes the page's colour."""
    lines = []
    for decade in range(0, DECADES + 1, 3):
        y = TOP + (BOTTOM - TOP) * decade / DECADES
        power = "1" if decade == 0 else f"10^-{decade}"
        lines.append(
            f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{GREY}" stroke-opacity="0.35"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="12" '
            f'fill="currentColor">{power}</text>'
        )
    lines.append(
        f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 34}" text-anchor="middle" '
        'font-size="13" fill="currentColor">eigenvalues of the kernel, fastest '
        "first</text>"
    )
    return "\n".join(lines)
