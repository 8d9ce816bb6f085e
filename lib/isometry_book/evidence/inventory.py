"""What was run: streams, methods, seeds, sizes and hours, counted from the store."""

from pathlib import Path
from typing import Any

import pandas as pd

from isometry.lab.store import load_records
from isometry.supervised.settings import SupervisedSettings

TUNING = "tuning"  # the store's folder of the runs that settings were chosen by
KINDS = {"mlp": "perceptron", "cnn": "convolutions", "transformer": "transformer"}


def inventory(store: Path) -> pd.DataFrame:
    """Return a row for each stream and size that was run.

    Args:
        store: The results store.

    Returns:
        Columns ``stream``, ``network`` (layers and width), ``tasks``, ``steps`` (of
        the optimiser in a task; 0 in games), ``methods``, ``seeds`` (those of the
        method with the most), ``runs`` and ``tuning`` (stored runs of one seed,
        reported and of searches), ``hours`` of one core in all, and ``device``; sorted
        by hours, most first.

    Raises:
        StoreError: If a file cannot be used.
    """
    rows: dict[tuple[str, str, int, int], dict[str, Any]] = {}
    for folder in (store, store / TUNING):
        for record in load_records(folder):
            settings = record["settings"]
            if "study" in settings:
                continue
            size = _length(settings), steps_of(settings)
            key = record["benchmark"], _network(settings), *size
            row = rows.setdefault(
                key,
                {
                    "methods": set(),
                    "seeds": {},
                    "runs": 0,
                    "tuning": 0,
                    "hours": 0.0,
                    "device": set(),
                },
            )
            _add(row, record, tuned=folder is not store)
    found = [
        {
            "stream": stream,
            "network": network,
            "tasks": tasks,
            "steps": steps,
            **row,
            "methods": len(row["methods"]),
            "seeds": max(map(len, row["seeds"].values()), default=0),
            "device": ", ".join(sorted(row["device"])),
        }
        for (stream, network, tasks, steps), row in rows.items()
    ]
    table = pd.DataFrame(found)
    return table.sort_values("hours", ascending=False, ignore_index=True)


def study_hours(store: Path) -> float:
    """Return the hours of one core that the chapters' own studies took.

    What one study writes into several folders is counted once.

    Args:
        store: The results store.
    """
    once = {
        (record["settings"]["study"], run["commit"], run["study_seconds"])
        for record in load_records(store)
        if "study" in record["settings"]
        for run in record["runs"]
    }
    return sum(seconds for *_, seconds in once) / 3600


def _add(row: dict[str, Any], record: dict[str, Any], tuned: bool) -> None:
    """Count a file's runs into the row of its stream."""
    for run in record["runs"]:
        row["tuning" if tuned else "runs"] += len(run["seeds"])
        row["hours"] += run.get("core_seconds", run.get("seconds", 0)) / 3600
        row["device"].add(run["device"].partition(",")[0])
        if not tuned:
            row["methods"].add(record["method"])
            row["seeds"].setdefault(record["method"], set()).update(run["seeds"])


def _network(settings: dict[str, Any]) -> str:
    """Return a network's kind and size in a few words; without sizes it is linear."""
    kind = KINDS.get(settings.get("network", "mlp"), "perceptron")
    sizes = [settings[key] for key in ("depth", "width") if key in settings]
    return f"{kind} {' × '.join(map(str, sizes))}" if sizes else "linear"


def _length(settings: dict[str, Any]) -> int:
    """Return how many tasks a run has; of games, how many visits."""
    if "tasks" in settings:
        return int(settings["tasks"])
    if "cycles" in settings:
        return int(settings["cycles"] * len(settings["games"].split(",")))
    return 1


def steps_of(settings: dict[str, Any]) -> int:
    """Return the optimiser's steps in a task; 0 where tasks have no set of images.

    Args:
        settings: Of a run.
    """
    if "images_per_task" not in settings:
        return 0
    sizes = {key: settings[key] for key in ("epochs", "images_per_task", "batch_size")}
    return SupervisedSettings(**sizes).steps_per_task
