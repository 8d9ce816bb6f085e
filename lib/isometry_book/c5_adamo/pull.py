"""Chapter 5: do learning curves over many strengths, rates and lengths fall together?

If the dimensionless pull ``8 eta lambda T`` is what a run feels, then runs with equal
pull must agree, whatever their lambda, eta and T. A grid of runs is trained, and how
well one quantity alone foretells a run is measured on runs that were left out.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, stratified_bootstrap
from isometry.lab.store import TIDY
from isometry_book.c5_adamo.continual import (
    Sizes,
    record_spectra,
    stream_pixels,
    stream_settings,
)

BENCHMARK = "adamo_pull"
RATES = (3e-4, 1e-3, 3e-3)
STRENGTHS = (1e-2, 1e-1, 1.0, 10.0)
DEGREE = 3  # of the polynomial in the logarithm
KEYS = ["lr", "isometry_strength", "steps"]


def pull_runs(sizes: Sizes, data: str) -> pd.DataFrame:
    """Train AdamO under a grid of rates and strengths, and record after every task.

    Args:
        sizes: Of each run; the learning rate is one of :data:`RATES`.
        data: A data set's name.

    Returns:
        Tidy numbers. The task counts the combinations of rate, strength and length;
        metrics are lr, isometry_strength, steps, online_accuracy of the task that ends
        there, and deviation, the mean of ``|Gram - I|_F`` over the hidden layers.
    """
    settings = stream_settings(sizes, data)
    pixels, seeds = stream_pixels(settings), list(range(sizes.seeds))
    rows, combination = [], 0
    for lr in RATES:
        for strength in (0.0, *STRENGTHS):
            record = record_spectra(
                "adamo",
                replace(settings, lr=lr),
                pixels,
                seeds,
                isometry_strength=strength,
            )
            squares = (record.singular_values.square() - 1).square().sum(-1)
            deviation = squares.sqrt().mean(-1)  # (records, members)
            for index in range(settings.tasks):
                for seed in seeds:
                    found = {
                        "lr": lr,
                        "isometry_strength": strength,
                        "steps": float(record.steps[index + 1]),
                        "online_accuracy": float(record.online_accuracy[index, seed]),
                        "deviation": float(deviation[index + 1, seed]),
                    }
                    rows += [
                        (BENCHMARK, "adamo", seed, combination, metric, value)
                        for metric, value in found.items()
                    ]
                combination += 1
    return pd.DataFrame(rows, columns=TIDY)


def pull_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return one row a seed and combination, with the pull and what it changed.

    Args:
        numbers: From :func:`pull_runs`, or stored.

    Returns:
        Columns seed, lr, isometry_strength, steps, online_accuracy, deviation; pull =
        8 lr isometry_strength steps; relative_deviation and accuracy_gain, over and
        minus those of strength 0 at the same seed, lr and steps. Strength 0 is left
        out.
    """
    rows = numbers[numbers["benchmark"] == BENCHMARK]
    table = rows.pivot(index=["seed", "task"], columns="metric", values="value")
    table = table.reset_index().drop(columns="task").rename_axis(columns=None)
    table["pull"] = 8 * table["lr"] * table["isometry_strength"] * table["steps"]
    free = table[table["isometry_strength"] == 0]
    shared = ["seed", "lr", "steps"]
    free = free[[*shared, "deviation", "online_accuracy"]]
    both = table.merge(free, on=shared, suffixes=("", "_free"))
    both["relative_deviation"] = both["deviation"] / both["deviation_free"]
    both["accuracy_gain"] = both["online_accuracy"] - both["online_accuracy_free"]
    both = both.drop(columns=["deviation_free", "online_accuracy_free"])
    return both[both["isometry_strength"] > 0].reset_index(drop=True)


def _foretold(predictor: NDArray, target: NDArray, run: NDArray) -> NDArray:
    """Return what a curve through all other runs foretells of each run.

    The curve is a polynomial of degree :data:`DEGREE`, or of one less than the number
    of different values of the predictor.

    Source: cross-validation; Stone 1974.
    """
    found = np.empty_like(target, dtype=float)
    for left_out in np.unique(run):
        own = run == left_out
        degree = min(DEGREE, len(np.unique(predictor[~own])) - 1)
        curve = np.polynomial.Polynomial.fit(predictor[~own], target[~own], degree)
        low, high = predictor[~own].min(), predictor[~own].max()
        found[own] = curve(predictor[own].clip(low, high))  # no extrapolation
    return found


def explained(table: pd.DataFrame, target: str, predictor: str) -> Interval:
    """Return the share of a target's variance that one quantity alone foretells.

    ``1 - sum (y - curve)^2 / sum (y - mean)^2``, the curve in the predictor's logarithm
    from the runs of other rates and strengths. At most 1; below 0 where the curve does
    worse than the mean.

    Args:
        table: From :func:`pull_table`.
        target: A column.
        predictor: A column with positive values.

    Returns:
        The interquartile mean over the seeds with its 95 % interval.
    """
    shares = []
    for _, own in table.groupby("seed"):
        run = own.groupby(["lr", "isometry_strength"]).ngroup().to_numpy()
        y = own[target].to_numpy()
        x = np.log10(own[predictor].to_numpy())
        missed = np.square(y - _foretold(x, y, run)).sum()
        shares.append(1 - missed / np.square(y - y.mean()).sum())
    draw = numpy_generator(0, "pull", target, predictor)
    return stratified_bootstrap(shares, draw)


def rank_with_pull(table: pd.DataFrame, target: str) -> Interval:
    """Return the rank correlation of a target with the pull, over all combinations.

    Args:
        table: From :func:`pull_table`.
        target: A column.

    Returns:
        Over the seeds, as in :func:`explained`.

    Source: Spearman 1904.
    """
    ranks = [
        own[["pull", target]].corr(method="spearman").iloc[0, 1]
        for _, own in table.groupby("seed")
    ]
    return stratified_bootstrap(ranks, numpy_generator(0, "pull rank", target))


def final(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the end of their run.

    Args:
        table: From :func:`pull_table`.
    """
    return table[table["steps"] == table["steps"].max()]
