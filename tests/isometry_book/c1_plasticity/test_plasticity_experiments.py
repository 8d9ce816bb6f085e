"""The positive control of chapter 1 stands beside the published numbers."""

import pandas as pd
import pytest

from isometry.lab.run import plan
from isometry.lab.store import COLUMNS, StoreError, write_file
from isometry_book.c1_plasticity import experiments

CHANGES = {
    "relu": {"activation": "relu", "lr": 1e-4},
    "leaky_relu": {"activation": "leaky_relu", "lr": 1e-3, "negative_slope": 0.8},
}


def stored(store, activation, values, **changes):
    """Write a run at the published size: seed -> online accuracy of each task."""
    changes = {**CHANGES[activation], **changes}
    planned = plan("random_label_mnist", "adam", changes, "paper")
    rows = [
        ("random_label_mnist", "adam", planned.hash(), seed, task, metric, value)
        for seed, tasks in values.items()
        for task, value in enumerate(tasks)
        for metric in ("online_accuracy", "plasticity")
    ]
    write_file(planned.path(store), pd.DataFrame(rows, columns=COLUMNS), {})


def test_published_size_is_the_one_of_the_positive_control():
    settings = plan("random_label_mnist", "adam", CHANGES["relu"], "paper").settings
    assert settings.images_per_task == 1200
    assert (settings.epochs, settings.tasks, settings.batch_size) == (400, 50, 16)
    assert (settings.width, settings.depth, settings.data) == (100, 2, "mnist")
    assert not settings.reshuffle


def test_control_is_the_mean_over_tasks_and_the_deviation_over_seeds(tmp_path):
    stored(tmp_path, "relu", {0: [0.3, 0.1], 1: [0.5, 0.3]})
    stored(tmp_path, "leaky_relu", {0: [0.9, 0.9], 1: [0.8, 0.8]})
    runs = experiments.control_runs(tmp_path)
    table = experiments.positive_control(runs).set_index("activation")
    assert table.loc["relu", "ours"] == pytest.approx(30)
    assert table.loc["relu", "spread"] == pytest.approx(200**0.5)
    assert table.loc["leaky_relu", "ours"] == pytest.approx(85)
    assert table["seeds"].tolist() == [2, 2]
    assert table["lr"].tolist() == [1e-4, 1e-3]


def test_a_store_without_the_control_is_refused(tmp_path):
    stored(tmp_path, "relu", {0: [0.3]})
    with pytest.raises(StoreError, match="adam-"):
        experiments.control_runs(tmp_path)


def test_two_scalings_are_compared_over_the_tasks_that_both_have(tmp_path):
    stored(tmp_path, "relu", {0: [0.3]})
    stored(tmp_path, "leaky_relu", {0: [0.5] * 10 + [0.9] * 40})
    stored(tmp_path, "leaky_relu", {0: [0.4] * 10}, input_scaling="unit", tasks=10)
    found = experiments.other_scaling(tmp_path)
    assert found == pytest.approx({"standard": 50, "unit": 40, "tasks": 10})
