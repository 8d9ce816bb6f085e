"""Methods are compared at the settings that a sweep chose, seed by seed."""

import json

import numpy as np
import pandas as pd
import pytest
from isometry.experiments import benchmark_judges as judges
from isometry.experiments.choices import CHOICE_VERSION
from isometry.experiments.claims import get
from isometry.experiments.comparison import (
    compared,
    predictions,
    rank_differences,
    scores_of,
    standings,
    strength_grid,
    with_choices,
)
from isometry.experiments.store import COLUMNS

SIZE = {"data": "mnist", "tasks": 10, "width": 8, "depth": 4, "network": "mlp"}
SIZE |= {"images_per_task": 100, "epochs": 2, "lr": 0.1}
METHODS = (*judges.OURS, *judges.RIVALS, "fresh")


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
    records = [{"benchmark": b, "hash": h} for b, h in (("b", "x"), ("c", "x"))]
    first, second = with_choices(records, tmp_path)
    assert first["choice"] == choice
    assert second["choice"] is None


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


def test_a_method_that_is_always_first_ranks_better_than_every_other():
    seeds = np.linspace(0, 0.1, 8)
    tables = [
        pd.DataFrame({"adamo": 0.9 + seeds, "x": 0.5 + seeds, "y": 0.2 + seeds})
        for _ in range(3)
    ]
    found = rank_differences(tables, "adamo", resamples=200)
    assert {k: v.estimate for k, v in found.items()} == {"x": -1.0, "y": -2.0}
    assert found["x"].high == found["x"].low == -1.0
    assert rank_differences(tables, "y", resamples=200)["adamo"].low == 2.0


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


# --- the judges -----------------------------------------------------------------------

EQUAL = dict.fromkeys(METHODS, 0.5)


@pytest.mark.parametrize(
    ("changes", "seeds", "expected"),
    [
        ({"adamo": 0.6}, 8, "reproduced"),
        ({"adamo": 0.497}, 8, "reproduced"),  # within 0.005 counts as a match
        ({"adamo": 0.6, "nap": 0.7}, 8, "partly"),
        ({"adamo": 0.6, "adam": 0.7}, 8, "not reproduced"),
        ({"adamo": 0.4, "adamo_maxmin": 0.9}, 8, "not reproduced"),  # not chosen
        ({"adamo": 0.6}, 7, None),
    ],
)
def test_a_match_is_judged_against_every_rival(changes, seeds, expected):
    records = [record(m, score=0.9 if m == "adamo" else 0.5) for m in METHODS]
    judge = get("bench-permuted-mnist").judge
    found = judge(table({**EQUAL, **changes}, seeds), records)
    assert (found and found.verdict) == expected


def test_without_one_of_the_rivals_nothing_is_judged():
    records = [record(m) for m in METHODS if m != "nap"]
    assert get("bench-permuted-mnist").judge(table(EQUAL), records) is None


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
    results, judge = pd.concat(frames), get("sensitivity").judge
    assert judge(results, records).verdict == expected
    assert judge(results, records[:3]) is None
    frames[-3:] = [f.assign(value=0.8) for f in frames[-3:]]
    one_more = {"not reproduced": "partly"}.get(expected, expected)
    assert judge(pd.concat(frames), records).verdict == one_more


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ((-1, -1, -1, -1), "reproduced"),
        ((-1, 1, -1, -1), "partly"),
        ((1, 1, 1, 1), "not reproduced"),
    ],
)
def test_mechanism_asks_every_diagnostic_for_the_claimed_direction(signs, expected):
    records = [record(m) for m in METHODS]
    frames = []
    for i, method in enumerate(METHODS):
        plastic = np.tile(np.arange(4.0), (6, 1)) + i
        frames.append(numbers(method, plastic, "plasticity"))
        for name, sign in zip(judges.MECHANISM, signs, strict=True):
            frames.append(numbers(method, sign * plastic, name))
    found = get("mechanism").judge(pd.concat(frames), records)
    assert found.verdict == expected
    assert get("mechanism").judge(pd.concat(frames[:1]), records) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"adamo": 0.9}, "reproduced"), ({"adamo": 0.1}, "not reproduced")],
)
def test_recommendation_is_the_mean_rank_over_three_benchmarks(changes, expected):
    means = {m: 0.5 + 0.01 * i for i, m in enumerate(METHODS)} | changes
    records, frames = [], []
    for benchmark in judges.BENCHMARKS[1:]:
        records += [record(m, benchmark=benchmark) for m in METHODS]
        frames.append(table(means).assign(benchmark=benchmark))
    found = get("recommendation").judge(pd.concat(frames), records)
    assert found.verdict == expected
    fewer = [r for r in records if r["benchmark"] != judges.BENCHMARKS[1]]
    assert get("recommendation").judge(pd.concat(frames), fewer) is None


@pytest.mark.parametrize(
    ("spreads", "expected"),
    [
        ([0.2, 0.3, 0.5], "reproduced"),
        ([0.2, 0.3, 0.3], "partly"),
        ([0.5, 0.9, 0.4], "not reproduced"),
    ],
)
def test_drift_asks_the_last_spread_to_be_twice_the_first(spreads, expected):
    shared = 1 + np.linspace(0, 0.1, 4)
    values = shared[:, None] * spreads
    frame = numbers("adam", values, "trunk_spread", "residual_drift")
    judge = get("residual-drift").judge
    assert judge(frame, []).verdict == expected
    assert judge(frame[frame["seed"] < 3], []) is None


def test_a_verdict_says_which_network_it_is_about():
    assert judges.size_of(record("adam")).startswith("4 hidden layers of 8 where")
    size = judges.size_of(record("adam", network="cnn"))
    assert size.startswith("A small cnn, of which the paper's size is not known; 10")
