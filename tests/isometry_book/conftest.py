"""Stores of agents and of streams whose scores are known by construction."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from isometry.lab.store import COLUMNS, result_path, write_file
from isometry_book.claims.claim import JUDGES
from isometry_book.claims.verdicts import judge_all

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
    settings |= {"env_steps": STEPS, "cycles": np.shape(scores)[1], "lr": 1e-3}
    settings |= changes
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


# --- streams of the second protocol ---------------------------------------------------

SIZE = {"data": "mnist", "tasks": 10, "images_per_task": 100, "epochs": 2}
SIZE |= {"batch_size": 50, "width": 8, "depth": 4, "network": "mlp", "lr": 1e-3}


def choice_of(score=0.5, ladders=True, **ends):
    """Return the choice of a search; ``ends`` are interior unless they are given."""
    return {
        "candidates": [{"score": 0.1}, {"score": score}, {"score": None}],
        "ladders": {"lr": [1e-3, 1e-2]} if ladders else {},
        "ends": {"lr": "interior", **ends} if ladders else {},
    }


def run_of(
    method,
    metrics,
    name=None,
    *,
    benchmark="permuted_mnist",
    own=None,
    choice=None,
    early=None,
    **settings,
):
    """Return tidy numbers and the record of one run: metric -> (seeds, tasks)."""
    settings = {**SIZE, **settings}
    name = name or f"{benchmark} {method} {sorted(settings.items())} {own}"
    frames = []
    for metric, values in metrics.items():
        table = pd.DataFrame(np.asarray(values, dtype=float)).stack().reset_index()
        table.columns = ["seed", "task", "value"]
        frames.append(table.assign(metric=metric))
    frame = pd.concat(frames).assign(benchmark=benchmark, method=method, settings=name)
    record = {
        "benchmark": benchmark,
        "method": method,
        "hash": name,
        "settings": {**settings, "tasks": int(frame["task"].max()) + 1},
        "method_settings": own or {},
        "runs": [{"seeds": sorted(map(int, frame["seed"].unique())), "status": {}}],
        "choice": choice,
        "early_choice": early,
    }
    return frame[COLUMNS], record


def curve(level, slope, seeds, noise=0.0):
    """Return (seeds, 10): a mean of ``level``, last minus first fifth ``slope``.

    Seeds share a part; ``noise`` has another sign for every other seed.
    """
    values = np.full((seeds, 10), float(level))
    values[:, :2] -= slope / 2
    values[:, -2:] += slope / 2
    part = np.linspace(-0.05, 0.05, seeds) + noise * (-1.0) ** np.arange(seeds)
    return values + part[:, None]


def stream_of(
    levels,
    *,
    slopes=None,
    falls=0.2,
    seeds=8,
    noise=None,
    ends=None,
    metrics=None,
    control=True,
    **settings,
):
    """Return the files of one stream: all methods, and the control tuned early.

    ``levels``, ``slopes``, ``noise``, ``ends`` and ``metrics`` are by method; ``falls``
    is what the control loses.
    """
    slopes, noise = slopes or {}, noise or {}
    files = []
    for method, level in levels.items():
        accuracy = curve(level, slopes.get(method, 0), seeds, noise.get(method, 0))
        own = {"isometry_head": False} if method.startswith("adamo") else {}
        found = {"online_accuracy": accuracy, **(metrics or {}).get(method, {})}
        choice = choice_of(**(ends or {}).get(method, {}))
        files.append(run_of(method, found, own=own, choice=choice, **settings))
    if control:
        accuracy = {"online_accuracy": curve(0.5, -falls, seeds)}
        early = {**settings, "lr": 0.03, "early": choice_of()}
        files.append(run_of("adam", accuracy, **early))
    return files


def verdict_of(key, *files):
    """Return the verdict of a claim's judge on files, or None."""
    results = pd.concat([frame for frame, _ in files], ignore_index=True)
    return JUDGES[key](results, [record for _, record in files])


@pytest.fixture(scope="session")
def verdicts():
    """All verdicts on the committed results."""
    return judge_all(Path(__file__).parents[2] / "results")


@pytest.fixture(scope="session")
def made():
    """Return the makers of runs, choices and streams, and their judge."""
    judge_all("nowhere")  # attaches the judges
    return SimpleNamespace(
        run=run_of,
        choice=choice_of,
        curve=curve,
        stream=stream_of,
        verdict=verdict_of,
    )
