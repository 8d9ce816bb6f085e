"""Speed of the CHIP-8 games, beside octax.

``python benchmarks/chip8.py`` makes the peer's environment under ``.peers`` if it is
missing and plays each game with octax and with ours on one core, several rounds in
turn. In every round ours first plays what octax played, with its random bytes: where
an observation, reward or end differs, nothing is written. Then each is measured,
random actions, in processor seconds; ours with starting anew, octax, which leaves that
to its user, without. The result goes to ``benchmarks/reports/chip8.json``.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from contestants import chip8 as contestants_of
from contestants.chip8 import CHUNK, OCTAX, OURS
from contestants.processes import ROOT, cpu_model, measure, peer_python, versions

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "chip8.json"
GAMES = (
    *("brix", "submarine", "filter", "tank", "blinky", "missile", "ufo", "wipe_off"),
    *("pong", "tetris", "space_flight1", "worm", "deep"),
)


def rounds_of(peer: Path, args: argparse.Namespace) -> dict[str, list[dict]]:
    """Return the seconds of an environment step: contestant -> one entry a round."""
    rows: dict[str, list[dict]] = {OCTAX: [], OURS: []}
    sizes = ["--games", *args.games, "--num-envs", str(args.num_envs)]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            for name, python in ((OCTAX, peer), (OURS, sys.executable)):
                chunks = ["--chunks", str(args.chunks)]
                row = measure(python, SCRIPT, name, Path(folder), *sizes, *chunks)
                if row is None:
                    raise SystemExit(f"{name} does not run, nothing was written")
                rows[name].append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="+", default=GAMES)
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=6, help=f"of {CHUNK} steps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("chip8")
    if peer is None:
        raise SystemExit("without octax there is nothing to compare with")
    rows = rounds_of(peer, args)
    print(f"{'env steps a second, one core':30}{'ours':>12}{'octax':>10}{'ratio':>8}")
    games = {}
    for game in args.games:
        ratios = [
            theirs[game] / ours[game]
            for theirs, ours in zip(rows[OCTAX], rows[OURS], strict=True)
        ]
        ours, octax = (1 / min(r[game] for r in rows[name]) for name in (OURS, OCTAX))
        games[game] = {
            "ours_env_steps_per_second": ours,
            "octax_env_steps_per_second": octax,
            "ratio": ours / octax,
            "ratio_lowest": min(ratios),
            "ratio_highest": max(ratios),
        }
        print(f"{game:30}{ours:12,.0f}{octax:10,.0f}{ours / octax:8.0f}")
    report = {
        "num_envs": args.num_envs,
        "rounds": args.rounds,
        "compared_env_steps": args.num_envs * args.chunks * CHUNK,
        "differences": 0,
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "numba", "numpy", "gymnasium")
        | versions(peer, "octax", "jax"),
        "games": games,
    }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
