"""Chapter 6: tables of the stored comparison, beside its scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import performance_profile
from isometry.lab.choices import at_edge, spelled
from isometry.lab.comparison import CEILING, scores_of, standings
from isometry.lab.labels import BASELINE
from isometry.lab.report import BOOTSTRAP_SEED
from isometry.lab.store import Record, load_results
from isometry_book.c5_adamo.cost import METHODS_BENCHMARK
from isometry_book.c6_benchmark.comparisons import Comparison

THRESHOLDS = 41  # of a performance profile


def diagnosed_tasks(
    store: Path, comparison: Comparison, methods: Sequence[str]
) -> pd.DataFrame:
    """Return the stored numbers of some methods of a comparison, for figures.

    Args:
        store: The results store.
        comparison: Says which runs.
        methods: Whose.

    Returns:
        Tidy numbers with a column ``label``; infinite ones are left out.

    Raises:
        StoreError: If there is nothing in the store.
    """
    frame = load_results(_folder(store, comparison))
    parts = []
    for method in methods:
        own = frame["settings"] == comparison.runs[method]["hash"]
        parts.append(frame[own].assign(label=method))
    found = pd.concat(parts, ignore_index=True)
    return found[found["value"].abs() < float("inf")]


def _folder(store: Path, comparison: Comparison) -> Path:
    """Return where the runs of a comparison stand."""
    return store / next(iter(comparison.runs.values()))["benchmark"]


def choices_table(found: Mapping[str, Comparison]) -> pd.DataFrame:
    """Return what was chosen for each method on each benchmark.

    Args:
        found: Benchmark -> comparison.

    Returns:
        One row a method, one column a benchmark: the learning rate, then the method's
        own searched setting. A star marks the first or last of three or more
        numbers that were tried.
    """
    columns: dict[str, dict[str, str]] = {}
    for benchmark, comparison in found.items():
        cells = columns.setdefault(benchmark, {})
        for method, record in comparison.runs.items():
            cells[method] = _chosen_text(record["choice"])
    return pd.DataFrame(columns).sort_index().fillna("")


def _chosen_text(choice: Record) -> str:
    """Return a choice in a line, e.g. ``lr=0.003* shrink=0.001``.

    Example:
        >>> tried = [{"values": {"lr": lr}} for lr in (1e-4, 1e-3, 1e-2)]
        >>> _chosen_text({"chosen": {"lr": 1e-2}, "candidates": tried})
        'lr=0.01*'
    """
    edges = at_edge(choice)
    words = [
        spelled({key: value}) + "*" * (key in edges)
        for key, value in choice["chosen"].items()
    ]
    return " ".join(words)


def metrics_table(
    store: Path, comparison: Comparison, metrics: Sequence[str]
) -> pd.DataFrame:
    """Return what each method reaches by several metrics, in the order of the scores.

    Args:
        store: The results store.
        comparison: Says which runs.
        metrics: Which; the columns.

    Returns:
        One row a method: interquartile means over seeds of the mean over tasks.

    Raises:
        StoreError: If there is nothing in the store.
    """
    results = load_results(_folder(store, comparison))
    columns = {
        metric: standings(scores_of(results, comparison.runs, metric))["mean"]
        for metric in metrics
    }
    return pd.DataFrame(columns).reindex(comparison.table.index)


def ranks_table(found: Mapping[str, Comparison]) -> pd.DataFrame:
    """Return each method's rank on each benchmark, best mean rank first.

    Args:
        found: Benchmark -> comparison.

    Returns:
        One row a method that all benchmarks have, one column a benchmark and ``mean``;
        rank 1 is the largest interquartile mean. A fresh network is not ranked.
    """
    ranks = {
        benchmark: one.table["mean"]
        .drop(CEILING, errors="ignore")
        .rank(ascending=False)
        for benchmark, one in found.items()
    }
    table = pd.DataFrame(ranks).dropna()
    return table.assign(mean=table.mean(axis=1)).sort_values("mean", kind="stable")


def costs(store: Path, network: int = 0) -> pd.DataFrame:
    """Return what each method costs, cheapest first.

    Args:
        store: The results store.
        network: Place of the network in the report of ``benchmarks/methods_cost.py``.

    Returns:
        Indexed by method: ``milliseconds`` of a training step, ``time_ratio``,
        ``kept_ratio`` and ``peak_ratio`` over Adam's, and ``switch_steps`` of Adam that
        a new task takes.

    Raises:
        StoreError: If the store has no such study.
    """
    frame = load_results(store / METHODS_BENCHMARK)
    frame = frame[frame["task"] == network]
    wide = frame.pivot(index="method", columns="metric", values="value")
    return wide.rename_axis(columns=None).sort_values("time_ratio")


def gain_performance_profiles(
    found: Mapping[str, Comparison], methods: Sequence[str]
) -> pd.DataFrame:
    """Return which share of a method's runs gains more than so much over Adam's.

    Each run counts with its mean online accuracy over all tasks minus that of Adam on
    the same benchmark and seed, over the largest mean difference that any method has
    there: one is as good as the best method, zero as Adam.

    Args:
        found: Benchmark -> comparison; each is a stratum of the bootstrap.
        methods: Whose performance profiles.

    Returns:
        Columns ``method, threshold, fraction, fraction_low, fraction_high``; the
        thresholds are the same for all, and with the intervals those of 95 % each.

    Source: Agarwal et al., NeurIPS 2021, Sec. 4.3; the unit is ours.
    """
    seeds = min(len(one.scores) for one in found.values())
    gains = {
        method: np.array(
            [
                (_gained(one.scores)[method] / _gained(one.scores).mean().max())[:seeds]
                for one in found.values()
            ]
        )
        for method in methods
    }
    ends = [edge(values) for edge in (np.min, np.max) for values in gains.values()]
    thresholds = np.linspace(min(ends), max(ends), THRESHOLDS)
    rows = []
    for method, values in gains.items():
        draw = numpy_generator(BOOTSTRAP_SEED, "gain profile", method)
        shares = performance_profile(values, thresholds, draw)
        for threshold, share in zip(thresholds, shares, strict=True):
            numbers = (threshold, share.estimate, share.low, share.high)
            rows.append((method, *numbers))
    return pd.DataFrame(
        rows,
        columns=["method", "threshold", "fraction", "fraction_low", "fraction_high"],
    )


def _gained(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores minus those of Adam on the same seed."""
    return scores.sub(scores[BASELINE], axis=0)
