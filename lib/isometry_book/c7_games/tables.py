"""Chapter 7: what the stored agents reached, cycle by cycle and method by method.

All numbers over seeds are interquartile means with 95 % bootstrap intervals.
"""

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from isometry.core.messages import refusal
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference, stratified_bootstrap
from isometry.lab.comparison import CEILING, DIAGNOSTICS
from isometry.lab.games_comparison import GamesComparison
from isometry.lab.report import BOOTSTRAP_SEED, bootstrapped, interval_columns
from isometry.lab.store import StoreError, load_results

PARTS = ("actor", "critic")


def late_scores(scores: pd.DataFrame, game: str | None = None) -> pd.DataFrame:
    """Return the mean score over the last quarter of the cycles.

    Games count the same. A quarter is rounded up.

    Args:
        scores: Of a comparison.
        game: Only this one, or all.

    Returns:
        One row a seed, one column a method; missing where a method lacks a seed.
    """
    cycles = int(scores["cycle"].max()) + 1
    if game is not None:
        scores = scores[scores["game"] == game]
    return seed_means(scores[scores["cycle"] >= cycles - ceil(cycles / 4)])


def seed_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over visits, then over games.

    Args:
        scores: Some rows of a comparison's.

    Returns:
        One row a seed, one column a method; missing where a method lacks a seed.
    """
    by_game = scores.groupby(["seed", "method", "game"])["score"].mean()
    means = by_game.groupby(["seed", "method"]).mean().unstack()
    return means.rename_axis(index=None, columns=None)


def intervals(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Return the interquartile mean over seeds with its interval, group by group.

    Args:
        frame: With the columns ``by``, ``seed`` and ``value``; a seed counts once in a
            group, with its mean.
        by: Columns that make the groups.
        value: Name of the column of numbers.

    Returns:
        Columns ``by``, ``mean, low, high, seeds``; no number where one of a group's is
        not finite.

    Source: Agarwal et al. 2021.
    """
    rows = []
    for group, part in frame.groupby(by):
        means = part.groupby("seed")[value].mean()
        found = bootstrapped(means, value, *map(str, group))
        rows.append((*group, *interval_columns("", found).values(), len(means)))
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "seeds"])


def standing(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each method's score with its interval, best first.

    Args:
        scores: One row a seed, one column a method; seeds may be missing.

    Returns:
        Indexed by method: ``mean, low, high, seeds``. As
        :func:`isometry.lab.comparison.standings`, but a method does not lose
        the seeds that another one lacks.

    Source: Agarwal et al. 2021.
    """
    long = scores.melt(var_name="method", value_name="score", ignore_index=False)
    long = long.rename_axis(index="seed").reset_index().dropna()
    table = intervals(long, ["method"], "score").set_index("method")
    return table.sort_values("mean", ascending=False).rename_axis(index=None)


def difference(scores: pd.DataFrame, method: str, other: str) -> Interval | None:
    """Return one method's score minus another's, paired by seed.

    Args:
        scores: One row a seed, one column a method.
        method: Whose.
        other: Minus whose.

    Returns:
        None where they share no seed.

    Source: Agarwal et al. 2021 for the statistics.
    """
    both = scores[[method, other]].dropna()
    if both.empty:
        return None
    draw = numpy_generator(BOOTSTRAP_SEED, "games", method, other)
    return paired_difference(both[method], both[other], draw)


def over_cycles(scores: pd.DataFrame, game: str | None = None) -> pd.DataFrame:
    """Return each method's score cycle by cycle.

    Args:
        scores: Of a comparison.
        game: Only this one, or the mean over games.

    Returns:
        Columns ``method, cycle, mean, low, high, seeds``.

    Source: Agarwal et al. 2021 for the statistics.
    """
    if game is not None:
        scores = scores[scores["game"] == game]
    return intervals(scores, ["method", "cycle"], "score")


def changes(scores: pd.DataFrame) -> dict[str, Interval]:
    """Return the last quarter of the cycles minus the first cycle, paired by seed.

    A negative one is a loss of plasticity: every visit has the same length, so what an
    agent reaches in it says how well it learned.

    Args:
        scores: Of a comparison.

    Returns:
        Method -> change.

    Raises:
        StoreError: If there is one cycle only.
    """
    if scores["cycle"].max() < 1:
        needed = "at least two cycles for a change over cycles"
        raise StoreError(refusal(needed, "one", "run with cycles=2 or more"))
    first, last = seed_means(scores[scores["cycle"] == 0]), late_scores(scores)
    found = {}
    for method in last:
        both = pd.DataFrame({"last": last[method], "first": first[method]}).dropna()
        draw = numpy_generator(BOOTSTRAP_SEED, "change", str(method))
        found[str(method)] = paired_difference(both["last"], both["first"], draw)
    return found


def learning_curves(comparison: GamesComparison) -> pd.DataFrame:
    """Return the return within a visit in its own game, cycle by cycle.

    Args:
        comparison: Of a benchmark.

    Returns:
        Columns ``method, game, cycle, env_steps, episodic_return``: means over seeds.
    """
    own = comparison.returns
    own = own[own["game"] == own["visited"]]
    by = ["method", "game", "cycle", "env_steps"]
    return own.groupby(by, as_index=False)["episodic_return"].mean()


def diagnosed(store: Path, comparison: GamesComparison) -> pd.DataFrame:
    """Return the diagnostics of actor and critic after each visit of a comparison.

    Args:
        store: The results store.
        comparison: Says which runs.

    Returns:
        Columns ``method, seed, visit, cycle, part, diagnostic, value``; numbers that
        are not finite are left out.

    Raises:
        StoreError: If there is nothing in the store, or nothing was diagnosed.
    """
    results = load_results(store / comparison.benchmark)
    names = {record["hash"]: method for method, record in comparison.runs.items()}
    own = results[results["settings"].isin(names)]
    pattern = rf"^({'|'.join(PARTS)})_({'|'.join(DIAGNOSTICS)})$"
    named = own["metric"].str.extract(pattern)
    own = own.assign(part=named[0], diagnostic=named[1], visit=own["task"])
    own = own[own["part"].notna() & np.isfinite(own["value"])]
    if own.empty:
        needed = f"diagnostics of {comparison.benchmark}"
        raise StoreError(refusal(needed, "none", "run with diagnose_every=1"))
    games = comparison.scores["game"].nunique()
    own = own.assign(method=own["settings"].map(names), cycle=own["task"] // games)
    columns = ["method", "seed", "visit", "cycle", "part", "diagnostic", "value"]
    return own[columns].reset_index(drop=True)


def diagnostics_over_cycles(found: pd.DataFrame) -> pd.DataFrame:
    """Return each diagnostic by method and cycle, over seeds.

    Args:
        found: From :func:`diagnosed`.

    Returns:
        Columns ``part, diagnostic, method, cycle, mean, low, high, seeds``.

    Source: Agarwal et al. 2021 for the statistics.
    """
    return intervals(found, ["part", "diagnostic", "method", "cycle"], "value")


def prediction(
    comparison: GamesComparison, found: pd.DataFrame, part: str, diagnostic: str
) -> Interval | None:
    """Return how well a diagnostic after a visit ranks the next visit's score.

    Each seed gives the mean over games of one rank correlation: over all methods and
    all visits that are followed by one of that game. Fresh networks are left out, since
    the next visit's network is another. The interval is over seeds.

    Args:
        comparison: Of a benchmark.
        found: From :func:`diagnosed`.
        part: ``actor`` or ``critic``.
        diagnostic: One of :data:`isometry.lab.comparison.DIAGNOSTICS`.

    Returns:
        None where nothing was diagnosed before a next visit.

    Source: ours; the claim is of arXiv 2606.09762, appendix.
    """
    own = found[(found["part"] == part) & (found["diagnostic"] == diagnostic)]
    own = own[own["method"] != CEILING].assign(visit=own["visit"] + 1)
    key = ["method", "seed", "visit"]
    pairs = own.merge(comparison.scores[[*key, "game", "score"]], on=key)
    if pairs.empty:
        return None
    correlations = {
        group: spearmanr(one["value"], one["score"]).statistic
        if one["value"].nunique() > 1 and one["score"].nunique() > 1
        else 0.0  # a constant ranks nothing
        for group, one in pairs.groupby(["seed", "game"])
    }
    by_seed = pd.Series(correlations).groupby(level=0).mean()
    draw = numpy_generator(BOOTSTRAP_SEED, "prediction", part, diagnostic)
    return stratified_bootstrap(by_seed, draw)
