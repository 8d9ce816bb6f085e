"""What reading a results store costs as it grows: report, load and judge.

``python benchmarks/store_size.py`` trains one tiny run, stores its numbers under many
learning rates and methods with the store's own code, and then reads stores of several
sizes, each in a process of its own: processor seconds of the process without its
imports, and the most memory that it held with them. Listing is measured over links to
such files. The aim, set before: 20,000 files in 20 seconds and 500 MB, and time that
grows as the files do. All goes to ``benchmarks/reports/store_size.json``.
"""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from contestants.processes import cpu_model, measure

from isometry.core.settings import as_dict, settings_hash
from isometry.lab.report import report
from isometry.lab.store import (
    load_results,
    read_file,
    result_files,
    result_path,
    write_file,
)

REPORT = Path(__file__).parent / "reports" / "store_size.json"
BENCHMARK, METHODS = "random_label_mnist", ("adam", "adamw", "l2_init", "adamo")
SIZES, LISTED, SEEDS = (1_000, 5_000, 20_000), 100_000, 3


def judged(store: Path) -> object:
    """Return the verdicts on a store."""
    from isometry_book.claims.verdicts import judge_all

    return judge_all(store)


READERS: dict[str, Callable[[Path], object]] = {
    "report": report,
    "load_results": load_results,
    "judge_all": judged,
    "result_files": result_files,
}


def grow(store: Path, size: int, seeds: int, start: int = 0) -> None:
    """Add files to a store: one run's numbers, moved a little, under other settings."""
    from isometry.lab.plans import plan  # here, since reading needs no torch
    from isometry.lab.run import run

    draw = np.random.default_rng(start)
    usual = {"data": "digits"}
    with tempfile.TemporaryDirectory() as folder:
        run(BENCHMARK, "adam", range(seeds), usual, profile="smoke", out=folder)
        frame, record = read_file(result_files(folder)[0])
    plans = [plan(BENCHMARK, method, usual, "smoke") for method in METHODS]
    for place in range(start, size):
        planned = plans[place % len(plans)]
        named: dict[str, Any] = {
            "benchmark": BENCHMARK,
            "method": planned.method.name,
            "settings": {**record["settings"], "lr": 1e-6 * (1 + place // len(plans))},
            "method_settings": as_dict(planned.method_settings),
        }
        name = settings_hash(*named.values())
        numbers = frame.assign(
            method=planned.method.name,
            settings=name,
            value=frame["value"] + 0.01 * draw.standard_normal(len(frame)),
        )
        path = result_path(store, BENCHMARK, planned.method.name, name)
        write_file(path, numbers, {**record, **named, "hash": name})


def link(files: Iterable[Path], folder: Path, names: Iterable[str]) -> None:
    """Give files other names, where these are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, name in zip(files, names, strict=True):
        if not (folder / name).exists():
            os.link(file, folder / name)


def spent(name: str, store: Path) -> dict[str, float]:
    """Return what one reading of a store takes, in this process."""
    READERS[name](store / "nowhere") if name == "judge_all" else None  # its imports
    before = peak_megabytes()
    start = time.process_time()
    READERS[name](store)
    seconds = time.process_time() - start
    return {"seconds": seconds, "megabytes": peak_megabytes(), "imports": before}


def peak_megabytes() -> float:
    """Return the most memory that this process has held, on Linux.

    ``ru_maxrss`` would do but for its beginning: it also counts the process that
    started this one, here one that has grown a store with torch.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e3  # type: ignore[index]


def main() -> None:
    """Grow the stores where they are missing, read them, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--listed", type=int, default=LISTED)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    found: dict[str, Any] = {
        "processor": cpu_model(),
        "versions": {
            "python": platform.python_version(),
            "pandas": pd.__version__,
            "pyarrow": pyarrow.__version__,
        },
        "seeds": args.seeds,
        "rows_of_a_file": None,
        "files": {},
    }
    files: list[Path] = []
    for size in sorted(args.sizes):
        store = args.folder / f"isometry_store_{args.seeds}_{size}"
        link(files, store / BENCHMARK, [file.name for file in files])
        there = len(list(store.glob("*/*.parquet")))
        if there < size:
            grow(store, size, args.seeds, there)
        files = result_files(store)
        found["rows_of_a_file"] = len(read_file(files[0])[0])
        found["files"][size] = {
            name: measure(sys.executable, Path(__file__), name, store)
            for name in READERS
            if name != "result_files"
        }
        print(size, found["files"][size], flush=True)
        args.output.write_text(json.dumps(found, indent=1) + "\n")
    if args.listed:
        folder = args.folder / f"isometry_store_{args.listed}_names"
        names = [f"adam-{place:010x}.parquet" for place in range(args.listed)]
        link(islice(cycle(files), len(names)), folder / BENCHMARK, names)
        one = measure(sys.executable, Path(__file__), "result_files", folder)
        found["files"].setdefault(args.listed, {})["result_files"] = one
    args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in READERS:
        print(json.dumps(spent(sys.argv[1], Path(sys.argv[2]))))
    else:
        main()
