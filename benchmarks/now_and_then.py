"""What AdamO's step costs where the isometry step is taken every k-th step.

``python benchmarks/now_and_then.py`` trains stacks of AdamO with the pulls of the study
``now_and_then`` and with none, all in turn, and writes each one's time over that
without a pull to ``benchmarks/reports/now_and_then.json``. A round has as many steps as
the longest period, so each period is met whole. Beside it stands what a pull in every
step foretells: a k-th of its excess is left. Processor time is that of the thread.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from contestants.processes import cpu_model
from methods_cost import contestant

from isometry_book.c6_benchmark.now_and_then import CHOSEN, NONE, PERIODS, cases

REPORT = Path(__file__).parent / "reports" / "now_and_then.json"
STEPS = max(PERIODS)  # of a round
NETWORKS: dict[str, dict[str, Any]] = {  # the first is that of a stream
    "784-100x4-10, batch 50, 8 seeds": {
        "settings": {"width": 100, "depth": 4, "batch_size": 50},
        "members": 8,
    },
    "784-512x4-10, batch 128, 1 seed": {
        "settings": {"width": 512, "depth": 4, "batch_size": 128},
        "members": 1,
    },
}


def measured(network: dict[str, Any], rounds: int) -> dict[str, dict[str, float]]:
    """Return by period what a step takes over one without a pull."""
    wanted = {0: NONE, 1: "soft_1", **{k: f"seldom_{k}" for k in PERIODS[1:]}}
    made = {
        k: contestant("adamo", network, {**CHOSEN, **cases()[name]})[0]
        for k, name in wanted.items()
    }
    spent: dict[int, list[float]] = {k: [] for k in made}
    for train in made.values():
        train(2)
    for _ in range(rounds):
        for k, train in made.items():
            start = time.thread_time()
            train(STEPS)
            spent[k].append(time.thread_time() - start)
    ratios = {
        k: [own / bare for own, bare in zip(spent[k], spent[0], strict=True)]
        for k in made
    }
    whole = statistics.median(ratios[1]) - 1
    return {
        str(k): {
            "milliseconds": 1e3 * statistics.median(spent[k]) / STEPS,
            "ratio": statistics.median(ratios[k]),
            "lowest": min(ratios[k]),
            "highest": max(ratios[k]),
            "foretold": 1 + whole / k,
        }
        for k in PERIODS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": cpu_model(),
        "threads": 1,
        "rounds": args.rounds,
        "networks": {
            title: measured(network, args.rounds) for title, network in NETWORKS.items()
        },
    }
    for title, rows in report["networks"].items():
        print(f"\n{title}: time of a step over one without a pull")
        for k, row in rows.items():
            print(
                f"  every {k:>3s} {row['milliseconds']:8.3f} ms {row['ratio']:6.2f}x"
                f" ({row['lowest']:.2f}-{row['highest']:.2f})"
                f" foretold {row['foretold']:.2f}x"
            )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
