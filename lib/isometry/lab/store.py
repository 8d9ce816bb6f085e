"""The results store: one small Parquet file a benchmark, method and setting.

``<store>/<benchmark>/<method>-<settings hash>.parquet`` is such a file, see
:mod:`isometry.lab.results_file`. Files are written whole to a temporary name and
renamed, under a lock, so that neither a kill nor a second writer can leave half a file.

A store is read in time that grows as its files do: each is opened once, and its
checksums are checked every time. There is no index that could be stale.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock

from isometry.core.files import visible
from isometry.core.messages import Notice, refusal
from isometry.lab.results_file import (
    COLUMNS,
    Record,
    StoreError,
    as_frame,
    read_file,
    read_table,
    write_file,
)

# Of a study's numbers, whose settings are named when they are stored.
TIDY = [name for name in COLUMNS if name != "settings"]
NAMED = ("benchmark", "method", "settings")  # what names a file
# Runs on tuning seeds: a store inside the store, not part of its results.
TUNING = "tuning"
# So many files' numbers are packed at a time, and what each costs beside them goes.
PACKED = 256

T = TypeVar("T")


class LeftOut(Notice):
    """A file of a store cannot be used and was left out; the message names it."""


def result_path(store: Path, benchmark: str, method: str, settings: str) -> Path:
    """Return where the results of a benchmark, method and settings hash stand.

    Args:
        store: The store's folder.
        benchmark: Name of the benchmark.
        method: Name of the method.
        settings: Hash of all settings.
    """
    name = re.sub(r"[^a-z0-9_]+", "_", method.lower())
    return store / benchmark / f"{name}-{settings}.parquet"


def add_results(path: Path, frame: pd.DataFrame, record: Record) -> set[int]:
    """Add the numbers of new seeds to a file, or make the file.

    Seeds that the file has already stand as they are: another writer was faster.

    Args:
        path: See :func:`result_path`.
        frame: Numbers, of one seed or of several.
        record: ``experiment_version``, ``benchmark``, ``method``, the two settings, and
            under ``runs`` one entry for each run that gave these numbers.

    Returns:
        The seeds that were new.

    Raises:
        StoreError: If the file holds results of another ``experiment_version``; it
            stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = {int(seed) for seed in frame["seed"].unique()}
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            old_frame, old = read_file(path)
            _check_record(path, old, record["experiment_version"])
            new -= {int(seed) for seed in old_frame["seed"].unique()}
            frame = pd.concat([old_frame, frame[frame["seed"].isin(new)]])
            added = [_part(run, new) for run in record["runs"]]
            runs = old["runs"] + [run for run in added if run["seeds"]]
            record = {**record, "runs": runs}
        if new:
            write_file(path, frame, record)
    return new


def _part(run: Record, seeds: set[int]) -> Record:
    """Return a run's entry in a record with some of its seeds alone."""
    status = run.get("status", {})
    return {
        **run,
        "seeds": [seed for seed in run["seeds"] if seed in seeds],
        "status": {key: value for key, value in status.items() if int(key) in seeds},
    }


def _check_record(path: Path, record: Record, wanted: int) -> None:
    """Refuse results of another version of the experiment, or under a wrong name."""
    name = record.get("hash")
    if name is not None and path.stem.rpartition("-")[2] != name:
        needed = f"the results that {path} has its name from"
        found = f"those of {record.get('method')}, {name}"
        raise StoreError(refusal(needed, found, "move the file away"))
    found = record["experiment_version"]
    if found != wanted:
        raise StoreError(
            refusal(
                f"experiment_version {wanted} in {path}",
                found,
                "choose another --out, or move the old file away",
            )
        )


def finished_seeds(path: Path, experiment_version: int) -> set[int]:
    """Return the seeds whose results a file holds; none if there is no file.

    Args:
        path: See :func:`result_path`.
        experiment_version: Of today's code.

    Raises:
        StoreError: If the file holds another version.
    """
    if not path.exists():
        return set()
    frame, record = read_file(path)
    _check_record(path, record, experiment_version)
    return {int(seed) for seed in frame["seed"].unique()}


def _is_tuning(file: Path, store: Path) -> bool:
    """Return whether a file stands in the tuning folder of a store."""
    return file.relative_to(store).parts[0] == TUNING


def result_files(path: str | Path) -> list[Path]:
    """Return all result files of a store, sorted by name.

    Runs on tuning seeds are left out, unless ``path`` is their folder. Hidden files are
    no results.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Raises:
        StoreError: If there is no such folder or nothing in it.
    """
    path = Path(path)
    inside = [f for f in visible(path, "**/*.parquet") if not _is_tuning(f, path)]
    found = [path] if path.is_file() else inside
    if not found:
        raise StoreError(
            refusal(
                f"results under {path}",
                "none" if path.exists() else "no such folder",
                "make some with `isometry run BENCHMARK --method NAME --out DIR`",
            )
        )
    return found


@dataclass(frozen=True)
class Stored:
    """What the files of a store hold.

    Attributes:
        frame: Numbers, tidy, with the columns of :data:`COLUMNS`; those of some metrics
            alone where these were asked for.
        records: Of every file, in the order of their names.
        metrics: Names of all metrics in the files, sorted.
    """

    frame: pd.DataFrame
    records: list[Record]
    metrics: list[str]


Source = str | Path | Stored


def load_results(path: str | Path) -> pd.DataFrame:
    """Return all numbers of a store, tidy: one number a row.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Returns:
        Columns ``benchmark, method, settings, seed, task, metric, value``; ``settings``
        is the hash that names a file, see :func:`load_records` for what it stands for.

    Raises:
        StoreError: If there is nothing, or a file cannot be used.
    """
    return load(path).frame


def load_records(path: str | Path) -> list[Record]:
    """Return the record of every file of a store: settings, runs, provenance.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Raises:
        StoreError: If there is nothing, or a file cannot be used, also if it is the
            numbers that are damaged.
    """
    read = _each_once()
    return [read(file)[1] for file in result_files(path)]


def load(path: str | Path) -> Stored:
    """Return all numbers of a store and its records, each file read once.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Raises:
        StoreError: If there is nothing, or a file cannot be used.
    """
    return _together(map(_each_once(), result_files(path)))


def load_usable(path: str | Path, metrics: Sequence[str] | None = None) -> Stored:
    """Return the numbers of a store, and its records, but for files that are damaged.

    Each of those is named in a warning :class:`LeftOut`. A verdict must not be passed
    on a part: there :func:`load` refuses them.

    Args:
        path: The store, a benchmark's folder in it, or one file.
        metrics: Numbers of these alone are kept; None: all of them.

    Raises:
        StoreError: If there is nothing, or no file can be used.
    """
    return _together(usable(result_files(path), _each_once()), metrics)


def _each_once() -> Callable[[Path], tuple[pa.Table, Record]]:
    """Return a reader of files that refuses a second one with the same results.

    A copy, or one file under another's name, would count a seed twice.
    """
    known: dict[tuple[str, ...], dict[int, Path]] = {}

    def read(path: Path) -> tuple[pa.Table, Record]:
        table, record = read_table(path)
        names = tuple(str(table[name][0]) for name in NAMED if len(table))
        before = known.setdefault(names, {})
        seeds = pc.unique(table["seed"]).to_pylist()
        for first in (before[seed] for seed in seeds if seed in before):
            needed, found = f"other results in {path}", f"those of {first} again"
            raise StoreError(refusal(needed, found, "move one of them away"))
        before |= dict.fromkeys(seeds, path)
        return table, record

    return read


def _together(
    read: Iterable[tuple[pa.Table, Record]], metrics: Sequence[str] | None = None
) -> Stored:
    """Return what files hold in one, in their order."""
    records: list[Record] = []
    names: set[str] = set()
    whole, rest = [], iter(read)
    while some := list(islice(rest, PACKED)):
        records += [record for _, record in some]
        table = pa.concat_tables([table for table, _ in some])
        names.update(pc.unique(table["metric"]).to_pylist())
        if metrics is not None:
            wanted = pa.array(metrics, pa.string())
            table = table.filter(pc.is_in(table["metric"], wanted))
        whole.append(table.combine_chunks())
    return Stored(as_frame(pa.concat_tables(whole)), records, sorted(names))


def usable(files: list[Path], read: Callable[[Path], T]) -> Iterator[T]:
    """Yield what files hold; those that cannot be read are named in a warning.

    Args:
        files: Of a store.
        read: Reads one.

    Raises:
        StoreError: If none of them can be read.
    """
    refusals = []
    for file in files:
        try:
            yield read(file)
        except StoreError as error:
            refusals.append(error)
    if files and len(refusals) == len(files):
        raise refusals[0]
    for refused in refusals:
        warnings.warn(f"left out: {refused}", LeftOut, stacklevel=2)
