"""What a sweep and the search in a store say in text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from isometry.core.messages import unknown
from isometry.lab.choices import search_table
from isometry.lab.performance_profiles import profile_text, table_text
from isometry.lab.report import FORMATS, report
from isometry.lab.store import Stored

if TYPE_CHECKING:  # what is only read is reported without torch
    from isometry.lab.search import Sweep
    from isometry.sweep.queue import Failure

VIEWS = ("summary", "profile", "search")


def _search_text(path: str | Path, format: str = "table") -> str:
    """Return what was chosen in a store, and from what, as text; may be empty."""
    table = search_table(path)
    if format in ("csv", "json"):
        return table_text(table, format)
    if table.empty:
        return ""
    scores = [
        "" if pd.isna(row["score"]) else f"{row['score']:.3f} {row['metric']}"
        for _, row in table.iterrows()
    ]
    early = table["part"].map({"first": ", first fifth"}).fillna("")
    table = table.assign(method=table["method"] + early)
    shown = table[["benchmark", "method", "chosen"]].assign(
        **{
            "of settings": table["searched"],
            "on seeds": table["tune_seeds"],
            "reached there": scores,
        }
    )
    for column, head in (
        ("at_edge", "at the edge of the search"),
        ("at_limit", "at a limit"),
    ):
        if table[column].any():
            shown[head] = table[column]
    return table_text(shown, format)


def view(
    path: str | Path,
    metric: str,
    format: str,
    show: str,
    stored: Stored | None = None,
) -> str:
    """Return one view of a store as text.

    Args:
        path: The store, a benchmark's folder in it, or one file.
        metric: Which metric; the search has its own.
        format: One of :data:`isometry.lab.report.FORMATS`.
        show: One of :data:`VIEWS`. A summary to be read ends with the search, if
            settings were chosen.
        stored: What was read of the store, if it was; choices are read here.

    Raises:
        KeyError: If metric, format or view is not known.
        StoreError: If there is nothing under ``path``.
    """
    for kind, name, known in (("format", format, FORMATS), ("view", show, VIEWS)):
        if name not in known:
            raise KeyError(unknown(kind, name, known))
    if show == "profile":
        return profile_text(stored or path, metric, format)
    if show == "search":
        return _search_text(path, format) or "no settings were chosen by a sweep here"
    text = report(stored or path, metric, format)
    if format in ("csv", "json"):
        return text
    return "\n\n".join(part for part in (text, _search_text(path, format)) if part)


def budget_line(sweep: "Sweep") -> str:
    """Return what a sweep compares, and how hard it searches, in a line.

    Args:
        sweep: What was asked for.
    """
    methods = ", ".join(f"{name} {size}" for name, size in sweep.budgets().items())
    seeds = ",".join(map(str, sweep.report_seeds))
    if not sweep.tune_seeds:
        return f"settings of each method: {methods}; all run on seeds {seeds}"
    tuning = ",".join(map(str, sweep.tune_seeds))
    unequal = len(set(sweep.budgets().values())) > 1
    return (
        f"search budget{', NOT EQUAL' if unequal else ''}: settings of each method: "
        f"{methods}; chosen by {sweep.metric} on seeds {tuning}, "
        f"reported on seeds {seeds}"
    )


def failure_lines(failures: "Sequence[Failure]") -> list[str]:
    """Return a line a failed job, and one that counts them; none if nothing failed.

    Args:
        failures: Of a sweep or a suite.
    """
    if not failures:
        return []
    lines = [f"{f.name}: {f.reason} (see {f.log})" for f in failures]
    count = len(lines)
    runs = "1 run" if count == 1 else f"{count} runs"
    return [f"{runs} failed twice; the same command tries again", *lines]
