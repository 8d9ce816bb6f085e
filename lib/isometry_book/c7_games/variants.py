"""Chapter 7: agents of several depths, and runs with a single change."""

import json
import math
from pathlib import Path

import pandas as pd

from isometry.adamo import relaxation_steps
from isometry.core.messages import refusal
from isometry.lab.games_comparison import (
    GamesComparison,
    nearness,
    returns_by_method,
    scored,
    visit_ends,
)
from isometry.lab.labels import SCALE, labels_of, trained
from isometry.lab.store import Record, StoreError, load
from isometry.rl.continual_settings import ContinualSettings
from isometry.rl.ppo.settings import PPOSettings
from isometry_book.c7_games.tables import difference, intervals, late_scores, standing

MOST_CHANGES = 2  # settings in which a variant may differ
USUAL_INIT = PPOSettings.init
TORCHS_START = "(init=default)"  # behind a method whose agents begin as no isometry
LEAST_PULL = 10.0  # relaxation times in a visit, for a start that is no isometry


def _depth_runs(
    records: list[Record], benchmark: str, least_pull: float
) -> dict[tuple[str, int], Record]:
    """Return the runs of one game that differ in method, start and depth alone."""
    families: dict[str, dict[tuple[str, int], Record]] = {}
    for record in records:
        settings = record["settings"]
        one_game = record["benchmark"] == benchmark and "," not in settings["games"]
        if one_game and _pull_times(record) >= least_pull:
            varied = {"depth": None, "init": None}
            rest = json.dumps({**trained(settings), **varied}, sort_keys=True)
            start = settings.get("init", USUAL_INIT)
            label = record["method"]
            if start != USUAL_INIT:
                label += f"(init={start})"
            key = label, settings["depth"]
            found = families.setdefault(rest, {})
            if key not in found or nearness(record) > nearness(found[key]):
                found[key] = record
    deep = [f for f in families.values() if len({depth for _, depth in f}) > 1]
    return max(deep, key=len, default={})


def _pull_times(record: Record) -> float:
    """Return how many relaxation times a visit's pull has; infinite without a pull."""
    strength = record["method_settings"].get("isometry_strength")
    if strength is None:
        return math.inf
    steps = ContinualSettings(**record["settings"]).steps_per_task
    rate = record["method_settings"].get("isometry_lr") or record["settings"]["lr"]
    return steps / relaxation_steps(strength, rate)


def depth_returns(
    results: pd.DataFrame,
    records: list[Record],
    benchmark: str,
    least_pull: float = 0.0,
) -> pd.DataFrame:
    """Return what agents of several depths reach at the end of a visit.

    Args:
        results: Tidy numbers of a store.
        records: Of its files.
        benchmark: Name of the benchmark.
        least_pull: Relaxation times in a visit; a pull of fewer is left out. Of several
            runs of a method, that with the most usual settings stands.

    Returns:
        Columns ``method, depth, seed, game, pull`` (relaxation times, infinite without
        a pull) and ``episodic_return``, means over visits; no row without such runs.
    """
    runs = _depth_runs(records, benchmark, least_pull)
    columns = ["method", "depth", "seed", "game", "pull"]
    if not runs:
        return pd.DataFrame(columns=[*columns, "episodic_return"])
    named = {f"{method},{depth}": record for (method, depth), record in runs.items()}
    ends = visit_ends(returns_by_method(results, named))
    parts = ends["method"].str.rsplit(",", n=1)
    pull = ends["method"].map({name: _pull_times(one) for name, one in named.items()})
    ends = ends.assign(
        method=parts.str[0], depth=parts.str[1].astype("int64"), pull=pull
    )
    return ends.groupby(columns, as_index=False)["episodic_return"].mean()


def stored_depths(store: Path, benchmark: str, least_pull: float = 0.0) -> pd.DataFrame:
    """Return what stored agents of several depths reach, see :func:`depth_returns`.

    Args:
        store: The results store.
        benchmark: Name of the benchmark.
        least_pull: Relaxation times in a visit.

    Raises:
        StoreError: If the store has none.
    """
    folder = store / benchmark
    stored = load(folder)
    found = depth_returns(stored.frame, stored.records, benchmark, least_pull)
    if found.empty:
        needed = f"runs of {benchmark} with one game at two depths or more"
        do = "sweep depth over a benchmark of one game"
        raise StoreError(refusal(needed, "none", do))
    return found


def depth_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the return at the end of a visit by method and depth, over seeds.

    Args:
        found: From :func:`depth_returns`.

    Returns:
        Columns ``method, depth, mean, low, high, seeds``.

    Source: Agarwal et al. 2021 for the statistics.
    """
    return intervals(found, ["method", "depth"], "episodic_return")


def _changed_settings(record: Record, main: Record) -> set[str]:
    """Return in which settings, of the run or of the method, two runs differ."""
    own, other = (
        trained({**r["settings"], **r["method_settings"]}) for r in (record, main)
    )
    return {key for key in {*own, *other} if own.get(key) != other.get(key)}


def _variant_runs(
    records: list[Record], comparison: GamesComparison
) -> dict[str, Record]:
    """Return the runs that differ from one of the comparison's in a few settings."""
    found = {}
    for record in records:
        main = comparison.runs.get(record["method"])
        if main is None or record["benchmark"] != comparison.benchmark:
            continue
        changed = _changed_settings(record, main)
        if 0 < len(changed) <= MOST_CHANGES and not changed & set(SCALE):
            found[labels_of([main, record])[record["hash"]]] = record
    return dict(sorted(found.items()))


def variants_table(store: Path, comparison: GamesComparison) -> pd.DataFrame:
    """Return what single changes do to the score over the last quarter of the cycles.

    Args:
        store: The results store.
        comparison: Its main comparison; scores are on its yardstick.

    Returns:
        Indexed by label, changed runs below the run of the comparison: ``method, mean,
        low, high, seeds`` and, paired by seed, ``difference`` to the unchanged run with
        ``difference_low`` and ``difference_high``. No row without a changed run.

    Source: Agarwal et al. 2021 for the statistics.
    """
    stored = load(store / comparison.benchmark)
    runs = _variant_runs(stored.records, comparison)
    methods = {label: record["method"] for label, record in runs.items()}
    late = late_scores(comparison.scores)
    if runs:
        returns = returns_by_method(stored.frame, runs)
        changed = late_scores(scored(returns, comparison.yardstick))
        late = late.join(changed, how="outer")
    table, rows = standing(late), []
    for main in dict.fromkeys(methods.values()):
        rows.append({"label": main, "method": main, **table.loc[main]})
        for label in (name for name, method in methods.items() if method == main):
            row = {"label": label, "method": main, **table.loc[label]}
            gap = difference(late, label, main)
            if gap is not None:
                row["difference"] = gap.estimate
                row |= {"difference_low": gap.low, "difference_high": gap.high}
            rows.append(row)
    columns = ["method", "mean", "low", "high", "seeds", "difference"]
    columns += ["difference_low", "difference_high"]
    found = pd.DataFrame(rows, columns=["label", *columns]).set_index("label")
    return found.astype({"seeds": "int64"})
