"""Learning curves over tasks: a line a method, drawn for ``isometry report --plot``."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.lab.labels import labels_of, scales_of
from isometry.lab.metrics import stored_of
from isometry.lab.report import bootstrapped_each, interval_columns
from isometry.lab.store import Source

with extra("plot"):
    from matplotlib import rc_context, rcParamsDefault
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

ENDINGS = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, as in the whole book; this floor cannot see its figures.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A4B12", "#56B4E9", "#4D4D4D")
LINES = ("-", "--", "-.", ":")
INK = "#222222"
# In inches: a panel, its least height, a line of labels, a character of them.
WIDTH, LEAST_HEIGHT, LABEL_HEIGHT, CHARACTER = 6.0, 3.6, 0.2, 0.085
TITLE = 72  # characters of a line
LABELS_AT = 1.06  # of the panel's width
OPACITY = 2.0  # of all bands of a panel together, 0.2 of each at most
LOOK: Any = {
    "svg.hashsalt": "isometry",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


def curves(path: Source, metric: str = "online_accuracy") -> pd.DataFrame:
    """Return each method's course over tasks: interquartile means with 95 % intervals.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
        metric: Which metric.

    Returns:
        Columns ``benchmark, scale, method, settings, seeds, task``, and ``mean`` with
        ``mean_low`` and ``mean_high``, which are missing where a seed has no finite
        value; the ends also where there is one seed.

    Raises:
        KeyError: If no run recorded the metric; the nearest known one is named.
        StoreError: If there is nothing under ``path``, or nothing that can be read.

    Source: Agarwal et al. 2021 for the statistics.
    """
    stored = stored_of(path, metric)
    labels, scales = labels_of(stored.records), scales_of(stored.records)
    parts = list(stored.frame.groupby(["benchmark", "settings", "task"], sort=True))
    # The same draws for all tasks: a band changes with the scores alone.
    sets = [
        (part["value"].to_numpy(), (benchmark, labels[name], metric))
        for (benchmark, name, _), part in parts
    ]
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "scale": scales[name],
            "method": labels[name],
            "settings": name,
            "seeds": len(part),
            "task": task,
            **interval_columns("mean", interval),
        }
        for ((benchmark, name, task), part), interval in zip(
            parts, bootstrapped_each(sets), strict=True
        )
    )


def check_picture(file: Path) -> None:
    """Raise a ValueError unless a file's ending is that of a kind of picture.

    Args:
        file: Where a picture is to go.
    """
    if file.suffix.lower() not in ENDINGS:
        needed = f"a file that ends with {', '.join(ENDINGS)}"
        raise ValueError(refusal(needed, str(file), "pass e.g. curves.svg"))


def draw(path: Source, file: Path, metric: str = "online_accuracy") -> None:
    """Write a picture of :func:`curves`, one panel a benchmark and scale.

    The same store gives the same bytes.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
        file: Ends with .png, .svg or .pdf.
        metric: Which metric.

    Raises:
        KeyError: If no run recorded the metric; the nearest known one is named.
        OSError: If the file cannot be written.
        StoreError: If there is nothing under ``path``, or nothing that can be read.
        ValueError: If the file has another ending.
    """
    check_picture(file)
    found = curves(path, metric)
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with rc_context({**rcParamsDefault, **LOOK}):
        picture = _figure(found, metric)
        metadata = undated.get(file.suffix.lower())
        picture.savefig(file, dpi=150, metadata=metadata)


def _figure(found: pd.DataFrame, metric: str) -> Figure:
    """Return the panels, one above the other."""
    parts = list(found.groupby(["benchmark", "scale"], sort=True))
    heights = [
        max(LEAST_HEIGHT, LABEL_HEIGHT * part["settings"].nunique() + 1)
        for _, part in parts
    ]
    width = WIDTH + CHARACTER * found["method"].map(len).max()
    figure = Figure(figsize=(width, sum(heights) + 0.4), layout="constrained")
    panels = figure.subplots(
        len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for ((benchmark, scale), part), ax, height in zip(
        parts, panels[:, 0], heights, strict=True
    ):
        title = f"{benchmark}, {scale}" if scale else str(benchmark)
        ax.set_title(fill(title, TITLE), loc="left", color=INK, fontsize=11)
        ax.set_ylabel(metric.replace("_", " "))
        _courses(ax, part, LABEL_HEIGHT / height)
    low, high = found["seeds"].min(), found["seeds"].max()
    seeds = f"{low}" if low == high else f"{low} to {high}"
    shown = "one seed" if high == 1 else f"interquartile mean over {seeds} seeds"
    bands = "" if high == 1 else "; band: 95 % bootstrap interval"
    figure.supxlabel(f"{shown}{bands}", fontsize=9, color=INK)
    return figure


def _courses(ax: Axes, part: pd.DataFrame, spacing: float) -> Axes:
    """Draw a line a method with its band, named at its end, the best on top."""
    ends = {}
    opacity = min(0.2, OPACITY / part["method"].nunique())
    for index, (name, course) in enumerate(_ordered(part)):
        style: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "linestyle": LINES[index // len(COLOURS) % len(LINES)],
        }
        tasks, band = course["task"] + 1, (course["mean_low"], course["mean_high"])
        ax.plot(tasks, course["mean"], linewidth=1.6, **style)
        ax.fill_between(tasks, *band, color=style["color"], alpha=opacity, linewidth=0)
        if len(course) == 1:  # one task makes neither line nor band
            ax.plot(tasks, course["mean"], marker="o", color=style["color"])
            ax.vlines(tasks, *band, color=style["color"], alpha=0.5)
        known = course.dropna(subset=["mean"])
        if not known.empty:
            ends[name] = (known["task"].iloc[-1] + 1, known["mean"].iloc[-1], style)
    ax.set_xlabel("task")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    ax.margins(x=0.01)
    low, high = ax.get_ylim()
    heights = [(value - low) / (high - low) for _, value, _ in ends.values()]
    for (name, (task, value, style)), height in zip(
        ends.items(), _spread(heights, spacing), strict=True
    ):
        ax.annotate(
            name,
            xy=(task, value),
            xytext=(LABELS_AT, height),
            textcoords="axes fraction",
            verticalalignment="center",
            color=INK,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "shrinkB": 0, **style},
        )
    return ax


def _ordered(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the methods of a panel with their courses, the highest end first."""
    courses = dict(list(part.groupby("method", sort=True)))
    last = {name: course["mean"].iloc[-1] for name, course in courses.items()}
    for name in sorted(courses, key=lambda n: (pd.isna(last[n]), -last[n])):
        yield name, courses[name]


def _spread(heights: list[float], spacing: float) -> list[float]:
    """Return descending heights, moved so far that neighbours have their distance.

    Example:
        >>> _spread([0.75, 0.75, 0.25], 0.25)
        [1.0, 0.75, 0.25]
    """
    placed: list[float] = []
    for height in reversed(heights):
        placed.append(max(height, placed[-1] + spacing) if placed else height)
    over = max(placed, default=0.0) - 1.0
    for index in range(len(placed) - 1, -1, -1) if over > 0 else ():
        above = placed[index + 1] - spacing if index + 1 < len(placed) else 1.0
        placed[index] = min(placed[index], above)
    return placed[::-1]
