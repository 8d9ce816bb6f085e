"""Which setting of a method was chosen, among which, on which seeds, by which metric.

Runs on tuning seeds stand in a store of their own, the folder ``tuning`` of the store.
A choice is a small JSON file beside the results of the setting that it chose, with the
same name: ``<store>/<benchmark>/<method>-<hash>.choice.json``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isometry.core.files import visible, write_whole
from isometry.core.messages import refusal, unknown
from isometry.core.settings import as_dict
from isometry.core.statistics import interquartile_mean
from isometry.lab.ladders import ends_of
from isometry.lab.provenance import provenance
from isometry.lab.report import seed_scores
from isometry.lab.run import Plan
from isometry.lab.search import Search, Sweep
from isometry.lab.store import TUNING, Record, StoreError, read_file, usable

CHOICE_VERSION = 1
SUFFIX = ".choice.json"
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


def read_choice(path: Path) -> Record:
    """Return what a choice file says.

    Args:
        path: A file that :func:`write_choice` wrote.

    Raises:
        StoreError: If it is no such file.
    """
    try:
        record = json.loads(path.read_bytes())
        version = record["choice_version"]
    except (ValueError, KeyError, TypeError):
        version = None
    if version != CHOICE_VERSION:
        needed = f"a choice of version {CHOICE_VERSION} in {path}"
        raise StoreError(refusal(needed, version, "move the file away and sweep again"))
    return record


def load_choices(path: str | Path) -> list[Record]:
    """Return the choices that stand beside the results of a store, sorted by name.

    Args:
        path: The store, a benchmark's folder in it, or one results file.

    Raises:
        StoreError: If a file cannot be read.
    """
    return [read_choice(file) for file in choice_files(path)]


def choice_files(path: str | Path) -> list[Path]:
    """Return the choices that stand beside the results of a store, sorted by name.

    Args:
        path: The store, a benchmark's folder in it, or one results file.
    """
    path = Path(path)
    if path.is_file():
        pattern = f"{path.stem}.*{SUFFIX.removeprefix('.')}"
        return list(visible(path.parent, pattern))
    return list(visible(path, f"**/*{SUFFIX}"))


def spelled(values: dict[str, Any]) -> str:
    """Return settings as they are typed.

    Args:
        values: By name.

    Example:
        >>> spelled({"lr": 0.001, "width": 64})
        'lr=0.001 width=64'
    """
    return " ".join(f"{key}={value}" for key, value in values.items())


def at_edge(record: Record) -> list[str]:
    """Return which chosen values are the smallest or largest of three or more tried.

    There the best value may lie outside of what was searched. A search that went on
    along ladders is at an edge where it had to stop: nowhere, once it is finished.

    Args:
        record: A choice.

    Example:
        >>> tried = [{"values": {"lr": lr}} for lr in (0.1, 0.2, 0.3)]
        >>> at_edge({"chosen": {"lr": 0.1}, "candidates": tried})
        ['lr']
    """
    ends = record.get("ends", {})
    found = [key for key, end in ends.items() if end == "open"]
    for key, value in record["chosen"].items():
        if key in ends:
            continue
        tried = {candidate["values"][key] for candidate in record["candidates"]}
        numbers = all(isinstance(one, int | float) for one in tried)
        if len(tried) > 2 and numbers and value in (min(tried), max(tried)):
            found.append(key)
    return found


def search_table(path: str | Path) -> pd.DataFrame:
    """Return one row a choice: what was chosen, from how many settings, and how.

    Args:
        path: The store, a benchmark's folder in it, or one results file.

    Returns:
        Columns ``benchmark, method, part`` (of the tasks), ``settings`` (the hash),
        ``chosen`` (as typed), ``at_edge``, ``at_limit`` (settings at the end of their
        ladder), ``searched`` (how many settings), ``score`` (on the tuning seeds;
        missing where there was one setting), ``metric, tune_seeds``.

    Raises:
        StoreError: If no file can be read; some that cannot are named in a warning.
    """
    rows = []
    for record in usable(choice_files(path), read_choice):
        scores = {one["hash"]: one["score"] for one in record["candidates"]}
        rows.append(
            {
                "benchmark": record["benchmark"],
                "method": record["method"],
                "part": record.get("part", "all"),
                "settings": record["hash"],
                "chosen": spelled(record["chosen"]),
                "at_edge": " ".join(at_edge(record)),
                "at_limit": " ".join(
                    key for key, end in record.get("ends", {}).items() if end == "limit"
                ),
                "searched": len(record["candidates"]),
                "score": scores[record["hash"]],
                "metric": record["metric"],
                "tune_seeds": ",".join(map(str, record["tune_seeds"])),
            }
        )
    columns = ["benchmark", "method", "part", "settings", "chosen", "at_edge"]
    columns += ["at_limit", "searched", "score", "metric", "tune_seeds"]
    return pd.DataFrame(rows, columns=columns)
