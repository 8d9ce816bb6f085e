"""What PPO reaches on single games of MinAtar, against bars set before it was run.

``python benchmarks/ppo_returns.py`` trains one seed on Breakout for 0.4 million frames,
half a minute of an idle core. ``--all`` trains three seeds on each of four games for 5
million, about five minutes a seed and game, and goes on where it was stopped, seed by
seed; ``--games freeway`` takes one of them. Boards have ten channels in an order of
each seed, no action is repeated, episodes end after 1,000 steps (Freeway: 2,500),
actions are drawn: as for the agents of the paper. The result goes to
``benchmarks/reports/ppo_returns.json``.

The bars are a judgement from published curves of other programs; sticky actions, limits
and sets of actions differ between these, so they are no reproduction of any of them.
The learning rate is 1e-3 and falls to zero. In the two games that missed their bars so,
others were tried on a seed that is not reported: Freeway has the better one, in Asterix
none of 5e-4, 2.5e-3 and 5e-3 was better.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
import torch
from contestants.processes import ROOT, cpu_model

from isometry.core.seeding import parsed_seeds
from isometry.lab.returns import load_returns
from isometry.lab.run import run

REPORT = ROOT / "benchmarks" / "reports" / "ppo_returns.json"
SHORT = 400_000  # frames
# game -> frames -> mean return at least
BARS = {
    "breakout": {SHORT: 8.0, 1_000_000: 15.0, 5_000_000: 25.0},
    "asterix": {5_000_000: 10.0},
    "space_invaders": {5_000_000: 90.0},
    "freeway": {5_000_000: 50.0},
}
LR = {"freeway": 5e-4}  # elsewhere 1e-3


def settings_of(game: str, frames: int) -> dict[str, object]:
    """Return what differs from the laptop profile of continual_minatar."""
    return {
        "games": game,
        "cycles": 1,
        "env_steps": frames,
        "num_envs": 128,
        "lr": 2.5e-3 if frames <= SHORT else LR.get(game, 1e-3),
        "lr_schedule": "linear" if frames > SHORT else "constant",
        "eval_every": 200_000,
        "eval_episodes": 128,
        "diagnose_every": 0,
    }


def points(game: str, frames: int, seeds: list[int], store: Path) -> pd.DataFrame:
    """Return the evaluations of a game, one seed at a time, stored as they come."""
    benchmark = "continual_minatar"
    settings = settings_of(game, frames)
    for seed in seeds:
        own = run(benchmark, "adam", [seed], settings, out=store, device="cpu")
    found = load_returns(store / benchmark)
    return found[found["seed"].isin(seeds) & found["settings"].isin(own["settings"])]


def judged(found: pd.DataFrame, game: str, frames: int) -> dict[str, dict]:
    """Return for each bar within reach the mean return at the first point there."""
    rows = {}
    for at, bar in BARS[game].items():
        if at > frames:
            continue
        point = found.loc[found["env_steps"] >= at, "env_steps"].min()
        returns = found[found["env_steps"] == point].set_index("seed")
        own = returns["episodic_return"]
        rows[str(at)] = {
            "frames": int(point),
            "returns": {str(seed): float(value) for seed, value in own.items()},
            "mean": float(own.mean()),
            "bar": bar,
            "reached": bool(own.mean() >= bar),
        }
        print(f"{game:16}{point:10,} frames: {own.mean():7.2f} (bar {bar:g})")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="5 million frames")
    parser.add_argument("--games", nargs="+", choices=BARS, default=None)
    parser.add_argument("--seeds", default=None, help="a:b or a,b,c")
    parser.add_argument("--store", type=Path, default=ROOT / "_run" / "ppo_returns")
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    frames = 5_000_000 if args.all else SHORT
    seeds = parsed_seeds(args.seeds or ("0:3" if args.all else "0:1"))
    games = args.games or (list(BARS) if args.all else ["breakout"])
    torch.set_num_threads(1)
    report = json.loads(args.report.read_text()) if args.report.exists() else {}
    report |= {"cpu": cpu_model(), "torch": torch.__version__}
    for game in games:
        rows = judged(points(game, frames, seeds, args.store), game, frames)
        report.setdefault("games", {}).setdefault(game, {})[f"{frames} frames"] = rows
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
