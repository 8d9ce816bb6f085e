"""Methods beside each other: the settings that a sweep chose, on seeds it did not see.

A record of :func:`with_choices` carries the choice that stands beside its results. Only
such runs are compared: other settings of a method in the store are grids of their own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, stratified_bootstrap
from isometry.lab.choices import load_choices
from isometry.lab.labels import SCALE, trained
from isometry.lab.report import BOOTSTRAP_SEED, seed_scores
from isometry.lab.store import Record

METRIC = "online_accuracy"
CEILING = "fresh"  # no method: it starts anew for every task
# Diagnostic -> its claimed direction: does more of it go with more plasticity?
DIAGNOSTICS = {
    "gram_deviation": -1,
    "weight_condition_number": -1,
    "jacobian_condition_number": -1,
    "ntk_robust_condition_number": -1,
    "ntk_effective_rank": 1,
    "ntk_trace": 1,
    "dormant_fraction": -1,
    "dead_fraction": -1,
    "feature_effective_rank": 1,
}


def with_choices(records: list[Record], store: Path) -> list[Record]:
    """Return the records, each with the choice that stands beside its file.

    Args:
        records: Of a store.
        store: The store.

    Returns:
        Copies with the keys ``choice``, what a sweep wrote, and ``early_choice``, the
        same for the first fifth of the tasks; None where there is none.

    Raises:
        StoreError: If a choice cannot be read.
    """
    choices = {
        (c["benchmark"], c["hash"], c.get("part", "all")): c
        for c in load_choices(store)
    }
    return [
        {
            **record,
            "choice": choices.get((record["benchmark"], record["hash"], "all")),
            "early_choice": choices.get((record["benchmark"], record["hash"], "first")),
        }
        for record in records
    ]


def compared(
    records: list[Record], benchmark: str, network: str = "mlp"
) -> dict[str, Record]:
    """Return the chosen run of each method on a benchmark, at its largest comparison.

    Args:
        records: From :func:`with_choices`.
        benchmark: Name of the benchmark.
        network: Kind of network.

    Returns:
        Method -> record, of the scale (data and sizes) with the most methods; of two
        runs of one method the better one on the tuning seeds. Empty without a sweep.
    """
    scales: dict[str, dict[str, Record]] = {}
    for record in records:
        settings = record["settings"]
        if (
            record["benchmark"] != benchmark
            or record.get("choice") is None
            or record["choice"].get("ladders")  # a stream of the second protocol
            or settings.get("network", "mlp") != network
        ):
            continue
        scale = json.dumps([settings.get(key) for key in SCALE])
        found = scales.setdefault(scale, {})
        other = found.get(record["method"])
        if other is None or tuning_score(record) > tuning_score(other):
            found[record["method"]] = record
    return max(scales.values(), key=len, default={})


def tuning_score(record: Record) -> float:
    """Return what a chosen run reached on the tuning seeds.

    Args:
        record: With its choice.
    """
    return best_score(record["choice"])


def best_score(choice: Record) -> float:
    """Return what the best candidate of a choice reached on the tuning seeds.

    Args:
        choice: What a sweep wrote.
    """
    known = [c["score"] for c in choice["candidates"] if c["score"] is not None]
    return max(known, default=float("-inf"))


def scores_of(
    results: pd.DataFrame, runs: dict[str, Record], metric: str = METRIC
) -> pd.DataFrame:
    """Return the mean over tasks of a metric: one row a seed, one column a method.

    Args:
        results: Tidy numbers of a store.
        runs: From :func:`compared`.
        metric: Which metric.

    Returns:
        Seeds that all methods have.
    """
    hashes = {record["hash"] for record in runs.values()}
    named = by_run(results[results["settings"].isin(hashes)])
    columns = {
        method: seed_scores(named[record["benchmark"], record["hash"]], metric)
        for method, record in runs.items()
    }
    return pd.DataFrame(columns).dropna()


def by_run(results: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the numbers of each run: those of a benchmark and a settings hash.

    One walk over the numbers, where a comparison for each run would be many.

    Args:
        results: Tidy numbers.
    """
    return dict(list(results.groupby(["benchmark", "settings"])))


def standings(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each method's interquartile mean with its 95 % interval, best first.

    Args:
        scores: From :func:`scores_of`.

    Returns:
        Indexed by method: ``mean``, ``low``, ``high``.

    Source: Agarwal et al. 2021.
    """
    rows = {}
    for method in scores:
        draw = numpy_generator(BOOTSTRAP_SEED, "standings", str(method))
        found = stratified_bootstrap(scores[method], draw)
        rows[method] = {"mean": found.estimate, "low": found.low, "high": found.high}
    return pd.DataFrame(rows).T.sort_values("mean", ascending=False)


def predictions(
    results: pd.DataFrame, runs: dict[str, Record], diagnostic: str
) -> Interval | None:
    """Return how well a diagnostic after a task ranks the next task's plasticity.

    Each seed gives one rank correlation over all its networks: every method, after
    every task that was diagnosed and has a next one. The ceiling is left out, since its
    next network is another. The interval is over seeds.

    Args:
        results: Tidy numbers of a store.
        runs: From :func:`compared`.
        diagnostic: Which metric; infinite values rank last.

    Returns:
        None where nothing was diagnosed.

    Source: ours; the claim is of arXiv 2606.09762, appendix.
    """
    correlations = _correlations(results, runs, diagnostic, ["seed"])
    if correlations.empty:
        return None
    draw = numpy_generator(BOOTSTRAP_SEED, "prediction", diagnostic)
    return stratified_bootstrap(correlations, draw)


def within_methods(
    results: pd.DataFrame, runs: dict[str, Record], diagnostic: str
) -> Interval | None:
    """Return how well a diagnostic ranks the next task's plasticity within a method.

    Each seed gives the mean over methods of one rank correlation over the method's
    tasks. What methods differ in does not count: across methods a correlation may have
    the other sign (Simpson's paradox).

    Args:
        results: Tidy numbers of a store.
        runs: Method -> record.
        diagnostic: Which metric; infinite values rank last.

    Returns:
        None where nothing was diagnosed.
    """
    each = _correlations(results, runs, diagnostic, ["seed", "settings"])
    if each.empty:
        return None
    by_seed = each.groupby("seed").mean()
    draw = numpy_generator(BOOTSTRAP_SEED, "within", diagnostic)
    return stratified_bootstrap(by_seed, draw)


def _correlations(
    results: pd.DataFrame, runs: dict[str, Record], diagnostic: str, by: list[str]
) -> pd.Series:
    """Return a diagnostic's rank correlation with the next task's plasticity.

    Args:
        results: Tidy numbers of a store.
        runs: Method -> record; the ceiling is left out.
        diagnostic: Which metric; infinite values rank last.
        by: Columns: one correlation for each of their values, by which it is indexed.

    Source: Spearman's, which is Pearson's of ranks; a constant ranks nothing: 0.
    """
    hashes = {r["hash"] for method, r in runs.items() if method != CEILING}
    benchmarks = {record["benchmark"] for record in runs.values()}
    own = results[results["metric"].isin((diagnostic, "plasticity"))]
    own = own[own["settings"].isin(hashes) & own["benchmark"].isin(benchmarks)]
    keys = ["settings", "seed", "task"]
    before = own[own["metric"] == diagnostic][[*keys, "value"]]
    after = own[own["metric"] == "plasticity"][[*keys, "value"]]
    after = after.assign(task=after["task"] - 1)
    pairs = before.merge(after, on=keys, suffixes=("_before", "_after")).dropna()
    groups = [pairs[key] for key in by]
    ranks = pairs.groupby(by)[["value_before", "value_after"]].rank()
    ranks -= ranks.groupby(groups).transform("mean")
    first, second = ranks["value_before"], ranks["value_after"]
    products = pd.DataFrame({"both": first * second, "b": first**2, "a": second**2})
    sums = products.groupby(groups).sum()
    size = np.sqrt(sums["b"] * sums["a"])
    return sums["both"] / size.where(size > 0, 1.0)


def strength_grid(
    results: pd.DataFrame, records: list[Record], benchmark: str
) -> pd.Series | None:
    """Return AdamO's online accuracy by strength, all other settings being equal.

    Args:
        results: Tidy numbers of a store.
        records: Of its files.
        benchmark: Name of the benchmark.

    Returns:
        Interquartile mean over seeds, indexed by strength, of the settings with the
        most strengths; None with fewer than three, or where no accuracy was recorded.

    Source: the question is that of arXiv 2606.09762, Fig. 3.
    """
    own_numbers = results["benchmark"] == benchmark
    results = results[own_numbers & (results["metric"] == METRIC)]
    if results.empty:
        return None  # games, or a study with a metric of its own
    grids: dict[str, dict[float, str]] = {}
    for record in records:
        own: dict[str, Any] = dict(record["method_settings"])
        strength = own.pop("isometry_strength", None)  # a study's file has none
        if (record["benchmark"], record["method"]) == (benchmark, "adamo") and strength:
            rest = json.dumps([trained(record["settings"]), own], sort_keys=True)
            grids.setdefault(rest, {})[float(strength)] = record["hash"]
    grid = max(grids.values(), key=len, default={})
    if len(grid) < 3:
        return None
    values, named = {}, by_run(results[results["settings"].isin(grid.values())])
    for strength, name in grid.items():
        scores = seed_scores(named[benchmark, name], METRIC)
        draw = numpy_generator(BOOTSTRAP_SEED, "grid", str(strength))
        values[strength] = stratified_bootstrap(scores, draw).estimate
    return pd.Series(values).sort_index()
