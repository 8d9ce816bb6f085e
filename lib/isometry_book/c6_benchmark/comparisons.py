"""Chapter 6: a live run of Permuted MNIST, and the stored comparison of all methods."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import pandas as pd

from isometry.adamo import relaxation_steps
from isometry.core.profile import ByProfile
from isometry.core.settings import as_dict
from isometry.core.statistics import Interval
from isometry.lab.comparison import (
    DIAGNOSTICS,
    METRIC,
    compared,
    predictions,
    scores_of,
    standings,
    with_choices,
)
from isometry.lab.labels import labels_of, trained
from isometry.lab.report import summary
from isometry.lab.run import plan, run
from isometry.lab.store import Record, load
from isometry.supervised.settings import SupervisedSettings

BENCHMARK = "permuted_mnist"
SEEDS = ByProfile(smoke=3, laptop=3, paper=8)
LITERAL = 1e-3  # the strength the paper reports
STRONG = 0.3  # relaxes within a few tasks of the laptop profile
RUNS: tuple[tuple[str, dict[str, float]], ...] = (
    ("fresh", {}),
    ("adam", {}),
    ("adamo", {"isometry_strength": LITERAL}),
    ("adamo", {"isometry_strength": STRONG}),
)


def live_comparison(
    data: str, profile: str, store: Path, device: str = "cpu"
) -> pd.DataFrame:
    """Run Adam, AdamO at two strengths and a fresh network, all on the same seeds.

    Args:
        data: Name of the data set.
        profile: smoke, laptop or paper.
        store: Where the results go.
        device: Where to train.

    Returns:
        Tidy numbers, with a column ``label`` for figures.

    Raises:
        ValueError: If the profile is not known.

    Source: arXiv 2606.09762, Sec. 6, at our scale.
    """
    frames = []
    for method, changes in RUNS:
        frame = run(
            BENCHMARK,
            method,
            range(SEEDS.of(profile)),
            {"data": data, **changes},
            profile=profile,
            out=store,
            device=device,
        )
        strength = changes.get("isometry_strength")
        frame["label"] = f"{method}, {strength:g}" if strength else method
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def relaxation_in_tasks(data: str, profile: str) -> dict[float, float]:
    """Return how many tasks a singular value near one takes to relax, by strength.

    Args:
        data: Name of the data set.
        profile: Says learning rate, images and batch size.

    Returns:
        Tasks (e-folding time of the isometry step) by strength.

    Source: ours; Eq. 16 and 20 linearised at one.
    """
    settings = plan(BENCHMARK, "adamo", {"data": data}, profile).settings
    return {
        strength: 1 / (strength * pull_of_strength_one(settings))
        for strength in (LITERAL, STRONG)
    }


def pull_of_strength_one(settings: SupervisedSettings) -> float:
    """Return the pull 8 eta_iso lambda T of a task for lambda = 1.

    Args:
        settings: Learning rate, epochs, images and batch size.

    Returns:
        Dimensionless: how many relaxation times a task lasts.

    Source: ours; Eq. 16 and 20 linearised at one.
    """
    steps = settings.epochs * ceil(settings.images_per_task / settings.batch_size)
    return steps / relaxation_steps(1.0, settings.lr)


def stored_grid(
    store: Path, benchmark: str, profile: str = "laptop", data: str = "mnist"
) -> pd.DataFrame:
    """Return the summary of AdamO's strengths under a profile's own settings.

    Args:
        store: The results store.
        benchmark: Name of the benchmark.
        profile: Whose settings the runs must have, learning rate and all.
        data: Name of the data set.

    Returns:
        Rows of :func:`isometry.lab.report.summary`, in its order, of AdamO, Adam and
        fresh networks, labelled among themselves; none where the store has no such run.

    Raises:
        StoreError: If there is nothing under the benchmark's folder.
    """
    stored = load(store / benchmark)
    settings = as_dict(plan(benchmark, "adam", {"data": data}, profile).settings)
    same = [
        record
        for record in stored.records
        if trained(record["settings"]) == trained(settings)
        and record["method"] in ("adam", "adamo", "fresh")
    ]
    labels, table = labels_of(same), summary(stored)
    table = table[table["settings"].isin(labels)].reset_index(drop=True)
    return table.assign(method=table["settings"].map(labels), scale="")


@dataclass(frozen=True)
class Comparison:
    """All methods on one benchmark, at the settings a sweep chose.

    Attributes:
        runs: Method -> record.
        scores: Mean online accuracy: one row a seed, one column a method.
        table: Interquartile means with 95 % intervals, best first.
        predictions: Diagnostic -> its rank correlation with the next task's plasticity.
    """

    runs: dict[str, Record]
    scores: pd.DataFrame
    table: pd.DataFrame
    predictions: dict[str, Interval]


def stored_comparisons(store: Path, network: str = "mlp") -> dict[str, Comparison]:
    """Return the stored comparisons of supervised benchmarks, by benchmark.

    Args:
        store: The results store.
        network: Kind of network.

    Raises:
        StoreError: If there is nothing in the store.
    """
    stored = load(store)
    results, records = stored.frame, with_choices(stored.records, store)
    found = {}
    for benchmark in dict.fromkeys(record["benchmark"] for record in records):
        runs = compared(records, benchmark, network)
        own = results[results["benchmark"] == benchmark]
        if len(runs) < 2 or METRIC not in set(own["metric"]):
            continue  # no sweep, or games, which have a comparison of their own
        scores = scores_of(results, runs)
        known = {name: predictions(results, runs, name) for name in DIAGNOSTICS}
        found[benchmark] = Comparison(
            runs,
            scores,
            standings(scores),
            {name: value for name, value in known.items() if value is not None},
        )
    return found
