"""Two stores compared, bit by bit."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.lab.store import StoreError, read_file

PASSING = {"seconds", "core_seconds"}  # of a record: differ from run to run

SMALL = """
--set data=digits --set tasks=8 --set images_per_task=200 --set epochs=2 --set width=16
--set batch_size=50 --profile smoke --seeds 0:2
"""
RUN = ["run", "permuted_mnist", "--method", "adamo", *SMALL.split()]
SWEEP = """
profile = "smoke"
tune_seeds = "5:7"
report_seeds = "0:2"
members = 1
[settings]
data = "digits"
tasks = 3
images_per_task = 200
batch_size = 20
width = 8
[benchmarks.permuted_mnist]
[search]
lr = [1e-3, 1e-2]
[ladders]
lr = [1e-3, 1e-2]
[methods.adam]
[methods.adamo]
"""


def lasting(value: Any) -> Any:
    """Return a record without what differs from run to run."""
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in PASSING}
    if isinstance(value, list):
        return [lasting(one) for one in value]
    return value


def rows(frame: pd.DataFrame) -> Counter[tuple[Any, ...]]:
    """Return how often a frame has each row, its number as 64 bits."""
    bits = frame.assign(value=frame["value"].to_numpy().view("int64"))
    return Counter(bits.itertuples(index=False, name=None))


def contents(store: Path) -> dict[str, Any]:
    """Return rows and record of each results file, and each choice, by its name.

    How the seeds of a file were split over runs is left out: a kill may change it.
    """
    found: dict[str, Any] = {}
    for file in sorted(store.glob("**/*.parquet")):
        try:
            frame, record = read_file(file)
        except StoreError as error:
            found[str(file.relative_to(store))] = Counter({str(error): 1}), None
            continue
        parts = lasting(record.pop("runs"))
        status = {key: v for part in parts for key, v in part.pop("status").items()}
        seeds = sorted(seed for part in parts for seed in part.pop("seeds"))
        ran = {json.dumps(part, sort_keys=True) for part in parts}
        whole = lasting(record), status, seeds, ran
        found[str(file.relative_to(store))] = rows(frame), whole
    for file in sorted(store.glob("**/*.choice.json")):
        choice = json.loads(file.read_text())
        found[str(file.relative_to(store))] = Counter(), lasting(choice)
    return found


def compared(store: Path, whole: dict[str, Any]) -> tuple[str, str]:
    """Return ``lost`` or ``wrong`` and what differs in a store, or nothing.

    Args:
        store: What came of an attack.
        whole: The :func:`contents` of the store that nobody attacked.
    """
    found = contents(store)
    missing = sorted(set(whole) - set(found))
    if missing:
        return "lost", f"no {', '.join(missing)}"
    for name, (had, record) in whole.items():
        has, now = found[name]
        if had - has and not has - had:
            return "lost", f"{sum((had - has).values())} rows of {name}"
        if had != has:
            return "wrong", f"rows of {name}: {list((has - had).items())[:2]}"
        if record != now:
            return "wrong", f"record of {name}: {now} instead of {record}"
    more = sorted(set(found) - set(whole))
    return ("wrong", f"also {', '.join(more)}") if more else ("", "")


def left_behind(store: Path) -> int:
    """Return how many checkpoints a store has."""
    return len(list(store.glob("**/checkpoint.pt")))
