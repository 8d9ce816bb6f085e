"""Speed of PPO end to end, beside a PyTorch loop, JAX, rejax and octax.

``python benchmarks/ppo.py`` makes the peers' environment under ``.peers`` if it is
missing and lets all learn MinAtar's Breakout on one core, several rounds in turn: the
same networks, sizes and numbers, 128 games, rollouts of 128 steps. Octax's Brix, whose
agent has convolutions, ours and octax's own agent learn in rollouts of 32 steps. It
prints frames a processor second, how many times faster ours is, the median over rounds,
and the most memory that each process held, its libraries included. A contestant that
learns less than half of what ours does in the same frames, or more than twice as much,
does something else: nothing is written then. A last row is no contestant but a bound,
the bare products between hidden layers. The result goes to
``benchmarks/reports/ppo.json``; ``--games`` leaves the other's rows as they are.
"""

import argparse
import json
import statistics
import sys
import sysconfig
from pathlib import Path

from contestants import ppo as contestants_of
from contestants.ppo import (
    JAX,
    LOOP,
    OCTAX,
    OURS,
    OURS_OCTAX,
    PRODUCTS,
    REJAX,
    SCREENS,
    SETTINGS,
)
from contestants.processes import ROOT, cpu_model, measure, peer_python, versions

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "ppo.json"
GAMES = {  # game -> its settings, updates that are measured, ours and the others
    "breakout": (SETTINGS, 16, OURS, (LOOP, JAX, REJAX, PRODUCTS)),
    "brix": (SCREENS, 4, OURS_OCTAX, (OCTAX,)),
}


def compared(peer: Path, game: str, updates: int, count: int) -> dict[str, dict]:
    """Return each contestant's row of a game; refuse one that learns something else."""
    settings, _, ours, others = GAMES[game]
    packages = Path(sysconfig.get_paths()["purelib"])
    rounds: dict[str, list[dict]] = {name: [] for name in (ours, *others)}
    for _ in range(count):
        for name, rows in rounds.items():
            python = sys.executable if name == ours else peer
            more = ("--updates", str(updates))
            row = measure(python, SCRIPT, name, packages, *more)
            if row is not None:
                rows.append(row)
    learned = {
        name: statistics.mean(row["online_return"] for row in rows)
        for name, rows in rounds.items()
        if rows and name != PRODUCTS
    }
    wrong = {n: r for n, r in learned.items() if not 0.5 < r / learned[ours] < 2}
    if wrong:
        raise SystemExit(f"they learn something else, nothing was written: {learned}")
    frames = settings["num_envs"] * settings["rollout_length"]  # of an update
    contestants = {}
    for name, rows in rounds.items():
        if len(rows) != len(rounds[ours]):
            continue
        pairs = zip(rows, rounds[ours], strict=True)
        ratios = [row["seconds"] / other["seconds"] for row, other in pairs]
        contestants[name] = found = {
            "frames_per_second": frames / min(row["seconds"] for row in rows),
            "times_ours": statistics.median(ratios),
            "times_ours_range": [min(ratios), max(ratios)],
            "online_return": learned.get(name),
            "peak_mib": max(row["peak_mib"] for row in rows),
        }
        print(
            f"{name:40}{found['frames_per_second']:10,.0f} frames a second,"
            f"{found['times_ours']:6.2f} times ours,"
            f" return {found['online_return'] or 0:.2f},"
            f" {found['peak_mib']:,.0f} MiB"
        )
    return contestants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--updates", type=int, help="instead of a game's own number")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("ppo")
    if peer is None:
        raise SystemExit("without peers there is nothing to compare with")
    report = json.loads(args.report.read_text()) if args.report.exists() else {}
    for game in args.games:
        settings, updates, *_ = GAMES[game]
        updates = args.updates or updates
        report[game] = {
            "settings": settings,
            "updates": updates,
            "rounds": args.rounds,
            "cpu": cpu_model(),
            "cores": 1,
            "versions": versions(sys.executable, "torch", "numba")
            | versions(peer, "gymnax", "jax", "optax", "rejax", "octax"),
            "contestants": compared(peer, game, updates, args.rounds),
        }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
