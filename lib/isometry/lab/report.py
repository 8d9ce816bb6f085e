"""Tables over the results store: what each method reached, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from isometry.core.bootstraps import bootstrap_each
from isometry.core.messages import unknown
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import (
    NAN,
    Interval,
    probability_of_improvement,
    spelled_interval,
)
from isometry.lab.labels import BASELINE, baselines_of, labels_of, scales_of
from isometry.lab.metrics import stored_of
from isometry.lab.store import Record, Source

LEVEL = 0.95
# Bootstrap draws depend on this seed and on what is summarised, on nothing else.
BOOTSTRAP_SEED = 20260609
RUN = ["benchmark", "settings"]  # what tells runs apart
Run = tuple[str, str]
Scores = tuple[np.ndarray, np.ndarray]  # seeds, sorted, and one number each
NONE: Scores = (np.empty(0, int), np.empty(0))
FORMATS = ("table", "csv", "json", "markdown")
SMALLER_IS_BETTER = ("squared_error", "initial_loss", "final_loss")
PARTS = {"mean": "all", "first": "first", "last": "last"}  # column -> part of the tasks


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
    chosen = chosen[_in_part(chosen["task"], num_tasks, part)]
    return chosen.groupby("seed")["value"].mean().sort_index()


def _in_part(task: pd.Series, num_tasks: Any, part: str) -> pd.Series:
    """Return which tasks are in a part, of as many as there are, or of each row's."""
    count = np.maximum(1, num_tasks // 5)  # see last_tasks
    if part == "last":
        return task >= num_tasks - count
    return task < (count if part == "first" else num_tasks)


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
    return bootstrapped_each([(scores.to_numpy(), labels)])[0]


def bootstrapped_each(
    sets: Sequence[tuple[np.ndarray, tuple[str, ...]]],
) -> list[Interval | None]:
    """Return the interval of each set of scores, as :func:`bootstrapped` does of one.

    Args:
        sets: One number a seed, ``(seeds,)``, and what names the bootstrap's draws.
    """
    found: list[Interval | None] = [None] * len(sets)
    sizes: dict[int, list[int]] = {}
    for place, (scores, _) in enumerate(sets):
        if scores.size and np.isfinite(scores).all():
            sizes.setdefault(scores.size, []).append(place)
    for places in sizes.values():
        draws = (numpy_generator(BOOTSTRAP_SEED, *sets[i][1]) for i in places)
        scores = np.stack([sets[i][0] for i in places])
        for place, own in zip(
            places, bootstrap_each(scores, draws, LEVEL), strict=True
        ):
            found[place] = own
    return found


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


def _interval_table(name: str, intervals: list[Interval | None]) -> pd.DataFrame:
    """Return intervals as three columns, a row each."""
    return pd.DataFrame([interval_columns(name, one) for one in intervals])


def _scores_by_run(numbers: pd.DataFrame) -> dict[Run, Scores]:
    """Return the seeds of each benchmark and setting, sorted, and their mean values."""
    if numbers.empty:  # of no task in this part of them; a split of nothing is one part
        return {}
    means = numbers.groupby([*RUN, "seed"])["value"].mean()
    names, seeds = means.index.droplevel("seed"), means.index.get_level_values("seed")
    first = np.flatnonzero(~names.duplicated())
    parts = (np.split(one.to_numpy(), first[1:]) for one in (seeds, means))
    return dict(zip(names[first], zip(*parts, strict=True), strict=True))


def _shared(scores: Scores, baseline: Scores) -> np.ndarray:
    """Return both scores of each seed that both have, ``(2, seeds)``."""
    if np.array_equal(scores[0], baseline[0]):
        return np.stack([scores[1], baseline[1]])
    seeds = scores[0], baseline[0]
    _, *places = np.intersect1d(*seeds, assume_unique=True, return_indices=True)
    return np.stack([scores[1][places[0]], baseline[1][places[1]]])


def _against(
    scores: dict[Run, Scores], baselines: dict[str, str], labels: dict[str, str]
) -> pd.DataFrame:
    """Return each run's paired difference to its baseline, and the chance to beat it.

    Missing where there is no baseline, no seed in common, or an infinite score.
    """
    differences, chances = [], []
    for (benchmark, settings), own in scores.items():
        other = scores.get((benchmark, baselines.get(settings, "")), NONE)
        both = _shared(own, other)
        named = "difference", benchmark, labels[settings]
        differences.append((both[0] - both[1], named))
        known = both.size and np.isfinite(both).all()
        chances.append(probability_of_improvement(*both) if known else NAN)
    table = _interval_table("difference", bootstrapped_each(differences))
    return table.assign(probability=chances)


def summary(path: Source, metric: str = "online_accuracy") -> pd.DataFrame:
    """Return one row a benchmark and method: what it reached, with 95 % intervals.

    Each seed counts with its mean over tasks; over seeds the interquartile mean is
    taken, with a percentile bootstrap interval. The same store gives the same table.
    Files that cannot be read are named in a warning and left out; each is read once.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
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
    stored = stored_of(path, metric)
    records = stored.records
    # Rows of a seed lie together: of others pandas takes means that differ in a bit.
    frame = stored.frame.sort_values([*RUN, "seed"], ignore_index=True)
    labels, scales = labels_of(records), scales_of(records)
    runs = frame.groupby(RUN)
    sizes = runs[["seed", "task"]].nunique().reset_index()
    names = sizes["settings"]
    table = pd.DataFrame(
        {
            "benchmark": sizes["benchmark"],
            "scale": names.map(scales),
            "method": names.map(labels),
            "settings": names,
            "values": names.map({r["hash"]: _values(r) for r in records}),
            "seeds": sizes["seed"],
            "diverged": names.map({r["hash"]: _diverged_seeds(r) for r in records}),
            "tasks": sizes["task"],
        }
    )
    columns, keys = [table], list(zip(sizes["benchmark"], names, strict=True))
    num_tasks = runs["task"].transform("max") + 1
    scores = {
        name: _scores_by_run(frame[_in_part(frame["task"], num_tasks, part)])
        for name, part in PARTS.items()
    }
    for name, own in scores.items():
        sets = [(own.get(k, NONE)[1], (k[0], labels[k[1]], metric, name)) for k in keys]
        columns.append(_interval_table(name, bootstrapped_each(sets)))
    columns.append(_against(scores["mean"], baselines_of(records), labels))
    table = pd.concat(columns, axis=1)
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
        ends = table[key], table[f"{key}_low"], table[f"{key}_high"]
        out[name] = [
            "" if pd.isna(one) else spelled_interval(one, low, high, digits)
            for one, low, high in zip(*ends, strict=True)
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


def report(path: Source, metric: str = "online_accuracy", format: str = "table") -> str:
    """Return the summary of a store as text.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
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
