"""Performance profiles: fractions of seeds, checked by counting."""

import math

import numpy as np
import pandas as pd
import pytest

from isometry.lab.performance_profiles import profile_text, profiles
from isometry.lab.store import add_results, result_path


def stored(store, method, scores, benchmark="bench", metric="online_accuracy", tasks=2):
    """Store a score a seed, the same in each task; ``tasks`` is the scale."""
    name = f"{method}{benchmark}{tasks}"
    columns = ["benchmark", "method", "settings", "seed", "task", "metric", "value"]
    rows = [
        (benchmark, method, name, seed, task, metric, score)
        for seed, score in enumerate(scores)
        for task in range(tasks)
    ]
    record = {
        "experiment_version": 1,
        "benchmark": benchmark,
        "method": method,
        "hash": name,
        "settings": {"lr": 0.1, "tasks": tasks},
        "method_settings": {},
        "runs": [{"seeds": list(range(len(scores)))}],
    }
    path = result_path(store, benchmark, method, name)
    add_results(path, pd.DataFrame(rows, columns=columns), record)


def test_a_profile_counts_the_seeds_above_each_threshold(tmp_path):
    scores = {"adam": [0.0, 0.1, 0.5, 0.7], "adamo": [0.4, 0.8, 0.9, 1.0]}
    for method, values in scores.items():
        stored(tmp_path, method, values)
    table = profiles(tmp_path, thresholds=4)
    assert len(table) == 2 * 4
    for row in table.itertuples():
        above = np.asarray(scores[row.method]) > row.threshold
        assert row.fraction == above.mean()
        assert 0 <= row.fraction_low <= row.fraction <= row.fraction_high <= 1
    found = sorted(table["threshold"].unique())
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8])


def test_fractions_fall_with_the_threshold(tmp_path):
    stored(tmp_path, "adam", np.random.default_rng(0).random(20))
    table = profiles(tmp_path)
    assert table["fraction"].is_monotonic_decreasing
    assert table["fraction_low"].is_monotonic_decreasing, "shared resamples"
    assert table["fraction_high"].is_monotonic_decreasing


def test_benchmarks_and_scales_have_thresholds_of_their_own(tmp_path):
    stored(tmp_path, "adam", [0.0, 1.0])
    stored(tmp_path, "adam", [0.0, 3.0], tasks=5)
    stored(tmp_path, "adam", [10.0, 11.0], benchmark="other")
    table = profiles(tmp_path, thresholds=1)
    assert table["threshold"].tolist() == [0.5, 1.5, 10.5]
    assert table["scale"].tolist() == ["tasks=2", "tasks=5", ""]
    text = profile_text(tmp_path, "online_accuracy")
    assert "bench (tasks=5): fraction of seeds whose online_accuracy is above" in text
    assert profile_text(tmp_path, "online_accuracy") == text


def test_an_infinite_loss_lies_above_every_threshold(tmp_path):
    stored(tmp_path, "adam", [1.0, math.inf, 0.0], metric="final_loss")
    table = profiles(tmp_path, "final_loss", thresholds=1)
    assert table["threshold"].tolist() == [0.5]
    assert table["fraction"].tolist() == [pytest.approx(2 / 3)]
    stored(tmp_path, "adam", [math.inf], benchmark="lost", metric="final_loss")
    assert set(profiles(tmp_path, "final_loss")["benchmark"]) == {"bench"}


def test_the_better_method_stands_first(tmp_path):
    stored(tmp_path, "adam", [0.0, 0.1])
    stored(tmp_path, "adamo", [0.5, 1.0])
    lines = profile_text(tmp_path, "online_accuracy").splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["adamo", "adam"]


def test_a_metric_that_no_run_recorded_is_refused(tmp_path):
    stored(tmp_path, "adam", [0.0])
    with pytest.raises(KeyError, match="did you mean 'online_accuracy'"):
        profiles(tmp_path, "onlin_accuracy")
