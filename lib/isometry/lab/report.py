"""Tables over the results store: what each method reached, with intervals."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isometry.core.messages import unknown
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import (
    Interval,
    paired_difference,
    probability_of_improvement,
    spelled_interval,
    stratified_bootstrap,
)
from isometry.lab.labels import BASELINE, baselines_of, labels_of, scales_of
from isometry.lab.store import Record, load_usable

LEVEL = 0.95
# Bootstrap draws depend on this seed and on what is summarised, on nothing else.
BOOTSTRAP_SEED = 20260609
Row = dict[str, Any]
FORMATS = ("table", "csv", "json", "markdown")
SMALLER_IS_BETTER = ("squared_error", "initial_loss", "final_loss")
# The first that a store has.
MAIN_METRICS = ("online_accuracy", "episodic_return", "squared_error")


def main_metric(path: str | Path) -> str:
    """Return the metric that the runs of a store are judged by.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Raises:
        StoreError: If there is nothing under ``path``, or nothing that can be read.
    """
    there = set(load_usable(path)[0]["metric"])
    return next((m for m in MAIN_METRICS if m in there), MAIN_METRICS[0])


def last_tasks(num_tasks: int) -> int:
    """Return how many tasks count as the last ones: a fifth, at least one.

    Args:
        num_tasks: Tasks in the stream.

    Example:
        >>> last_tasks(50), last_tasks(3)
        (10, 1)
    """
    return max(1, num_tasks // 5)


def seed_scores(frame: pd.DataFrame, metric: str, part: str = "all") -> pd.Series:
    """Return the mean over tasks of a metric, one number a seed.

    Args:
        frame: Tidy numbers of one benchmark, method and setting.
        metric: Which metric.
        part: ``all`` tasks, the ``first`` ones or the ``last`` ones (a fifth each).

    Returns:
        Indexed by seed, sorted; in the metric's unit.
    """
    chosen = frame[frame["metric"] == metric]
    num_tasks = int(chosen["task"].max()) + 1
    count = last_tasks(num_tasks)
    if part == "last":
        chosen = chosen[chosen["task"] >= num_tasks - count]
    elif part == "first":
        chosen = chosen[chosen["task"] < count]
    return chosen.groupby("seed")["value"].mean().sort_index()


def _diverged_seeds(record: Record) -> int:
    """Return how many seeds of a file diverged."""
    states = [s for run in record["runs"] for s in run.get("status", {}).values()]
    return sum(state.startswith("diverged") for state in states)


def _values(record: Record) -> str:
    """Return all settings of a run and of its method, as ``--set`` takes them."""
    settings = {**record["settings"], **record["method_settings"]}
    return " ".join(f"{key}={value}" for key, value in settings.items())


def bootstrapped(scores: pd.Series, *labels: str) -> Interval | None:
    """Return the interval of scores, or None where there is none or an infinite one.

    Args:
        scores: One number a seed.
        *labels: Name the bootstrap's draws.
    """
    if scores.empty or not np.isfinite(scores).all():
        return None
    draw = numpy_generator(BOOTSTRAP_SEED, *labels)
    return stratified_bootstrap(scores, draw, level=LEVEL)


def interval_columns(name: str, interval: Interval | None) -> dict[str, float]:
    """Return an interval as three columns; all NaN where there is none.

    Args:
        name: Name of the estimate's column.
        interval: The interval, or None.
    """
    if interval is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    return {
        name: interval.estimate,
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


def _against(scores: pd.Series, baseline: pd.Series | None, *labels: str) -> Row:
    """Return the paired difference to a baseline and the chance of improvement."""
    shared = [] if baseline is None else sorted(set(scores.index) & set(baseline.index))
    if baseline is not None:
        scores, baseline = scores[shared], baseline[shared]
    if not shared or baseline is None or not np.isfinite([scores, baseline]).all():
        missing = interval_columns("difference", None)
        return {**missing, "probability": float("nan")}
    draw = numpy_generator(BOOTSTRAP_SEED, "difference", *labels)
    interval = paired_difference(scores, baseline, draw, LEVEL)
    columns = interval_columns("difference", interval)
    chance = probability_of_improvement(scores, baseline)
    return {**columns, "probability": chance}


def summary(path: str | Path, metric: str = "online_accuracy") -> pd.DataFrame:
    """Return one row a benchmark and method: what it reached, with 95 % intervals.

    Each seed counts with its mean over tasks; over seeds the interquartile mean is
    taken, with a percentile bootstrap interval. The same store gives the same table.
    Files that cannot be read are named in a warning and left out.

    Args:
        path: The store, a benchmark's folder in it, or one file.
        metric: Which metric.

    Returns:
        Columns ``benchmark, scale, method, settings, values, seeds, diverged, tasks``,
        where ``scale`` is that of :func:`scales_of`, ``settings`` a hash and ``values``
        what it stands for, ``lr=0.001 ...``, as ``--set`` takes them; ``mean`` over all
        tasks, ``first`` and ``last`` fifth of the tasks, each with ``_low`` and
        ``_high``; ``difference`` to ``adam`` on the same seeds over all tasks, and
        ``probability`` that a seed of the method beats a seed of ``adam``, see
        :func:`baselines_of`. Within a scale, best mean first. A number is missing
        where a seed's score is infinite, as the loss of one that diverged is, or where
        no seed has one.

    Raises:
        KeyError: If no run recorded the metric; the nearest known one is named.
        StoreError: If there is nothing under ``path``, or nothing that can be read.

    Source: Agarwal et al. 2021 for the statistics.
    """
    frame, records = load_usable(path)
    labels, baselines = labels_of(records), baselines_of(records)
    scales = scales_of(records)
    diverged = {record["hash"]: _diverged_seeds(record) for record in records}
    values = {record["hash"]: _values(record) for record in records}
    known = sorted(frame["metric"].unique())
    if metric not in known:
        raise KeyError(unknown("metric", metric, known))
    rows = []
    for benchmark, part in frame[frame["metric"] == metric].groupby("benchmark"):
        named = dict(list(part.groupby("settings")))
        for settings, numbers in named.items():
            label = labels[settings]
            row: Row = {"benchmark": benchmark, "scale": scales[settings]}
            row |= {"method": label, "settings": settings, "values": values[settings]}
            row["seeds"] = numbers["seed"].nunique()
            row["diverged"] = diverged[settings]
            row["tasks"] = numbers["task"].nunique()
            for name in ("mean", "first", "last"):
                scores = seed_scores(numbers, metric, "all" if name == "mean" else name)
                interval = bootstrapped(scores, benchmark, label, metric, name)
                row |= interval_columns(name, interval)
            other = named.get(baselines.get(settings))
            baseline = None if other is None else seed_scores(other, metric)
            row |= _against(seed_scores(numbers, metric), baseline, benchmark, label)
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["benchmark", "scale", "mean"],
        ascending=[True, True, metric.startswith(SMALLER_IS_BETTER)],
        ignore_index=True,
    )


def _shown(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Return a summary for reading: intervals in one cell each, rounded."""
    first = ["benchmark", "scale", "method", "seeds", "diverged", "tasks"]
    for column in ("scale", "diverged"):
        if not table[column].any():
            first.remove(column)
    out = table[first].copy()
    names = {"mean": "all tasks", "first": "first fifth", "last": "last fifth"}
    for key, name in {**names, "difference": f"minus {BASELINE}"}.items():
        out[name] = [
            ""
            if pd.isna(row[key])
            else spelled_interval(
                row[key], row[f"{key}_low"], row[f"{key}_high"], digits
            )
            for _, row in table.iterrows()
        ]
    out[f"P(> {BASELINE})"] = [
        "" if pd.isna(value) else f"{value:.2f}" for value in table["probability"]
    ]
    return out


def markdown(table: pd.DataFrame) -> str:
    """Return a table of text as Markdown.

    Args:
        table: What :func:`_shown` returned.
    """
    head = "| " + " | ".join(table.columns) + " |"
    rule = "|" + " --- |" * len(table.columns)
    body = ["| " + " | ".join(map(str, row)) + " |" for row in table.to_numpy()]
    return "\n".join([head, rule, *body])


def in_columns(table: pd.DataFrame) -> str:
    """Return a summary as aligned columns of text.

    Args:
        table: What :func:`summary` returned, or some of its rows.
    """
    # str.strip keeps the columns aligned and drops pandas' trailing blanks.
    lines = _shown(table).to_string(index=False, justify="left").splitlines()
    return "\n".join(line.rstrip() for line in lines)


def report(
    path: str | Path, metric: str = "online_accuracy", format: str = "table"
) -> str:
    """Return the summary of a store as text.

    Args:
        path: The store, a benchmark's folder in it, or one file.
        metric: Which metric.
        format: One of :data:`FORMATS`; ``csv`` and ``json`` have all digits.

    Raises:
        KeyError: If the metric or the format is not known.
        StoreError: If there is nothing under ``path``, or nothing that can be read.
    """
    if format not in FORMATS:
        raise KeyError(unknown("format", format, FORMATS))
    table = summary(path, metric)
    if format == "csv":
        return table.to_csv(index=False).rstrip("\n")
    if format == "json":
        return table.to_json(orient="records", indent=2, double_precision=15)
    if format == "markdown":
        return markdown(_shown(table))
    return in_columns(table)
