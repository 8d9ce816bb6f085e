"""Which setting of a method was chosen, among which, on which seeds, by which metric.

Runs on tuning seeds stand in a store of their own, the folder ``tuning`` of the store.
A choice is a small JSON file beside the results of the setting that it chose, with the
same name: ``<store>/<benchmark>/<method>-<hash>.choice.json``.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.core.files import visible
from isometry.core.messages import refusal
from isometry.lab.store import Record, StoreError, usable

CHOICE_VERSION = 1
SUFFIX = ".choice.json"


def read_choice(path: Path) -> Record:
    """Return what a choice file says.

    Args:
        path: A file that :func:`isometry.lab.choosing.write_choice` wrote.

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
