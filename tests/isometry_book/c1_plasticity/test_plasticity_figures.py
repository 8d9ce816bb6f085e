"""The drawings of chapter 1 show the numbers they are given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from isometry_book.c1_plasticity import figures as draw


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def frame(values, method="adam", metric="online_accuracy"):
    """Tidy numbers: one list of tasks a seed."""
    rows = [
        (method, seed, task, metric, value)
        for seed, tasks in enumerate(values)
        for task, value in enumerate(tasks)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "task", "metric", "value"])


def test_metric_over_tasks_is_the_mean_with_the_range_of_seeds(ax):
    numbers = pd.concat(
        [
            frame([[0.2, 0.4], [0.4, 0.8]]),
            frame([[1.0, 1.0]], method="fresh"),
            frame([[9.0, 9.0]], metric="plasticity"),
        ]
    )
    assert draw.metric_over_tasks(ax, numbers, "online_accuracy", "accuracy") is ax
    assert list(ax.lines[0].get_xdata()) == [1, 2]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.3, 0.6])
    assert ax.collections[0].get_datalim(ax.transData).height > 0
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["Adam", "fresh network"]


def test_control_curves_are_percent_and_carry_the_published_means(ax):
    runs = {"relu": frame([[0.2, 0.4], [0.4, 0.8]]), "leaky_relu": frame([[0.9, 0.8]])}
    draw.control_curves(ax, runs, {"relu": 20.0, "leaky_relu": 91.5})
    assert list(ax.lines[0].get_ydata()) == pytest.approx([30, 60])
    assert list(ax.lines[1].get_ydata()) == [20, 20]
    assert list(ax.lines[2].get_ydata()) == pytest.approx([90, 80])
    assert list(ax.lines[3].get_ydata()) == [91.5, 91.5]


def test_budget_curves_name_the_age_of_each_network(ax):
    curves = pd.DataFrame(
        {"learned": [0, 0, 5], "steps": [1, 10, 10], "plasticity": [0.1, 0.5, 0.2]}
    )
    draw.budget_curves(ax, curves)
    assert [line.get_label() for line in ax.lines[:2]] == [
        "new network",
        "after 5 tasks",
    ]
    assert list(ax.lines[0].get_ydata()) == [0.1, 0.5]
