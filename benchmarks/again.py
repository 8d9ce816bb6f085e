"""Runs stored results again, drawn by a seed, from the commands that are printed.

``python benchmarks/again.py`` draws five of the stored runs that took at most ten
minutes, none of a chapter's own study, and three more that this kind of processor made
in at most four. It gives the command that the results browser shows for each to a new
process with an empty store, and compares all numbers. The criterion, set before: on the
kind of processor that made them they agree in every bit; on another one, where rounding
differs and training enlarges it, the paired difference over seeds of the number that
the stream is judged by has a 95 % interval with zero in it, or a mean within 0.005. All
goes to ``benchmarks/reports/again.json``.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants.processes import cpu_model

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import t_interval
from isometry.lab.plans import command_of, plan
from isometry.lab.store import load_records, load_results, read_file, result_files

HERE = Path(__file__).parent
REPORT, STORE = HERE / "reports" / "again.json", HERE.parent / "results"
DRAWS = ((5, 600.0, False), (3, 240.0, True))  # how many, seconds, of this processor
MARGIN = 0.005
KEYS = ["seed", "task", "metric"]


def seconds(record: dict[str, Any]) -> float:
    """Return what a stored run took; studies, which take none of their own, forever."""
    spent = [run.get("core_seconds", run.get("seconds")) for run in record["runs"]]
    return sum(spent) if None not in spent else np.inf


def drawn(store: Path) -> list[dict[str, Any]]:
    """Return some records, drawn by a seed from all that are short enough."""
    found, draw = [], numpy_generator(0, "again")
    left = load_records(store)
    for count, longest, own in DRAWS:
        short = [
            record
            for record in left
            if seconds(record) <= longest and (not own or is_own(record["runs"]))
        ]
        chosen = draw.choice(len(short), min(count, len(short)), replace=False)
        found += [short[place] for place in sorted(chosen)]
        left = [record for record in left if record not in found]
    return found


def is_own(runs: list[dict[str, Any]]) -> bool:
    """Return whether all runs were made by this kind of processor."""
    return all(run["device"].startswith(cpu_model()) for run in runs)


def compared(record: dict[str, Any], store: Path) -> dict[str, Any]:
    """Run a record's command again and return how its numbers compare."""
    command = command_of(record)
    (file,) = [
        path
        for path in result_files(store / record["benchmark"])
        if path.stem.startswith(f"{record['method']}-{record['hash']}")
    ]
    stored = read_file(file)[0]
    with tempfile.TemporaryDirectory() as out:
        arguments = shlex.split(command.removeprefix("isometry "))
        whole = [sys.executable, "-m", "isometry", *arguments, "--out", out]
        subprocess.run(whole, check=True, capture_output=True)
        again = load_results(out)
    keys = [key for key in (*KEYS, "game", "step") if key in stored and key in again]
    both = stored.merge(again, on=keys, how="outer", suffixes=("", "_again"))
    if len(both) != len(stored) or len(both) != len(again):
        raise SystemExit(f"other numbers were stored by: {command}")
    same = both["value"].eq(both["value_again"]) | (
        both["value"].isna() & both["value_again"].isna()
    )
    metric = plan(record["benchmark"], record["method"]).benchmark.metric
    own = both[both["metric"] == metric].groupby("seed")[["value", "value_again"]]
    means = own.mean()
    gap = t_interval(means["value_again"] - means["value"])
    return {
        "command": command,
        "made_on": sorted({run["device"] for run in record["runs"]}),
        "own_processor": is_own(record["runs"]),
        "numbers": len(both),
        "same_bits": int(same.sum()),
        "metric": metric,
        "stored": float(means["value"].mean()),
        "again": float(means["value_again"].mean()),
        "difference": [gap.estimate, gap.low, gap.high],
    }


def agrees(row: dict[str, Any]) -> bool:
    """Return whether a result agrees, by the criterion above."""
    if row["own_processor"]:
        return bool(row["same_bits"] == row["numbers"])
    mean, low, high = row["difference"]
    return bool(low <= 0 <= high or abs(mean) <= MARGIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    rows = []
    for record in drawn(STORE):
        row = compared(record, STORE)
        rows.append({**row, "agrees": agrees(row)})
        print(json.dumps(rows[-1], indent=1), flush=True)
    report = {"processor": cpu_model(), "torch": torch.__version__, "results": rows}
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
