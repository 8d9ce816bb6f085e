"""The results store: one small Parquet file a benchmark, method and setting.

``<store>/<benchmark>/<method>-<settings hash>.parquet`` holds one number a row, and in
its metadata the record of how the numbers came about. Files are written whole to a
temporary name and renamed, under a lock, so that neither a kill nor a second writer
can leave half a file. Pages and record carry checksums, so that what a disk or a copy
has altered is not taken for results.
"""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from isometry.core.files import visible, write_whole
from isometry.core.messages import Notice, refusal
from isometry.core.settings import settings_hash

SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("method", pa.string()),
        ("settings", pa.string()),
        ("seed", pa.int64()),
        ("task", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
COLUMNS = SCHEMA.names
# Of a study's numbers, whose settings are named when they are stored.
TIDY = [name for name in COLUMNS if name != "settings"]
METADATA_KEY, DIGEST_KEY = b"isometry", b"isometry_blake2b"
STORE_VERSION = 1
# Runs on tuning seeds: a store inside the store, not part of its results.
TUNING = "tuning"

Record = dict[str, Any]
T = TypeVar("T")


class StoreError(RuntimeError):
    """A results store that cannot be used as asked; the message says what to do."""


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


def read_file(path: Path) -> tuple[pd.DataFrame, Record]:
    """Return the numbers of one file and its record.

    Args:
        path: A file that :func:`write_file` wrote.

    Raises:
        StoreError: If it is no such file or of another store version.
    """
    try:
        # A file object: pyarrow would read hive partitions out of the folders' names.
        with path.open("rb") as file:
            # Small files: threads would cost more than they save.
            table = pq.read_table(
                file, page_checksum_verification=True, use_threads=False
            )
        metadata = dict(table.schema.metadata or {})
        columns = [f"{field.name} {field.type}" for field in table.schema]
        frame = table.to_pandas(use_threads=False)
    except Exception as error:  # damaged bytes can raise nearly anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise StoreError(
            refusal(f"a readable results file at {path}", reason, "move it away")
        ) from None
    text = metadata.get(METADATA_KEY)
    if text is None or not table.schema.equals(SCHEMA):
        raise StoreError(
            refusal(
                f"results with columns {', '.join(COLUMNS)} and their record in {path}",
                ", ".join(columns) + ("" if text else " and no record"),
                "move the file out of the store",
            )
        )
    return frame, _record_in(text, metadata.get(DIGEST_KEY), path)


def _record_in(text: bytes, digest: bytes | None, path: Path) -> Record:
    """Return the record that a file's metadata hold, known to be as it was written.

    A file of before the checksum is known by the name of its settings.
    """
    try:
        record = json.loads(text)
        version = record.get("store_version")
    except (ValueError, AttributeError):
        record, version = {}, None
    if version != STORE_VERSION:
        raise StoreError(
            refusal(
                f"store version {STORE_VERSION} in {path}",
                version,
                "run it again with this version into a new folder",
            )
        )
    if digest is None:
        altered = "hash" in record and record["hash"] not in _names(record)
    else:
        altered = _digest(text) != digest
    if altered:
        found = f"one that is not what the {'checksum' if digest else 'hash'} says"
        needed = f"the record that was written in {path}"
        raise StoreError(refusal(needed, found, "move it away"))
    return record


def _digest(text: bytes) -> bytes:
    """Return the checksum of a record."""
    return hashlib.blake2b(text, digest_size=16).hexdigest().encode()


def _names(record: Record) -> list[str]:
    """Return the hashes that name a record's settings: of a run, and of a study."""
    try:
        named = record["benchmark"], record["method"], record["settings"]
        method_settings = record["method_settings"]
    except KeyError:
        return []
    return [settings_hash(*named, method_settings), settings_hash(*named)]


def write_file(path: Path, frame: pd.DataFrame, record: Record) -> None:
    """Write numbers and record as one file, whole or not at all, with checksums.

    Rows are sorted, so that the same numbers give the same bytes.

    Args:
        path: Where; its folder is made.
        frame: With the columns of :data:`COLUMNS`.
        record: JSON-ready.

    Raises:
        OSError: If it cannot be written; the file stays as it was.
    """
    rows = frame[COLUMNS].sort_values(["seed", "task", "metric"], ignore_index=True)
    table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    text = json.dumps({"store_version": STORE_VERSION, **record}, sort_keys=True)
    named = {METADATA_KEY: text.encode(), DIGEST_KEY: _digest(text.encode())}
    content = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(named),
        content,
        compression="zstd",
        write_page_checksum=True,
    )
    write_whole(path, content.getvalue())


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
            _check_version(path, old, record["experiment_version"])
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


def _check_version(path: Path, record: Record, wanted: int) -> None:
    """Refuse results of another version of the experiment."""
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
    _check_version(path, record, experiment_version)
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
    frames = [read_file(file)[0] for file in result_files(path)]
    return pd.concat(frames, ignore_index=True)


def load_records(path: str | Path) -> list[Record]:
    """Return the record of every file of a store: settings, runs, provenance.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Raises:
        StoreError: If there is nothing, or a file cannot be used.
    """
    return [read_file(file)[1] for file in result_files(path)]


def load_usable(path: str | Path) -> tuple[pd.DataFrame, list[Record]]:
    """Return all numbers of a store, and its records, but for files that are damaged.

    Each of those is named in a warning :class:`LeftOut`. A verdict must not be passed
    on a part: there :func:`load_results` refuses them.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Raises:
        StoreError: If there is nothing, or no file can be used.
    """
    read = list(usable(result_files(path), read_file))
    frames, records = [frame for frame, _ in read], [record for _, record in read]
    return pd.concat(frames, ignore_index=True), records


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
