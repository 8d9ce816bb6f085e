"""What commands take to start: processor seconds of whole processes.

``python benchmarks/startup.py`` runs each command several times in turn, on one core,
and prints the median, in seconds and over what torch takes by itself: its import, and
its import with the first step of one of its optimisers, for which torch imports its
compiler. The aims, set before: ``import isometry`` 0.02 s over torch's import, ``list``
0.3 s, ``run`` of a tiny seed 1.0 s over torch's import. The result goes to
``benchmarks/reports/startup.json``.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from contestants.processes import ONE_CORE, ROOT, cpu_model, versions

REPORT = ROOT / "benchmarks" / "reports" / "startup.json"
IMPORT = "import torch"
STEP = (
    f"{IMPORT}; w = torch.ones(2, requires_grad=True); w.sum().backward(); "
    "torch.optim.Adam([w], fused=True).step()"
)
TINY = ("run", "random_label_mnist", "--method", "adam", "--seeds", "0")
TINY += ("--profile", "smoke", "--set", "data=digits", "--set", "tasks=2")
COMMANDS = {
    "python": ("-c", "pass"),
    "import torch": ("-c", IMPORT),
    "import torch, one step of Adam": ("-c", STEP),
    "import isometry, torch": ("-c", "import isometry, torch"),
    "isometry list methods": ("-m", "isometry", "list", "methods"),
    "isometry report": ("-m", "isometry", "report", "{store}"),
    "isometry run": ("-m", "isometry", *TINY, "--out", "{new}"),
}


def taken(arguments: tuple[str, ...], store: str, new: str) -> float:
    """Return the processor seconds of a process with this project's Python."""
    places = {"store": store, "new": new}
    command = [sys.executable, *(part.format(**places) for part in arguments)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    core = min(os.sched_getaffinity(0))
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env={**os.environ, **ONE_CORE},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(
        getattr(after, part) - getattr(before, part)
        for part in ("ru_utime", "ru_stime")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        taken(COMMANDS["isometry run"], store, store)  # what is reported; warms up
        for number in range(args.rounds):
            for name, arguments in COMMANDS.items():
                seconds[name].append(taken(arguments, store, f"{folder}/{number}"))
    found = {name: statistics.median(row) for name, row in seconds.items()}
    for name, one in found.items():
        over = one - found["import torch"]
        print(f"{name:34}{one:8.2f} s{over:+8.2f} s over torch's import")
    report = {
        "rounds": args.rounds,
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "torch", "pandas", "pyarrow"),
        "seconds": found,
        "range": {name: [min(row), max(row)] for name, row in seconds.items()},
    }
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
