"""Speed of PPO end to end, beside a PyTorch loop, JAX and rejax over gymnax.

``python benchmarks/ppo.py`` makes the peers' environment under ``.peers`` if it is
missing and lets all learn MinAtar's Breakout on one core, several rounds in turn: the
same networks, sizes and numbers, 128 games, rollouts of 128 steps. It prints frames a
processor second, how many times faster ours is, the median over rounds, and the most
memory that each process held, its libraries included. A contestant that learns less
than half of what ours does in the same frames, or more than twice as much, does
something else: nothing is written then. The result goes to
``benchmarks/reports/ppo.json``.
"""

import argparse
import json
import statistics
import sys
import sysconfig
from pathlib import Path

from contestants import ppo as contestants_of
from contestants.ppo import ENVS, JAX, LOOP, OURS, REJAX, SETTINGS, STEPS
from contestants.processes import ROOT, cpu_model, measure, peer_python, versions

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "ppo.json"
FRAMES = ENVS * STEPS  # of an update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("ppo")
    if peer is None:
        raise SystemExit("without peers there is nothing to compare with")
    packages = Path(sysconfig.get_paths()["purelib"])
    pythons = {OURS: sys.executable, LOOP: peer, JAX: peer, REJAX: peer}
    rounds: dict[str, list[dict]] = {name: [] for name in pythons}
    for _ in range(args.rounds):
        for name, python in pythons.items():
            more = ("--updates", str(args.updates))
            row = measure(python, SCRIPT, name, packages, *more)
            if row is not None:
                rounds[name].append(row)
    own = rounds[OURS]
    learned = {
        name: statistics.mean(row["online_return"] for row in rows)
        for name, rows in rounds.items()
        if rows
    }
    wrong = {n: r for n, r in learned.items() if not 0.5 < r / learned[OURS] < 2}
    if wrong:
        raise SystemExit(f"they learn something else, nothing was written: {learned}")
    contestants = {}
    for name, rows in rounds.items():
        if len(rows) != len(own):
            continue
        pairs = zip(rows, own, strict=True)
        ratios = [row["seconds"] / other["seconds"] for row, other in pairs]
        contestants[name] = found = {
            "frames_per_second": FRAMES / min(row["seconds"] for row in rows),
            "times_ours": statistics.median(ratios),
            "times_ours_range": [min(ratios), max(ratios)],
            "online_return": learned[name],
            "peak_mib": max(row["peak_mib"] for row in rows),
        }
        print(
            f"{name:40}{found['frames_per_second']:10,.0f} frames a second,"
            f"{found['times_ours']:6.2f} times ours,"
            f" return {found['online_return']:.2f},"
            f" {found['peak_mib']:,.0f} MiB"
        )
    report = {
        "settings": SETTINGS,
        "updates": args.updates,
        "rounds": args.rounds,
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "torch", "numba")
        | versions(peer, "gymnax", "jax", "optax", "rejax"),
        "contestants": contestants,
    }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
