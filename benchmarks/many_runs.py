"""What a sweep adds to each of many tiny runs, in time and memory.

``python benchmarks/many_runs.py`` gives ``isometry sweep`` files of 200 and of 2,000
runs of a fraction of a second on scikit-learn's digits. What a run costs is the slope
between the two, in processor seconds of all processes; what it would cost without the
sweep is that of :func:`isometry.supervised.trainer.train` alone, in one process. The
difference is the overhead: planning, checkpoints, the results file, its record and
lock. Memory is the most that any one process held. The aim, set before: at most 0.15 s
a run, and flat memory. All goes to ``benchmarks/reports/many_runs.json``.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from contestants.processes import cpu_model

from isometry.lab.plans import plan
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry.supervised.trainer import train

REPORT = Path(__file__).parent / "reports" / "many_runs.json"
BENCHMARK, SETTINGS = "random_label_mnist", {"data": "digits", "tasks": 2}
SIZES, ALONE = (200, 2_000), 50
FILE = """
profile = "smoke"
metric = "online_accuracy"
tune_seeds = "100"
report_seeds = "0"
continued = false

[settings]
data = "digits"
tasks = 2

[search]
lr = {rates}

[benchmarks.{benchmark}]

[methods.adam]
"""


def swept(size: int) -> dict[str, float]:
    """Return what a sweep of so many runs takes, all its processes together."""
    rates = [round(1e-4 * (1 + place / size), 12) for place in range(size)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as name:
        file, out = Path(name) / "tiny.toml", Path(name) / "results"
        file.write_text(FILE.format(rates=rates, benchmark=BENCHMARK))
        command = [sys.executable, "-m", "isometry", "sweep", str(file)]
        start = time.perf_counter()
        subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
        wall = time.perf_counter() - start
        runs = len(list(out.rglob("*.parquet")))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss / 1e3  # sizes rise, so it is that of this one
    return {"runs": runs, "cpu_seconds": used, "seconds": wall, "megabytes": peak}


def alone(count: int) -> float:
    """Return the processor seconds of one run's training alone."""
    planned = plan(BENCHMARK, "adam", SETTINGS, "smoke")
    pixels = scaled(load("digits"), planned.settings)
    own = planned.benchmark, planned.method, planned.method_settings, planned.settings
    train(*own, pixels, [100])
    start = time.process_time()
    for _ in range(count):
        train(*own, pixels, [100])
    return (time.process_time() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    training = alone(ALONE)
    few, many = (swept(size) for size in args.sizes)
    more = many["runs"] - few["runs"]
    each = (many["cpu_seconds"] - few["cpu_seconds"]) / more
    report: dict[str, Any] = {
        "processor": cpu_model(),
        "torch": torch.__version__,
        "sweeps": [few, many],
        "cpu_seconds_a_run": each,
        "training_alone": training,
        "overhead": each - training,
        "kilobytes_a_run": 1e3 * (many["megabytes"] - few["megabytes"]) / more,
    }
    print(json.dumps(report, indent=1))
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
