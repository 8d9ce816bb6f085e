"""Which setting of a method is chosen: the best of a search on its tuning seeds."""

import json
from pathlib import Path

import numpy as np

from isometry.core.files import write_whole
from isometry.core.messages import unknown
from isometry.core.settings import as_dict
from isometry.core.statistics import interquartile_mean
from isometry.lab.choices import CHOICE_VERSION, SUFFIX, read_choice
from isometry.lab.ladders import ends_of
from isometry.lab.provenance import provenance
from isometry.lab.report import seed_scores
from isometry.lab.run import Plan
from isometry.lab.search import Search, Sweep
from isometry.lab.store import TUNING, Record, read_file

STATISTIC = "interquartile mean over seeds of the mean over tasks"


def tuning_store(store: Path) -> Path:
    """Return the store of the runs on tuning seeds.

    Args:
        store: The store of the results.
    """
    return store / TUNING


def choice_path(planned: Plan, store: Path, part: str = "all") -> Path:
    """Return where the choice of a setting stands: beside its results.

    Args:
        planned: The chosen setting.
        store: The store of the results.
        part: Of the tasks for which it was chosen.
    """
    suffix = SUFFIX if part == "all" else f".{part}{SUFFIX}"
    return planned.path(store).with_suffix(suffix)


def _tuning_score(planned: Plan, sweep: Sweep, store: Path, part: str = "all") -> float:
    """Return what a setting reached on the tuning seeds."""
    frame, _ = read_file(planned.path(tuning_store(store)))
    frame = frame[frame["seed"].isin(sweep.tune_seeds)]
    known = set(frame["metric"])
    if sweep.metric not in known:
        kind = f"metric of {planned.benchmark.name}"
        raise KeyError(unknown(kind, sweep.metric, known))
    scores = seed_scores(frame, sweep.metric, part)
    return float(interquartile_mean(scores.to_numpy()))


def choice(
    search: Search, sweep: Sweep, store: Path, part: str = "all"
) -> tuple[int, Record]:
    """Return the candidate with the best tuning score, and how it was chosen.

    A search space of one point is not searched: it has no scores. Of equal scores the
    first one wins.

    Args:
        search: The candidates; all are in the tuning store.
        sweep: Names metric and seeds.
        store: The store of the results.
        part: Of the tasks that count.

    Returns:
        The candidate's place, and a JSON-ready record without provenance.

    Raises:
        KeyError: If the benchmark does not record the metric.

    Source: ours; Kumar et al. 2023 choose by average online accuracy over three seeds.
    """
    scores: list[float | None] = [None] * len(search.plans)
    best = 0
    if len(search.plans) > 1:
        found = [_tuning_score(planned, sweep, store, part) for planned in search.plans]
        best, scores = int(np.argmax(found)), list(found)
    chosen = search.plans[best]
    candidates = [
        {"values": values, "hash": planned.hash(), "score": score}
        for values, planned, score in zip(
            search.candidates, search.plans, scores, strict=True
        )
    ]
    record = {
        "choice_version": CHOICE_VERSION,
        "experiment_version": chosen.benchmark.experiment_version,
        "benchmark": search.benchmark,
        "method": search.method,
        "hash": chosen.hash(),
        "settings": as_dict(chosen.settings),
        "method_settings": as_dict(chosen.method_settings),
        "chosen": search.candidates[best],
        "candidates": candidates,
        "metric": sweep.metric,
        "statistic": STATISTIC,
        "part": part,
        "ladders": {key: list(values) for key, values in search.ladders.items()},
        "ends": ends_of(search, best),
        "tune_seeds": list(sweep.tune_seeds),
        "report_seeds": list(sweep.report_seeds),
        "budgets": sweep.budgets(),
    }
    return best, record


def write_choice(path: Path, record: Record) -> None:
    """Write a choice with its provenance, whole or not at all.

    The same choice, made again, keeps the provenance of the first time.

    Args:
        path: See :func:`choice_path`.
        record: See :func:`choice`.
    """
    if path.exists():
        before = read_choice(path)
        if {key: before.get(key) for key in record} == record:
            return
    text = json.dumps({**record, "provenance": provenance()}, indent=1)
    write_whole(path, (text + "\n").encode())
