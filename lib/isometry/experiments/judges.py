"""The judges of the claims: from the store's numbers to a verdict."""

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference
from isometry.experiments.claims import CLAIMS, Verdict, judged
from isometry.experiments.report import BOOTSTRAP_SEED, seed_scores

__all__ = ["CLAIMS"]

BASELINES = ("adam", "l2_init", "nap", "redo", "spectral_norm", "newton_schulz")


def largest(results: pd.DataFrame, benchmark: str, method: str) -> pd.DataFrame | None:
    """Return the numbers of the setting with most tasks, then seeds, of a method.

    Args:
        results: Tidy numbers of a store.
        benchmark: Name of the benchmark.
        method: Name of the method.

    Returns:
        Tidy numbers of one setting, or None where the store has none.

    Source: ours.
    """
    chosen = results[
        (results["benchmark"] == benchmark) & (results["method"] == method)
    ]
    if chosen.empty:
        return None
    sizes = chosen.groupby("settings")[["task", "seed"]].nunique()
    best = sizes.sort_values(["task", "seed"]).index[-1]
    return chosen[chosen["settings"] == best]


def change(numbers: pd.DataFrame, metric: str) -> Interval:
    """Return the last fifth of the tasks minus the first fifth, paired by seed.

    Args:
        numbers: Of one benchmark, method and setting.
        metric: Which metric.

    Source: ours.
    """
    last = seed_scores(numbers, metric, "last")
    first = seed_scores(numbers, metric, "first")
    settings = str(numbers["settings"].iloc[0])
    draw = numpy_generator(BOOTSTRAP_SEED, "change", settings, metric)
    return paired_difference(last, first, draw)


@judged("plasticity-loss")
def plasticity_loss(results: pd.DataFrame) -> Verdict | None:
    """Judge whether Adam loses plasticity on Random-Label MNIST and a fresh net not.

    Args:
        results: Tidy numbers of a store.

    Source: ours.
    """
    benchmark = "random_label_mnist"
    adam = largest(results, benchmark, "adam")
    fresh = largest(results, benchmark, "fresh")
    if adam is None or fresh is None:
        return None
    lost, kept = change(adam, "plasticity"), change(fresh, "plasticity")
    if min(lost.num_seeds, kept.num_seeds) < 5:
        return None
    falls, steady = lost.high < 0, abs(kept.estimate) <= 0.02
    outcome = ("not reproduced", "partly", "reproduced")[falls + (falls and steady)]
    tasks = adam["task"].nunique()
    return Verdict(
        verdict=outcome,  # type: ignore[arg-type]
        reason=f"Last fifth minus first fifth of {tasks} tasks: Adam {lost}, fresh "
        f"network {kept}; {lost.num_seeds} seeds.",
        gap="The paper names no such experiment of its own; the stream is the "
        "literature's positive control.",
    )
