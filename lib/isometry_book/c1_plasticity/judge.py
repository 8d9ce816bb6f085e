"""The judges of the claims: from the store's numbers to a verdict."""

import json
from collections.abc import Sequence

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference
from isometry.lab.report import BOOTSTRAP_SEED, seed_scores
from isometry.lab.store import Record
from isometry_book.claims.claim import Verdict, judged


def _same_setting(
    results: pd.DataFrame, records: list[Record], benchmark: str, methods: Sequence[str]
) -> list[pd.DataFrame] | None:
    """Return the numbers of several methods under one common setting of the run.

    Where a store has several common settings, the one with most tasks is taken, then
    the one with most seeds.
    """
    groups: dict[str, dict[str, str]] = {}
    for record in records:
        if record["benchmark"] == benchmark and record["method"] in methods:
            setting = json.dumps(record["settings"], sort_keys=True)
            groups.setdefault(setting, {})[record["method"]] = record["hash"]
    common = [found for found in groups.values() if set(found) == set(methods)]
    if not common:
        return None

    def numbers(found: dict[str, str]) -> list[pd.DataFrame]:
        return [results[results["settings"] == found[name]] for name in methods]

    def size(found: dict[str, str]) -> tuple[int, int]:
        first = numbers(found)[0]
        return first["task"].nunique(), first["seed"].nunique()

    return numbers(max(common, key=size))


def _change(numbers: pd.DataFrame, metric: str) -> Interval:
    """Return the last fifth of the tasks minus the first fifth, paired by seed."""
    last = seed_scores(numbers, metric, "last")
    first = seed_scores(numbers, metric, "first")
    settings = str(numbers["settings"].iloc[0])
    draw = numpy_generator(BOOTSTRAP_SEED, "change", settings, metric)
    return paired_difference(last, first, draw)


@judged("plasticity-loss")
def _plasticity_loss(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether Adam loses plasticity on Random-Label MNIST and a fresh net not."""
    # The benchmark also runs on digits, of which the criterion does not speak.
    records = [r for r in records if r["settings"].get("data") == "mnist"]
    found = _same_setting(results, records, "random_label_mnist", ("adam", "fresh"))
    if found is None:
        return None
    adam, fresh = found
    lost, kept = _change(adam, "plasticity"), _change(fresh, "plasticity")
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
