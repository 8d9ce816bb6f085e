"""An explorable of chapter 5: one slider moves through fifty tasks of stored runs.

Accuracy, singular values, kernel and dead units move together, Adam beside AdamO and a
fresh network. The page holds where each curve is and what it says at each task.
"""

from dataclasses import dataclass
from math import log10
from pathlib import Path

import pandas as pd

from isometry.lab.store import load_results
from isometry_book.c2_kernel.study import BENCHMARK, PROBES
from isometry_book.controls import (
    EXPLORE,
    PLAY,
    Example,
    data_script,
    digits,
    examples,
    label,
    line_key,
    polyline,
    question,
    slider,
    superscript,
)

METHODS = {
    "adam": ("Adam", "book-adam", ""),
    "adamo": ("AdamO", "book-blue", "7 3"),
    "fresh": ("fresh", "book-vermilion", "2 3"),
}
Medians = dict[str, dict[str, list[float]]]  # metric, method -> one number a task


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """What one drawing shows.

    Attributes:
        metric: As stored.
        title: Above it.
        short: At the head of the table's column.
        ticks: Values that are marked, with what is written there.
        log: Whether the scale is logarithmic.
    """

    metric: str
    title: str
    short: str
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def height(self, value: float) -> float:
        """Return where a value lies, in the drawing's own units, within its ends."""
        low, high = self.ticks[0][0], self.ticks[-1][0]
        if self.log:
            low, high, value = log10(low), log10(high), log10(value)
        part = min(max((value - low) / (high - low), 0.0), 1.0)
        return BOTTOM - (BOTTOM - TOP) * part

    def text(self, value: float) -> str:
        """Return a value as the table has it."""
        return digits(value) if self.log else f"{100 * value:.0f} %"


SHARES = ((0.0, "0"), (0.5, "50 %"), (1.0, "100 %"))
PANELS = (
    _Panel(metric="online_accuracy", title="accuracy", short="accuracy", ticks=SHARES),
    _Panel(
        metric="weight_condition_number",
        title="spread of the weights",
        short="spread",
        ticks=((1, "1"), (10, "10"), (100, "100")),
        log=True,
    ),
    _Panel(
        metric="ntk_robust_condition_number",
        title="condition of the kernel",
        short="kernel",
        ticks=tuple((10.0**n, f"10{superscript(n)}") for n in (1, 5, 9, 14)),
        log=True,
    ),
    _Panel(metric="dead_fraction", title="dead units", short="dead", ticks=SHARES),
)
LEFT, RIGHT, TOP, BOTTOM = 42, 192, 26, 122  # of the curves, in a drawing's own units


def medians(frame: pd.DataFrame) -> Medians:
    """Return the median over seeds of what is shown, at each task.

    Args:
        frame: From :func:`runs`.
    """
    found = frame.groupby(["metric", "method", "task"])["value"].median()
    return {
        panel.metric: {
            method: found[panel.metric, method].sort_index().tolist()
            for method in METHODS
        }
        for panel in PANELS
    }


def first_losses(shown: Medians) -> dict[str, int]:
    """Return the first task at which Adam is worse than a fresh network by a margin.

    Args:
        shown: From :func:`medians`.

    Returns:
        ``spread``, ``kernel`` (four times a fresh network's) and ``accuracy`` (a tenth
        below a fresh network's), counted from one.

    Raises:
        StopIteration: If there is no such task.
    """

    def first(metric: str, factor: float, more: float) -> int:
        pairs = zip(shown[metric]["adam"], shown[metric]["fresh"], strict=True)
        sign = 1 if factor > 1 else -1
        return next(
            task
            for task, (adam, fresh) in enumerate(pairs, start=1)
            if sign * adam > sign * (factor * fresh + more)
        )

    return {
        "spread": first("weight_condition_number", 4, 0),
        "kernel": first("ntk_robust_condition_number", 4, 0),
        "accuracy": first("online_accuracy", 1, -0.1),
    }


def runs(results: Path) -> pd.DataFrame:
    """Return the tidy numbers of chapter 2's study.

    Args:
        results: The book's results.

    Raises:
        StoreError: If it is not there.
    """
    return load_results(results / BENCHMARK)


def fifty_tasks(frame: pd.DataFrame, task: int = 1) -> str:
    """Return the explorable as HTML.

    Args:
        frame: From :func:`runs`.
        task: Shown first, counted from one.

    Source: ours; the runs are those of chapter 2.
    """
    shown, seeds = medians(frame), frame["seed"].nunique()
    count = len(shown["online_accuracy"]["adam"])
    kept, key = _examples(shown), "fifty-tasks"
    across = [_across(k, count) for k in range(count)]
    data = {
        "across": [round(x, 1) for x in across],
        "methods": {
            method: {
                panel.metric: {
                    "heights": [round(panel.height(v), 1) for v in values],
                    "texts": [panel.text(v) for v in values],
                }
                for panel in PANELS
                for values in (shown[panel.metric][method],)
            }
            for method in METHODS
        },
    }
    panels = "\n".join(_drawing(panel, shown[panel.metric], task) for panel in PANELS)
    return f"""<div class="explorable" data-explorable="{key}">
<div class="explorable-controls" hidden>
{examples(key, kept)}
{question(kept[0])}
<div class="explorable-row">
{PLAY}
{slider(key, "task", "Task", range(1, count + 1), task)}
</div>
</div>
<div class="explorable-panels explorable-fours">
{panels}
</div>
{_table(shown, task)}
<p>Medians over {seeds} seeds of the runs of chapter 2. Spread: largest over
smallest singular value, mean over layers. Kernel: largest over fifth-percentile
eigenvalue, at {PROBES} images, before the task.</p>
<noscript><p>Without JavaScript the table shows task {task}.</p></noscript>
{data_script(data)}
{EXPLORE}
<script src="../_static/explorables/fifty_tasks.js" defer></script>
</div>"""


def _examples(shown: Medians) -> list[Example]:
    """Return tasks with their questions; the answers' numbers are the runs'."""
    accuracy = shown["online_accuracy"]
    spread, kernel, dead = (shown[panel.metric] for panel in PANELS[1:])
    losses, last = first_losses(shown), len(accuracy["adam"])
    falls = losses["accuracy"]

    def of(values: dict[str, list[float]], method: str, task: int) -> str:
        panel = next(p for p in PANELS if shown[p.metric] is values)
        return panel.text(values[method][task - 1])

    return [
        Example(
            name="At the start",
            state={"task": 1},
            question="All three begin with the same weights. Move on task by task: "
            "which of the four curves of Adam leaves the others first?",
            answer="The kernel's: its condition number is over four times a fresh "
            f"network's before task {losses['kernel']}, the spread of the weights "
            f"before task {losses['spread']}. Accuracy is a tenth lower from task "
            f"{falls} on.",
        ),
        Example(
            name="Accuracy gives way",
            state={"task": falls},
            question="Now Adam learns visibly less. What has gone before?",
            answer=f"{of(dead, 'adam', falls)} of its units are dead, singular values "
            f"of a layer differ by a factor of {of(spread, 'adam', falls)}, and "
            f"eigenvalues of the kernel by {of(kernel, 'adam', falls)}. In a fresh "
            f"network that is {of(kernel, 'fresh', falls)}.",
        ),
        Example(
            name="Half of the way",
            state={"task": last // 2},
            question="The kernel's condition number no longer grows. Has it healed?",
            answer=f"No: {of(kernel, 'adam', last // 2)} is all that double precision "
            "can tell. Some directions are not learned at all.",
        ),
        Example(
            name="At the end",
            state={"task": last},
            question="Does AdamO only keep up with a fresh network, or do better?",
            answer=f"A little better: {of(accuracy, 'adamo', last)} against "
            f"{of(accuracy, 'fresh', last)}. Its kernel is not that of a fresh "
            f"network, {of(kernel, 'adamo', last)} against "
            f"{of(kernel, 'fresh', last)}, but it has stayed in that range.",
        ),
    ]


def _across(index: int, count: int) -> float:
    return LEFT + (RIGHT - LEFT) * index / (count - 1)


def _drawing(panel: _Panel, values: dict[str, list[float]], task: int) -> str:
    """Return one panel: axes, a curve a method, a line and dots at the task."""
    parts = [
        label(LEFT - 4, TOP - 12, panel.title, "start"),
        f'<path d="M{LEFT},{TOP} V{BOTTOM} H{RIGHT}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.6"/>',
        *(
            label(LEFT - 5, panel.height(value) + 4, text, "end")
            for value, text in panel.ticks
        ),
    ]
    count = len(values["adam"])
    x = _across(task - 1, count)
    parts.append(
        f'<line data-cursor="" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}" '
        'stroke="currentColor" stroke-opacity="0.6"/>'
    )
    for method, (_, look, dash) in METHODS.items():
        heights = [panel.height(value) for value in values[method]]
        points = [(_across(k, count), y) for k, y in enumerate(heights)]
        parts.append(
            f'<polyline class="{look}" fill="none" stroke-width="2.2" '
            f'stroke-dasharray="{dash}" points="{polyline(points)}"/>'
            f'<circle data-dot="{panel.metric} {method}" class="{look}" r="4" '
            f'stroke-width="2.5" cx="{x:.1f}" cy="{heights[task - 1]:.1f}"/>'
        )
    return (
        f'<svg viewBox="0 0 200 130" role="img" aria-label="{panel.title} over fifty '
        'tasks, for Adam, AdamO and a fresh network; the table gives the numbers.">'
        + "\n".join(parts)
        + "</svg>"
    )


def _table(shown: Medians, task: int) -> str:
    """Return the numbers at one task, a row a method."""
    heads = "".join(f'<th scope="col">{panel.short}</th>' for panel in PANELS)
    rows = "".join(
        f'<tr><th scope="row">{line_key(look, dash)} {name}</th>'
        + "".join(
            f'<td data-number="{panel.metric} {method}">'
            f"{panel.text(shown[panel.metric][method][task - 1])}</td>"
            for panel in PANELS
        )
        + "</tr>"
        for method, (name, look, dash) in METHODS.items()
    )
    return (
        '<div aria-live="polite"><table class="explorable-table"><thead><tr>'
        f'<th scope="col">at task <output data-task="">{task}</output></th>{heads}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
