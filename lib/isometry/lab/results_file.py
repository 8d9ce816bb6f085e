"""One file of results: numbers and their record, with checksums over all of it.

Parquet with one number a row; the record of how the numbers came about stands in the
metadata. Pages and record carry checksums, so that what a disk or a copy has altered is
not taken for results: whoever reads a file, of numbers or of the record alone, checks
all of both.
"""

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from isometry.core.files import write_whole
from isometry.core.messages import refusal
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
METADATA_KEY, DIGEST_KEY = b"isometry", b"isometry_blake2b"
STORE_VERSION = 1

Record = dict[str, Any]


class StoreError(RuntimeError):
    """A results store that cannot be used as asked; the message says what to do."""


def read_file(path: Path) -> tuple[pd.DataFrame, Record]:
    """Return the numbers of one file and its record.

    Args:
        path: A file that :func:`write_file` wrote.

    Raises:
        StoreError: If it is no such file or of another store version.
    """
    table, record = read_table(path)
    return as_frame(table), record


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return numbers as pandas holds them.

    Args:
        table: From :func:`read_table`, or several of them in one.
    """
    return table.to_pandas(use_threads=False)


def read_table(path: Path) -> tuple[pa.Table, Record]:
    """Return the numbers of one file as they lie in it, and its record.

    Args:
        path: A file that :func:`write_file` wrote.

    Returns:
        A table without metadata, and the record.

    Raises:
        StoreError: If it is no such file or of another store version.
    """
    try:
        # The bytes, not the name: pyarrow would read hive partitions out of folders'.
        content = pa.BufferReader(path.read_bytes())
        with pq.ParquetFile(content, page_checksum_verification=True) as file:
            # Small files: threads would cost more than they save.
            table = file.read(use_threads=False)
        metadata = table.schema.metadata or {}
    except Exception as error:  # damaged bytes can raise nearly anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise StoreError(
            refusal(f"a readable results file at {path}", reason, "move it away")
        ) from None
    text = metadata.get(METADATA_KEY)
    if text is None or not table.schema.equals(SCHEMA):
        columns = [f"{field.name} {field.type}" for field in table.schema]
        raise StoreError(
            refusal(
                f"results with columns {', '.join(COLUMNS)} and their record in {path}",
                ", ".join(columns) + ("" if text else " and no record"),
                "move the file out of the store",
            )
        )
    record = _record_in(text, metadata.get(DIGEST_KEY), path)
    return table.replace_schema_metadata(None), record


def _record_in(text: bytes, digest: bytes | None, path: Path) -> Record:
    """Return the record that a file's metadata hold, known to be as it was written.

    A file of before the checksum is known by the name of its settings.
    """
    try:
        record = json.loads(text, object_pairs_hook=_interned)
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


def _interned(pairs: list[tuple[str, Any]]) -> Record:
    """Return an object of JSON whose names, and short texts, many records share."""
    return {
        sys.intern(key): sys.intern(value) if isinstance(value, str) else value
        for key, value in pairs
    }


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
        compression="lz4",  # of small files, half as slow to read as zstd
        write_page_checksum=True,
    )
    write_whole(path, content.getvalue())
