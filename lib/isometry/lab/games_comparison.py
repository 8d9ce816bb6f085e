"""Games in turn: which runs are compared, and on which scale their returns.

Nothing is searched in these experiments, so a comparison is the runs that differ in the
method alone. Beside them a store may hold studies of depth and single changes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.core.messages import refusal
from isometry.core.settings import as_dict
from isometry.lab.comparison import CEILING
from isometry.lab.labels import BASELINE, trained
from isometry.lab.plans import plan
from isometry.lab.returns import returns_of
from isometry.lab.store import Record, StoreError, load

VISIT = ["settings", "seed", "visit"]


@dataclass(frozen=True)
class _Yardstick:
    """Where zero and one are on the scale of each game's return.

    Attributes:
        source: Whose returns it is made of: ``fresh``, or ``adam`` in its first cycle.
        table: Indexed by game: ``start``, mean return before a visit's first update,
            and ``end``, that at its end. With ``fresh`` the start is a random policy.
    """

    source: str
    table: pd.DataFrame


@dataclass(frozen=True)
class GamesComparison:
    """All methods on one sequence of games, under the same settings of the run.

    Attributes:
        benchmark: Its name.
        runs: Method -> record.
        returns: Every evaluation, see :func:`isometry.lab.returns.returns_of`,
            with plain names of methods.
        yardstick: The scale of each game.
        scores: One row a method, seed and visit: ``method, seed, visit, cycle, game,
            score``; 0 and 1 as the yardstick says.
    """

    benchmark: str
    runs: dict[str, Record]
    returns: pd.DataFrame
    yardstick: _Yardstick
    scores: pd.DataFrame


def seeds_of(record: Record) -> set[int]:
    """Return the seeds that a file holds.

    Args:
        record: Of the file.
    """
    return {seed for run in record["runs"] for seed in run["seeds"]}


def _num_departures(record: Record) -> int:
    """Return how many of its method's settings are not those of its benchmark."""
    planned = plan(record["benchmark"], record["method"])
    usual, own = as_dict(planned.method_settings), record["method_settings"]
    return sum(own.get(key) != usual.get(key) for key in {*own, *usual})


def _same_games(records: list[Record], benchmark: str) -> dict[str, Record]:
    """Return a benchmark's main comparison: runs that differ in the method alone.

    Of several common settings the one with the most methods is taken, then with the
    most visits, then with the most seeds that all have. A method that was run with
    several settings of its own has those nearest to the benchmark's, then the ones
    with the most seeds.
    """
    groups: dict[str, dict[str, Record]] = {}
    for record in records:
        if record["benchmark"] == benchmark:
            setting = json.dumps(trained(record["settings"]), sort_keys=True)
            found = groups.setdefault(setting, {})
            other = found.get(record["method"])
            if other is None or nearness(record) > nearness(other):
                found[record["method"]] = record

    def size(found: dict[str, Record]) -> tuple[int, int, int]:
        settings = next(iter(found.values()))["settings"]
        visits = settings["cycles"] * len(settings["games"].split(","))
        return len(found), visits, min(len(seeds_of(r)) for r in found.values())

    return max(groups.values(), key=size, default={})


def nearness(record: Record) -> tuple[int, int, str]:
    """Return what decides between two settings of one method: the larger one stands.

    Args:
        record: Of a file.
    """
    return -_num_departures(record), len(seeds_of(record)), record["hash"]


def visit_ends(returns: pd.DataFrame) -> pd.DataFrame:
    """Return the evaluations at the end of each visit in the visit's own game.

    Args:
        returns: From :func:`isometry.lab.returns.returns_of`.
    """
    own = returns[returns["game"] == returns["visited"]]
    last = own.groupby(VISIT)["env_steps"].transform("max")
    return own[own["env_steps"] == last]


def _yardstick_of(returns: pd.DataFrame) -> _Yardstick:
    """Return each game's scale, from fresh networks or else from Adam's first cycle.

    Zero is the mean return before the first update of a visit. A fresh network then
    acts at random; Adam's may have played the other games before. One is the mean
    return at the visit's end. The means are over seeds and, for fresh networks, cycles.
    """
    methods = set(returns["method"])
    source = CEILING if CEILING in methods else BASELINE
    if source not in methods:
        needed = f"runs of {CEILING} or {BASELINE} to scale returns by"
        found = ", ".join(sorted(methods)) or "none"
        raise StoreError(refusal(needed, found, f"run {CEILING} as well"))
    own = returns[returns["method"] == source]
    if source == BASELINE:
        own = own[own["cycle"] == 0]
    start = own[(own["env_steps"] == 0) & (own["game"] == own["visited"])]
    columns = {"start": start, "end": visit_ends(own)}
    table = pd.DataFrame(
        {
            name: rows.groupby("game")["episodic_return"].mean()
            for name, rows in columns.items()
        }
    )
    for game, row in table.iterrows():
        if not row["end"] > row["start"]:
            needed = f"a return of {source} in {game} that rises within a visit"
            found = f"{row['start']:g} before and {row['end']:g} after"
            raise StoreError(refusal(needed, found, "take longer visits"))
    return _Yardstick(source, table)


def scored(returns: pd.DataFrame, yardstick: _Yardstick) -> pd.DataFrame:
    """Return the score at the end of each visit in its own game.

    Args:
        returns: Of one comparison, or of other runs of the same games.
        yardstick: The scale of each game.

    Returns:
        Columns ``method, seed, visit, cycle, game, score``; dimensionless.

    Source: ours; the form is that of human-normalised scores (Mnih et al. 2015).
    """
    ends = visit_ends(returns)
    start = ends["game"].map(yardstick.table["start"])
    span = ends["game"].map(yardstick.table["end"]) - start
    ends = ends.assign(score=(ends["episodic_return"] - start) / span)
    columns = ["method", "seed", "visit", "cycle", "game", "score"]
    return ends[columns].reset_index(drop=True)


def compared_games(
    results: pd.DataFrame, records: list[Record], benchmark: str
) -> GamesComparison | None:
    """Return a benchmark's main comparison from the numbers of a store.

    Args:
        results: Tidy numbers.
        records: Of their files.
        benchmark: Name of the benchmark.

    Returns:
        None where the benchmark was not run.

    Raises:
        StoreError: If returns have no scale, see :func:`_yardstick_of`.
    """
    runs = _same_games(records, benchmark)
    returns = returns_by_method(results, runs)
    if returns.empty:
        return None
    yardstick = _yardstick_of(returns)
    scores = scored(returns, yardstick)
    return GamesComparison(benchmark, runs, returns, yardstick, scores)


def returns_by_method(results: pd.DataFrame, runs: dict[str, Record]) -> pd.DataFrame:
    """Return the evaluations of some runs under the names given to them.

    Args:
        results: Tidy numbers of a store.
        runs: Name -> record.
    """
    returns = returns_of(results, list(runs.values()))
    names = {record["hash"]: name for name, record in runs.items()}
    return returns.assign(method=returns["settings"].map(names))


def games_comparison(store: Path, benchmark: str, **settings: Any) -> GamesComparison:
    """Return the main comparison of a benchmark of games in a store.

    Args:
        store: The results store.
        benchmark: Name of the benchmark.
        **settings: Only runs with these, e.g. ``depth=16``.

    Raises:
        StoreError: If the store has no such run, or returns have no scale.
    """
    stored = load(store / benchmark)
    chosen = [
        record
        for record in stored.records
        if settings.items() <= record["settings"].items()
    ]
    found = compared_games(stored.frame, chosen, benchmark)
    if found is None:
        with_ = "".join(f" with {key}={value}" for key, value in settings.items())
        needed = f"returns of {benchmark}{with_} under {store}"
        raise StoreError(refusal(needed, "none", f"run {benchmark} into it"))
    return found
