"""Long runs and many runs: what memory does meanwhile."""

import json
import os
import random
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scipy.stats import t as student

from attacks.children import Child, Tally, command
from attacks.kills import local_cluster

RUNS = sys.modules["isometry.lab.run"]
BLOCKS = 12  # of samples, whose means are compared
MIB = 2**20
LONGEST = 7200.0  # seconds that a long run may take, also beside other work
LONG = {
    "one image at a time": (
        "run permuted_mnist --method adam --set optimizer=sgd --set batch_size=1 "
        "--set images_per_task=1000 --set epochs=10 --set tasks={tasks} --set width=8",
        10_000,
    ),
    "AdamO": (
        "run permuted_mnist --method adamo --set batch_size=4 --set width=4 "
        "--set images_per_task=400 --set tasks={tasks} --set depth=1",
        100,
    ),
}
MANY = """
profile = "smoke"
tune_seeds = "10:20"
report_seeds = "0:1"
members = 1
continued = false
[settings]
data = "digits"
tasks = 1
images_per_task = 16
batch_size = 8
width = 2
depth = 1
[benchmarks.permuted_mnist]
[methods.adam]
lr = {rates}
"""


def resident(process: int) -> float:
    """Return the memory of a process, MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def growth(samples: list[float]) -> tuple[float, float, float]:
    """Return how much memory grows from one block of samples to the next, MiB.

    Args:
        samples: In time, MiB; the first quarter, in which things load, is left out.

    Returns:
        Mean over the blocks and its 95 % interval, Student's.
    """
    kept = samples[len(samples) // 4 :]
    size = len(kept) // BLOCKS
    means = [statistics.mean(kept[i * size :][:size]) for i in range(BLOCKS)]
    steps = [after - before for before, after in pairwise(means)]
    mean = statistics.mean(steps)
    error = statistics.stdev(steps) / len(steps) ** 0.5
    half = float(student.ppf(0.975, len(steps) - 1)) * error
    return mean, mean - half, mean + half


def noted(tally: Tally, what: str, samples: list[float], done: float) -> None:
    """Note memory at the end and its growth in a million of what was done."""
    blocks = done * 0.75 / BLOCKS / 1e6  # millions between one block and the next
    mean, low, high = (value / blocks for value in growth(samples))
    tally.numbers |= {
        f"{what}, MiB": samples[-1],
        f"{what}, MiB a million": mean,
        f"{what}, MiB a million, low": low,
        f"{what}, MiB a million, high": high,
    }


def long_run(kind: str, draw: random.Random, folder: Path, tries: int) -> Tally:
    """Run for many optimiser steps and look at memory after each task."""
    tally, (text, steps) = Tally(), LONG[kind]
    line = text.format(tasks=max(2 * BLOCKS, tries // steps)).split()
    line += ["--set", "data=digits", "--profile", "smoke", "--seeds", "0"]
    file = folder / "samples.json"

    def prepare() -> None:
        samples: list[float] = []

        def look(bar: Any, done: int, total: int) -> None:
            samples.append(resident(os.getpid()))
            if done == total:
                file.write_text(json.dumps(samples))

        patch.object(RUNS, "_show_progress", look).start()

    line += ["--out", str(folder / "out")]
    ended = command(line, folder, prepare, LONGEST)
    if ended.status != 0:
        tally.fail("unsaid", ended.err)
        return tally
    samples = json.loads(file.read_text())
    tally.tries = len(samples) * steps
    noted(tally, "run", samples, tally.tries)
    return tally


def many_runs(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Do many small runs on a cluster and look at client and scheduler meanwhile."""
    tally, file = Tally(), folder / "sweep.toml"
    rates = [round(1e-4 * 1.01**i, 12) for i in range(tries // 10)]
    file.write_text(MANY.format(rates=rates))
    out = folder / "out"
    with local_cluster(folder, 2) as (address, _, scheduler):
        line = ["sweep", str(file), "--device", "cpu", "--dask", address]
        child = Child([*line, "--out", str(out)], folder)
        samples: dict[str, list[float]] = {"client": [], "scheduler": []}
        began = False
        while not child.ended():
            began = began or bool(list(out.glob("tuning/*/*.parquet")))
            if began and (held := resident(child.pid)):  # 0: it has just ended
                samples["client"].append(held)
                samples["scheduler"].append(resident(scheduler))
            time.sleep(0.1)
        ended = child.result()
    if ended.status != 0:
        tally.fail("unsaid", ended.err)
        return tally
    tally.tries = 10 * len(rates)
    found = sum(len(list(out.glob(f"{where}*/*.parquet"))) for where in ("tuning/",))
    if found != len(rates):
        tally.fail("lost", f"{found} of {len(rates)} files")
    for who, seen in samples.items():
        noted(tally, who, seen, tally.tries)
    return tally
