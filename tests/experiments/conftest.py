"""Stores of agents whose scores are known by construction."""

import numpy as np
import pandas as pd
import pytest
from isometry.experiments.store import COLUMNS, result_path, write_file

GAMES = ("breakout", "asterix")
START = {"breakout": 1.0, "asterix": 2.0}
SPAN = {"breakout": 10.0, "asterix": 4.0}
STEPS = 100  # of a visit


def agents_of(
    method, scores, name=None, own=None, benchmark="continual_minatar", **changes
):
    """Return tidy numbers and the record of agents.

    ``scores`` is (seeds, cycles) or, for each game its own, (seeds, cycles, games): 0
    is what a game returns before a visit, 1 what fresh networks reach in it. Odd seeds
    play the games in the other order.
    """
    name = name or f"{method} {sorted(changes.items())}"
    settings = {"games": ",".join(GAMES), "depth": 4, "hidden_bias": True}
    settings |= {"env_steps": STEPS, "cycles": np.shape(scores)[1], **changes}
    games = settings["games"].split(",")
    scores = np.asarray(scores, dtype=float)
    if scores.ndim == 2:
        scores = scores[..., None]
    scores = np.broadcast_to(scores, (*scores.shape[:2], len(games)))
    rows = []
    for seed, cycles in enumerate(scores):
        order = games[::-1] if seed % 2 else games
        for cycle, by_game in enumerate(cycles):
            for place, game in enumerate(order):
                visit, score = cycle * len(games) + place, by_game[games.index(game)]
                end, found = START[game] + SPAN[game] * score, {}
                for share in (0.0, 0.5, 1.0):
                    key = f"episodic_return/{game}@{int(share * STEPS)}"
                    found[key] = START[game] + share * SPAN[game] * score
                found |= {"episodic_return": end, f"episodic_return/{game}": end}
                found |= {f"episodic_return/{other}": 77.0 for other in order[:place]}
                found["actor_dormant_fraction"] = 1 / (1 + visit)
                rows += [(seed, visit, metric, x) for metric, x in found.items()]
    frame = pd.DataFrame(rows, columns=["seed", "task", "metric", "value"])
    frame = frame.assign(benchmark=benchmark, method=method, settings=name)
    record = {
        "experiment_version": 1,
        "benchmark": benchmark,
        "method": method,
        "hash": name,
        "settings": settings,
        "method_settings": own or {},
        "runs": [{"seeds": list(range(len(scores))), "status": {}}],
    }
    return frame[COLUMNS], record


@pytest.fixture(scope="session")
def agents():
    """Return the maker of agents."""
    return agents_of


@pytest.fixture(scope="session")
def together():
    """Return what joins agents to the numbers and records of a store."""

    def join(*files):
        results = pd.concat([frame for frame, _ in files], ignore_index=True)
        return results, [record for _, record in files]

    return join


@pytest.fixture
def stored(tmp_path):
    """Return what writes agents into a store, and returns the store."""

    def write(*files):
        for frame, record in files:
            names = record["benchmark"], record["method"], record["hash"]
            write_file(result_path(tmp_path, *names), frame, record)
        return tmp_path

    return write
