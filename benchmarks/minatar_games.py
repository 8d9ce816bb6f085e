"""Speed of MinAtar's games, beside minatar, gymnax and pgx.

``python benchmarks/minatar_games.py`` makes the peers' environment under ``.peers`` if
it is missing and lets all play at random on one core, several rounds in turn. It prints
environment steps a processor second, the best round of each, how many times faster ours
is than the fastest peer, and the most memory that each process held. A peer whose mean
reward is further from ours than five standard errors plays another game and is not
counted; whether ours is the original is tested draw by draw in ``tests/rl``. The result
goes to ``benchmarks/reports/minatar_games.json``.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from contestants import minatar_games as contestants_of
from contestants.minatar_games import GYMNAX, MINATAR, OURS, PGX
from contestants.processes import ROOT, cpu_model, measure, peer_python, versions

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "minatar_games.json"
GAMES = ("breakout", "asterix", "space_invaders", "freeway", "seaquest")
PEERS = (MINATAR, GYMNAX, PGX)
STANDARD_ERRORS = 5


def apart(one: list[float], other: list[float]) -> float:
    """Return how far two mean rewards are apart, in standard errors."""
    a, b = np.array(one), np.array(other)
    error = np.sqrt(a.var() / a.size + b.var() / b.size)
    return float(abs(a.mean() - b.mean()) / max(error, 1e-12))


def played(peer: Path, game: str, args: argparse.Namespace) -> dict[str, dict]:
    """Return each contestant's best seconds of a step, and rewards of all rounds."""
    rows: dict[str, dict] = {}
    options = {
        "--games": game,
        "--num-envs": args.num_envs,
        "--steps": args.steps,
        "--chunks": args.chunks,
    }
    flat = [str(part) for pair in options.items() for part in pair]
    for _ in range(args.rounds):
        for name in (OURS, *PEERS):
            python = sys.executable if name == OURS else peer
            row = measure(python, SCRIPT, name, ROOT, *flat)
            if row is None:
                continue
            start = {"seconds": float("inf"), "rewards": [], "peak_mib": 0.0}
            seen = rows.setdefault(name, start)
            seen["peak_mib"] = max(seen["peak_mib"], row[game]["peak_mib"])
            seen["seconds"] = min(seen["seconds"], row[game]["seconds"])
            seen["rewards"] += row[game]["rewards"]
    return rows


def compared(rows: dict[str, dict]) -> dict[str, object]:
    """Return speeds, how far rewards are apart, and the ratio to the fastest peer."""
    own = rows[OURS]
    table = {
        name: {
            "env_steps_per_second": 1 / row["seconds"],
            "reward": float(np.mean(row["rewards"])),
            "peak_mib": row["peak_mib"],
            "standard_errors_from_ours": apart(own["rewards"], row["rewards"]),
        }
        for name, row in rows.items()
    }
    same = [
        name
        for name in rows
        if name != OURS and table[name]["standard_errors_from_ours"] <= STANDARD_ERRORS
    ]
    if not same:
        raise SystemExit("no peer plays the same game, nothing was written")
    fastest = min(same, key=lambda name: rows[name]["seconds"])
    ratio = rows[fastest]["seconds"] / own["seconds"]
    return {"fastest_peer": fastest, "ratio": ratio, "contestants": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="+", default=GAMES)
    parser.add_argument("--num-envs", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--chunks", type=int, default=4, help="of that many steps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("minatar_games")
    if peer is None:
        raise SystemExit("without peers there is nothing to compare with")
    games = {}
    for game in args.games:
        games[game] = result = compared(played(peer, game, args))
        print(f"\n{game}: {result['ratio']:.1f} x {result['fastest_peer']}")
        for name, row in result["contestants"].items():
            print(
                f"  {name:10}{row['env_steps_per_second']:12,.0f} env steps a second, "
                f"reward {row['reward']:.4f} a step, {row['peak_mib']:,.0f} MiB, "
                f"{row['standard_errors_from_ours']:.1f} standard errors from ours"
            )
    report = {
        "num_envs": args.num_envs,
        "env_steps_timed_together": args.steps * args.num_envs,
        "rounds": args.rounds,
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "numba", "numpy", "gymnasium")
        | versions(peer, "minatar", "gymnax", "pgx", "jax"),
        "games": games,
    }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
