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
    stratified_bootstrap,
)
from isometry.experiments.store import Record, load_records, load_results

BASELINE = "adam"
LEVEL = 0.95
# Bootstrap draws depend on this seed and on what is summarised, on nothing else.
BOOTSTRAP_SEED = 20260609
# Settings that say which experiment a run belongs to: methods are compared within one.
SCALE = (
    "data",
    "tasks",
    "images_per_task",
    "epochs",
    "batch_size",
    "reshuffle",
    "network",
    "width",
    "depth",
)
Row = dict[str, Any]
FORMATS = ("table", "csv", "json", "markdown")


def last_tasks(num_tasks: int) -> int:
    """Return how many tasks count as the last ones: a fifth, at least one.

    Args:
        num_tasks: Tasks in the stream.

    Source: ours.

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

    Source: ours.
    """
    chosen = frame[frame["metric"] == metric]
    num_tasks = int(chosen["task"].max()) + 1
    count = last_tasks(num_tasks)
    if part == "last":
        chosen = chosen[chosen["task"] >= num_tasks - count]
    elif part == "first":
        chosen = chosen[chosen["task"] < count]
    return chosen.groupby("seed")["value"].mean().sort_index()


def scales_of(records: list[Record]) -> dict[str, str]:
    """Return, by settings hash, what tells a run's experiment from others of its name.

    A benchmark may be run at several sizes, on several data sets or networks. Where a
    store has more than one, the text names the settings of :data:`SCALE` that differ.

    Args:
        records: Of a store, see :func:`isometry.experiments.store.load_records`.

    Returns:
        E.g. ``tasks=50, epochs=400``; empty where a benchmark has one scale.

    Source: ours.
    """
    scales = {}
    for record in records:
        own = record["settings"]
        others = [
            r["settings"] for r in records if r["benchmark"] == record["benchmark"]
        ]
        differing = [
            key
            for key in SCALE
            if key in own and any(other.get(key) != own[key] for other in others)
        ]
        scales[record["hash"]] = ", ".join(f"{key}={own[key]}" for key in differing)
    return scales


def labels_of(records: list[Record]) -> dict[str, str]:
    """Return a label for every settings hash: the method, with settings where needed.

    Where a store has several settings of one method on one benchmark at one scale, the
    label names what differs between them: ``adamo(isometry_strength=1.0)``.

    Args:
        records: Of a store, see :func:`isometry.experiments.store.load_records`.

    Source: ours.
    """
    flat = {r["hash"]: {**r["settings"], **r["method_settings"]} for r in records}
    scales = scales_of(records)
    families = {
        r["hash"]: (r["benchmark"], r["method"], scales[r["hash"]]) for r in records
    }
    labels = {}
    for record in records:
        own, family = flat[record["hash"]], families[record["hash"]]
        others = [flat[key] for key, other in families.items() if other == family]
        differing = [k for k in own if any(o.get(k) != own[k] for o in others)]
        shown = ", ".join(f"{key}={own[key]}" for key in differing)
        method = record["method"]
        labels[record["hash"]] = f"{method}({shown})" if shown else method
    return labels


def baselines_of(records: list[Record]) -> dict[str, str]:
    """Return, by settings hash, the hash of the baseline that a run is compared with.

    It is :data:`BASELINE` on the same benchmark under the same settings of the run, of
    which only the learning rate, which is tuned for each method, may differ. Where
    several would do and none has the same learning rate, there is no comparison.

    Args:
        records: Of a store, see :func:`isometry.experiments.store.load_records`.

    Source: ours.
    """
    found = {}
    for record in records:
        own = record["settings"]
        candidates = {
            other["hash"]: other["settings"].get("lr") == own.get("lr")
            for other in records
            if other["method"] == BASELINE
            and other["benchmark"] == record["benchmark"]
            and {**other["settings"], "lr": None} == {**own, "lr": None}
        }
        same = [key for key, same_lr in candidates.items() if same_lr]
        for choice in (same, list(candidates)):
            if len(choice) == 1 and record["hash"] not in choice:
                found[record["hash"]] = choice[0]
            if choice:
                break
    return found


def diverged_seeds(record: Record) -> int:
    """Return how many seeds of a file diverged.

    Args:
        record: Of one file.

    Source: ours.
    """
    states = [s for run in record["runs"] for s in run.get("status", {}).values()]
    return sum(state.startswith("diverged") for state in states)


def bootstrapped(scores: pd.Series, *labels: str) -> Interval | None:
    """Return the interval of scores, or None where one of them is infinite.

    Args:
        scores: One number a seed.
        *labels: Name the bootstrap's draws.

    Source: ours.
    """
    if not np.isfinite(scores).all():
        return None
    draw = numpy_generator(BOOTSTRAP_SEED, *labels)
    return stratified_bootstrap(scores, draw, level=LEVEL)


def interval_columns(name: str, interval: Interval | None) -> dict[str, float]:
    """Return an interval as three columns; all NaN where there is none.

    Args:
        name: Name of the estimate's column.
        interval: The interval, or None.

    Source: ours.
    """
    if interval is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    return {
        name: interval.estimate,
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


def against(scores: pd.Series, baseline: pd.Series | None, *labels: str) -> Row:
    """Return the paired difference to the baseline and the probability of improvement.

    Args:
        scores: One number a seed.
        baseline: The baseline's, or None where there is none.
        *labels: Name the bootstrap's draws.

    Source: ours.
    """
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

    Args:
        path: The store, a benchmark's folder in it, or one file.
        metric: Which metric.

    Returns:
        Columns ``benchmark, scale, method, settings, seeds, diverged, tasks``, where
        ``scale`` is that of :func:`scales_of`; ``mean`` over all tasks, ``first`` and
        ``last`` fifth of the tasks, each with ``_low`` and ``_high``; ``difference`` to
        ``adam`` on the same seeds over all tasks, and ``probability`` that a seed of
        the method beats a seed of ``adam``, see :func:`baselines_of`. Within a scale,
        largest mean first. A number is missing where a seed's score is infinite, as
        the loss of one that diverged is.

    Raises:
        KeyError: If no run recorded the metric; the nearest known one is named.
        StoreError: If there is nothing under ``path``.

    Source: Agarwal et al. 2021 for the statistics.
    """
    frame, records = load_results(path), load_records(path)
    labels, baselines = labels_of(records), baselines_of(records)
    scales = scales_of(records)
    diverged = {record["hash"]: diverged_seeds(record) for record in records}
    known = sorted(frame["metric"].unique())
    if metric not in known:
        raise KeyError(unknown("metric", metric, known))
    rows = []
    for benchmark, part in frame[frame["metric"] == metric].groupby("benchmark"):
        named = dict(list(part.groupby("settings")))
        for settings, numbers in named.items():
            label = labels[settings]
            row: Row = {"benchmark": benchmark, "scale": scales[settings]}
            row |= {"method": label, "settings": settings}
            row["seeds"] = numbers["seed"].nunique()
            row["diverged"] = diverged[settings]
            row["tasks"] = numbers["task"].nunique()
            for name in ("mean", "first", "last"):
                scores = seed_scores(numbers, metric, "all" if name == "mean" else name)
                interval = bootstrapped(scores, benchmark, label, metric, name)
                row |= interval_columns(name, interval)
            other = named.get(baselines.get(settings))
            baseline = None if other is None else seed_scores(other, metric)
            row |= against(seed_scores(numbers, metric), baseline, benchmark, label)
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["benchmark", "scale", "mean"],
        ascending=[True, True, False],
        ignore_index=True,
    )


def shown(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Return a summary for reading: intervals in one cell each, rounded.

    Args:
        table: What :func:`summary` returned.
        digits: Decimals.

    Source: ours.
    """
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
            else f"{row[key]:.{digits}f} "
            f"[{row[f'{key}_low']:.{digits}f}, {row[f'{key}_high']:.{digits}f}]"
            for _, row in table.iterrows()
        ]
    out[f"P(> {BASELINE})"] = [
        "" if pd.isna(value) else f"{value:.2f}" for value in table["probability"]
    ]
    return out


def markdown(table: pd.DataFrame) -> str:
    """Return a table of text as Markdown.

    Args:
        table: What :func:`shown` returned.

    Source: ours.
    """
    head = "| " + " | ".join(table.columns) + " |"
    rule = "|" + " --- |" * len(table.columns)
    body = ["| " + " | ".join(map(str, row)) + " |" for row in table.to_numpy()]
    return "\n".join([head, rule, *body])


def in_columns(table: pd.DataFrame) -> str:
    """Return a summary as aligned columns of text.

    Args:
        table: What :func:`summary` returned, or some of its rows.

    Source: ours.
    """
    # str.strip keeps the columns aligned and drops pandas' trailing blanks.
    lines = shown(table).to_string(index=False, justify="left").splitlines()
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
        StoreError: If there is nothing under ``path``.

    Source: ours.
    """
    if format not in FORMATS:
        raise KeyError(unknown("format", format, FORMATS))
    table = summary(path, metric)
    if format == "csv":
        return table.to_csv(index=False).rstrip("\n")
    if format == "json":
        return table.to_json(orient="records", indent=2, double_precision=15)
    if format == "markdown":
        return markdown(shown(table))
    return in_columns(table)


def flat_numbers(path: str | Path) -> dict[str, float | int]:
    """Return the numbers of a store by name, for the book's prose.

    Names are ``<benchmark>.<method label>.<metric>.<column of summary>``; a benchmark
    of several scales is ``<benchmark>(<scale>)``.

    Args:
        path: The store.

    Source: ours.
    """
    flat: dict[str, float | int] = {}
    for metric in sorted(load_results(path)["metric"].unique()):
        for row in summary(path, metric).to_dict("records"):
            scale = f"({row['scale']})" if row["scale"] else ""
            prefix = f"{row['benchmark']}{scale}.{row['method']}.{metric}"
            for key, value in row.items():
                if isinstance(value, int | float) and not pd.isna(value):
                    flat[f"{prefix}.{key}"] = value
    return flat
