"""Methods are compared at the settings that a sweep chose, seed by seed."""

import json

import numpy as np
import pandas as pd
import pytest

from isometry.lab.choices import CHOICE_VERSION
from isometry.lab.comparison import (
    compared,
    predictions,
    scores_of,
    standings,
    strength_grid,
    with_choices,
)
from isometry.lab.store import COLUMNS
from isometry_book.c6_benchmark import judge as judges
from isometry_book.claims.claim import JUDGES
from isometry_book.evidence.protocol import size_of

SIZE = {"data": "mnist", "tasks": 10, "width": 8, "depth": 4, "network": "mlp"}
SIZE |= {"images_per_task": 100, "epochs": 2, "lr": 0.1}
METHODS = ("adamo", *judges.RIVALS, "fresh")


def record(method, name=None, score=0.5, benchmark="permuted_mnist", **changes):
    own = {}
    if "strength" in changes:
        own["isometry_strength"] = changes.pop("strength")
    return {
        "benchmark": benchmark,
        "method": method,
        "hash": name or method,
        "settings": {**SIZE, **changes},
        "method_settings": own,
        "runs": [],
        "choice": score and {"candidates": [{"score": 0.1}, {"score": score}]},
    }


def numbers(name, values, metric="online_accuracy", benchmark="permuted_mnist"):
    """Tidy numbers of one run: values (seeds,) or (seeds, tasks)."""
    values = np.asarray(values, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    rows = [
        (benchmark, name, name, seed, task, metric, value)
        for seed, tasks in enumerate(values)
        for task, value in enumerate(tasks)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def table(means, seeds=8):
    """One frame of all methods: a mean each, and what seeds share."""
    shared = np.linspace(-0.1, 0.1, seeds)
    return pd.concat([numbers(m, v + shared) for m, v in means.items()])


# --- which runs are compared ----------------------------------------------------------


def test_a_choice_beside_its_results_is_attached_by_benchmark_and_hash(tmp_path):
    (tmp_path / "b").mkdir()
    choice = {"choice_version": CHOICE_VERSION, "benchmark": "b", "hash": "x"}
    (tmp_path / "b" / "adam-x.choice.json").write_text(json.dumps(choice))
    early = {**choice, "part": "first"}
    (tmp_path / "b" / "adam-x.first.choice.json").write_text(json.dumps(early))
    records = [{"benchmark": b, "hash": h} for b, h in (("b", "x"), ("c", "x"))]
    first, second = with_choices(records, tmp_path)
    assert first["choice"] == choice
    assert first["early_choice"] == early
    assert second["choice"] is second["early_choice"] is None


def test_only_chosen_runs_of_the_largest_comparison_are_compared():
    records = [
        record("adam", "a"),
        record("adam", "grid", score=None),
        record("adamo", "o1", score=0.6),
        record("adamo", "o2", score=0.7),
        record("nap", "other scale", width=512),
        record("nap", "other network", network="cnn"),
        record("nap", "other benchmark", benchmark="permuted_cifar10"),
    ]
    found = compared(records, "permuted_mnist")
    assert {m: r["hash"] for m, r in found.items()} == {"adam": "a", "adamo": "o2"}
    cnn = compared(records, "permuted_mnist", "cnn")
    assert cnn["nap"]["hash"] == "other network"
    assert compared(records, "elsewhere") == {}


def test_scores_are_means_over_tasks_of_the_seeds_that_all_have():
    runs = {m: record(m) for m in ("adam", "adamo")}
    results = pd.concat(
        [numbers("adam", [[0.2, 0.4], [0.6, 0.8]]), numbers("adamo", [[0.5, 0.7]])]
    )
    scores = scores_of(results, runs)
    assert scores.index.tolist() == [0]
    assert scores.loc[0].to_dict() == pytest.approx({"adam": 0.3, "adamo": 0.6})


def test_standings_are_sorted_and_their_intervals_hold_the_estimate():
    scores = pd.DataFrame({"a": [0.1, 0.2, 0.3, 0.4], "b": [0.5, 0.6, 0.7, 0.8]})
    found = standings(scores)
    assert found.index.tolist() == ["b", "a"]
    assert found.loc["a", "mean"] == pytest.approx(0.25)
    assert (found["low"] <= found["mean"]).all()
    assert (found["mean"] <= found["high"]).all()


def test_a_diagnostic_is_ranked_against_the_plasticity_of_the_next_task():
    runs = {m: record(m) for m in ("adam", "adamo", "fresh")}
    frames = []
    for i, method in enumerate(("adam", "adamo")):
        before = [[10.0 * i + s, 0.0, 5.0 + 10.0 * i + s] for s in range(3)]
        frame = numbers(method, before, "dormant_fraction")
        frames.append(frame[frame["task"] != 1])
        # after task 0 comes task 1; task 2 has no next one
        frames.append(numbers(method, [[9.0, -i, 9.0]] * 3, "plasticity"))
    frames.append(numbers("fresh", [[0.0, 0.0, 0.0]] * 3, "dormant_fraction"))
    frames.append(numbers("fresh", [[9.0, 9.0, 9.0]] * 3, "plasticity"))
    found = predictions(pd.concat(frames), runs, "dormant_fraction")
    assert found.estimate == found.low == found.high == pytest.approx(-1)
    assert predictions(pd.concat(frames), runs, "ntk_trace") is None


def test_a_grid_holds_all_else_equal_and_takes_the_longest():
    strengths = (0.01, 0.1, 1.0)
    records = [record("adamo", f"s{s}", strength=s) for s in strengths]
    records += [record("adamo", f"t{s}", strength=s, lr=9) for s in strengths[:2]]
    records.append(record("adamo", "study"))
    results = pd.concat([numbers(f"s{s}", [s] * 4) for s in strengths])
    grid = strength_grid(results, records, "permuted_mnist")
    assert grid.to_dict() == pytest.approx({s: s for s in strengths})
    assert strength_grid(results, records[3:5], "permuted_mnist") is None


# --- the judges of studies on these benchmarks ----------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.8, 0.8, 0.8], "reproduced"),
        ([0.7, 0.8, 0.8], "not reproduced"),
        ([0.7, 0.79, 0.8], "not reproduced"),
    ],
)
def test_sensitivity_asks_for_two_decades_on_two_benchmarks(values, expected):
    strengths, benchmarks = (0.01, 0.1, 1.0), ("permuted_mnist", "random_label_mnist")
    records, frames = [], []
    for benchmark in benchmarks:
        for strength, value in zip(strengths, values, strict=True):
            name = f"{benchmark}{strength}"
            changes = {"benchmark": benchmark, "strength": strength}
            records.append(record("adamo", name, **changes))
            frames.append(numbers(name, [value] * 4, benchmark=benchmark))
    results, judge = pd.concat(frames), JUDGES["sensitivity"]
    assert judge(results, records).verdict == expected
    assert judge(results, records[:3]) is None
    frames[-3:] = [f.assign(value=0.8) for f in frames[-3:]]
    one_more = {"not reproduced": "partly"}.get(expected, expected)
    assert judge(pd.concat(frames), records).verdict == one_more


@pytest.mark.parametrize(
    ("spreads", "noise", "expected"),
    [
        ([0.2, 0.3, 0.5], 0.0, "reproduced"),
        ([0.2, 0.3, 0.4], 0.0, "reproduced"),  # twice
        ([0.2, 0.3, 0.39], 0.0, "partly"),  # near at first, and stays so
        ([0.2, 0.3, 0.44], 0.5, "partly"),  # twice on average, and not surely
        ([1.4, 2.0, 3.2], 0.0, "partly"),  # drifts, from afar
        ([0.6, 0.9, 0.8], 0.0, "not reproduced"),
    ],
)
def test_drift_asks_for_a_near_start_and_a_distance_that_surely_doubles(
    spreads, noise, expected
):
    values = np.tile(spreads, (4, 1))
    values[:, -1] *= 1 + noise * np.array([-1, -1, 1, 1])
    frame = numbers("adam", values, "trunk_spread", "residual_drift")
    judge = JUDGES["residual-drift"]
    assert judge(frame, []).verdict == expected
    assert judge(frame[frame["seed"] < 3], []) is None
    assert judge(frame[frame["task"] < 2], []) is None


def test_a_verdict_says_which_network_it_is_about():
    assert size_of(record("adam")).startswith("4 hidden layers of 8 where")
    size = size_of(record("adam", network="cnn"))
    assert size.startswith("A small cnn, of which the paper's size is not known; 10")
