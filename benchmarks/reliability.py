"""The product under attack: what was tried, what was lost, what was silently wrong.

``python benchmarks/reliability.py`` kills commands at random moments, damages what they
wrote, takes their disk, writes nonsense at them and lets them work for long, each time
followed by the same command and a comparison, bit by bit, with what an undisturbed one
gives. All goes to ``reports/reliability.json``, of which ``book/reliability.md`` prints
a table. It is resumable: attacks go on where the report says that they stopped.
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ISOMETRY_PROGRESS"] = "0"

import torch
from attacks.children import Tally, forked, warm, warm_workers
from attacks.damage import damaged_checkpoints, damaged_results
from attacks.interrupts import interrupted, interrupted_downloads
from attacks.kills import killed_runs, killed_workers
from attacks.load import long_run, many_runs
from attacks.nonsense import nonsense_files, nonsense_lines
from attacks.page import paged
from attacks.room import full_disks, limited_files
from attacks.stores import RUN
from contestants.processes import ROOT, cpu_model

from isometry.lab.provenance import commit, versions

REPORT = ROOT / "benchmarks" / "reports" / "reliability.json"
PAGE = ROOT / "book" / "reliability.md"


@dataclass(frozen=True)
class Attack:
    """An attack, as the table names it.

    Attributes:
        title: What is done, for the table.
        asked: How many tries.
        batch: How many are made before the report is written.
        act: ``(random numbers, empty folder, tries) -> Tally``.
    """

    title: str
    asked: int
    batch: int
    act: Callable[[random.Random, Path, int], Tally]


ATTACKS = {
    "kill_supervised": Attack(
        "kill a run on images", 160, 10, partial(killed_runs, "supervised")
    ),
    "kill_image": Attack(
        "kill a run on one image at a time", 40, 10, partial(killed_runs, "image")
    ),
    "kill_target": Attack(
        "kill a run that tracks a target", 40, 10, partial(killed_runs, "target")
    ),
    "kill_games": Attack("kill a run on games", 60, 10, partial(killed_runs, "games")),
    "kill_sweep": Attack(
        "kill a sweep with two workers", 60, 6, partial(killed_runs, "sweep")
    ),
    "kill_dask": Attack(
        "kill workers and clients of a Dask cluster", 60, 6, killed_workers
    ),
    "interrupt": Attack("Ctrl-C in each of 14 phases", 56, 14, interrupted),
    "interrupt_download": Attack("break off a download", 20, 5, interrupted_downloads),
    "damage_checkpoints": Attack(
        "damage a checkpoint, or put another in its place",
        1000,
        100,
        damaged_checkpoints,
    ),
    "damage_results": Attack(
        "damage a results file, or put another in its place", 1000, 100, damaged_results
    ),
    "limit_files": Attack("limit the size of files", 30, 6, limited_files),
    "fill_disk": Attack("a disk without room or inodes", 30, 6, full_disks),
    "nonsense_lines": Attack("nonsense as a command", 40_000, 500, nonsense_lines),
    "nonsense_files": Attack("nonsense as a file", 60_000, 500, nonsense_files),
    "long_image": Attack(
        "optimiser steps of a run on one image at a time",
        1_000_000,
        1_000_000,
        partial(long_run, "one image at a time"),
    ),
    "long_adamo": Attack(
        "optimiser steps of a run with AdamO",
        1_000_000,
        1_000_000,
        partial(long_run, "AdamO"),
    ),
    "many_runs": Attack("small runs on a Dask cluster", 10_000, 10_000, many_runs),
}


def core_seconds() -> float:
    """Return the processor time of this process and of all that it waited for."""
    used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in used)


def batch_of(attack: Attack, name: str, seed: int, tries: int) -> dict[str, Any]:
    """Make some tries in a process of their own; return their tally as numbers."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as made:
        folder = Path(made)
        said = folder / "tally.json"
        (folder / "work").mkdir()

        def act() -> None:
            tally = attack.act(random.Random(f"{name} {seed}"), folder / "work", tries)
            said.write_text(json.dumps(vars(tally)))

        pid = forked(act, folder / "out", folder / "err")
        os.waitpid(pid, 0)
        if not said.exists():
            sys.exit(f"{name}: {(folder / 'err').read_text()}")
        return json.loads(said.read_text())


def added(row: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return the sum of two tallies."""
    total = {**row}
    for key, value in more.items():
        if key == "details":
            total[key] = dict(Counter(row.get(key, {})) + Counter(value))
        elif key == "numbers":
            total[key] = value
        else:
            total[key] = row.get(key, type(value)()) + value
    return total


def carried_out(asked_of: dict[str, int], report: Path, seconds: float) -> None:
    """Make attacks until each has its tries or has taken its time; write the report."""
    known = json.loads(report.read_text()) if report.exists() else {}
    rows = known.get("attacks", {})
    for name, asked in asked_of.items():
        attack, row = ATTACKS[name], rows.get(name, {})
        while row.get("tries", 0) < asked and row.get("core_seconds", 0) < seconds:
            began, count = (
                core_seconds(),
                min(attack.batch, asked - row.get("tries", 0)),
            )
            more = batch_of(attack, name, row.get("batches", 0), count)
            more |= {"batches": 1, "core_seconds": core_seconds() - began}
            row = rows[name] = added(row, more)
            row |= {"commit": commit()}
            write(report, rows)
            shown = {k: v for k, v in row.items() if k not in ("title", "examples")}
            print(name, shown, *row["examples"], sep="\n  ", flush=True)


def write(report: Path, rows: dict[str, Any]) -> None:
    """Write the report, its rows in the order of the attacks."""
    whole = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_model(),
        "versions": versions(),
        "attacks": {
            name: {**rows[name], "title": attack.title, "asked": attack.asked}
            for name, attack in ATTACKS.items()
            if name in rows
        },
    }
    report.write_text(json.dumps(whole, indent=1) + "\n")
    if report == REPORT:
        PAGE.write_text(paged(PAGE.read_text(), whole))


def main() -> None:
    """Make the attacks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", help="NAME or NAME=TRIES; all, if none")
    parser.add_argument("--seconds", type=float, default=600, help="of cores, for each")
    parser.add_argument("--report", type=Path, default=REPORT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    pairs = [text.partition("=") for text in asked.attacks or ATTACKS]
    asked_of = {name: int(tries or ATTACKS[name].asked) for name, _, tries in pairs}
    if "kill_sweep" in asked_of:
        warm_workers()
    with tempfile.TemporaryDirectory() as folder:
        warm(RUN, Path(folder))
    carried_out(asked_of, asked.report, asked.seconds)


if __name__ == "__main__":
    main()
