"""The study of looks: what it measures, and how it judges."""

import math

import pandas as pd
import pytest
import torch
from torch import nn

from isometry.core.seeding import generator
from isometry.diagnostics import diagnose
from isometry.lab.store import TIDY
from isometry.supervised.streams import Task
from isometry_book.c5_adamo.continual import Sizes as Stream
from isometry_book.c6_benchmark import looks, looks_figures


@pytest.fixture(scope="module")
def numbers():
    sizes = looks.Sizes(stream=Stream(seeds=2, tasks=3, epochs=1), looks=(0, 2))
    patch = pytest.MonkeyPatch()
    patch.setattr(looks, "STEPS", 6)
    patch.setattr(looks, "PROBES", 2)
    found = looks.look_numbers(sizes, "digits")
    patch.undo()
    return found


def test_every_network_is_looked_at_when_it_is_time(numbers):
    assert list(numbers.columns) == TIDY
    seen = numbers[numbers["metric"] == "hessian_rank"]
    cases = seen[["method", "seed", "task"]].to_records(index=False).tolist()
    methods, seeds, tasks = ("adam", "adamo"), (0, 1), (0, 2)
    assert sorted(cases) == [(m, s, t) for m in methods for s in seeds for t in tasks]
    accuracy = numbers[numbers["metric"] == "online_accuracy"]
    assert sorted(accuracy["task"].unique()) == [0, 1, 2]
    assert numbers["value"].map(math.isfinite).all()


def test_both_methods_begin_with_the_same_networks(numbers):
    start = numbers[(numbers["task"] == 0) & (numbers["metric"] != "online_accuracy")]
    cases = start.pivot(index=["seed", "metric"], columns="method", values="value")
    assert (cases["adam"] == cases["adamo"]).all()


def test_a_look_sees_duplicates_and_lost_directions(monkeypatch):
    monkeypatch.setattr(looks, "STEPS", 4)
    layers = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)
    model = nn.Sequential(*layers)
    draw = generator(0, "model")
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw)
    model[0].weight.data[4:], model[0].bias.data[4:] = 1, 20.0
    inputs = torch.rand(12, 6, generator=draw)
    task = Task(inputs=inputs, labels=torch.arange(12) % 3)
    found = looks.look_inside(model, task, 0)
    assert found["duplicate"] >= 3 / 8
    whole = diagnose(model.double(), inputs.double(), ntk=False).end_to_end
    spread = whole.largest_exponent.median - whole.smallest_exponent.median
    assert found["exponent_spread"] == pytest.approx(min(spread, looks.WIDEST))
    model[2].weight.data[1] = model[2].weight.data[0]
    assert looks.look_inside(model, task, 0)["exponent_spread"] == looks.WIDEST


def made(adam, adamo, fresh, metric):
    """Return looks at one metric: values a seed, fresh ones before the first task."""
    rows = []
    for method, values in (("adam", adam), ("adamo", adamo)):
        for task, seen in ((0, fresh), (9, values)):
            rows += [
                ("looks", method, seed, task, metric, value)
                for seed, value in enumerate(seen)
            ]
    return pd.DataFrame(rows, columns=TIDY)


@pytest.mark.parametrize(
    ("adam", "adamo", "goes", "spared"),
    [
        ([3.0, 4.0], [1.0, 2.0], True, True),
        ([3.0, 4.0], [1.0, 3.5], True, False),
        ([1.5, 4.0], [1.0, 1.2], False, True),
        ([0.5, 0.6], [2.0, 3.0], False, False),
    ],
)
def test_verdicts_compare_all_pairs_on_the_worse_side(adam, adamo, goes, spared):
    frames = []
    for metric, high in looks.WORSE_HIGH.items():
        sign = 1 if high else -1
        values = ([sign * v for v in part] for part in (adam, adamo, [1.0, 2.0]))
        frames.append(made(*values, metric))
    found = looks.verdicts(pd.concat(frames))
    assert found["goes_with_the_loss"].tolist() == [goes] * 3
    assert found["adamo_is_spared"].tolist() == [spared] * 3


def test_fall_is_the_first_third_less_the_last():
    course = [0.9, 0.8, 0.5, 0.5, 0.5, 0.3]
    rows = [("looks", "adam", 0, t, "online_accuracy", a) for t, a in enumerate(course)]
    found = looks.fall(pd.DataFrame(rows, columns=TIDY), "adam")
    assert found == pytest.approx(0.85 - 0.4)


def test_the_figure_has_a_panel_a_number(numbers):
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 4)
    for ax in looks_figures.looks_over_tasks(axes, numbers):
        assert len(ax.lines) == 3
    plt.close("all")
