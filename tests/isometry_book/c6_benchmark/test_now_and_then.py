"""The isometry step now and then: cases, what is compared, and the rules."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from isometry.core.statistics import Interval
from isometry.lab.plans import plan
from isometry.lab.store import COLUMNS, TIDY, result_path, write_file
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry.supervised.trainer import train
from isometry_book.c5_adamo import cost
from isometry_book.c6_benchmark import now_and_then

KEYS = ["seed", "task"]


@pytest.fixture(scope="module")
def numbers():
    return now_and_then.NOW_AND_THEN.at("smoke", "digits")


def of(numbers, name):
    rows = numbers["method"] == name
    rows &= numbers["metric"] == now_and_then.MEASURE
    return numbers[rows].set_index(KEYS)["value"].sort_index()


def test_without_a_pull_it_is_adam_at_the_same_rate(numbers):
    changes = {"data": "digits", "tasks": 5, "lr": now_and_then.CHOSEN["lr"]}
    adam = plan("permuted_mnist", "adam", changes, "smoke")
    pixels = scaled(load("digits"), adam.settings.input_scaling)
    way = adam.images, adam.method, adam.method_settings
    run = train(*way, adam.settings, pixels, [0, 1])
    frame = pd.DataFrame(run.records)
    frame = frame[frame["metric"] == now_and_then.MEASURE]
    expected = frame.set_index(KEYS)["value"].sort_index()
    np.testing.assert_allclose(of(numbers, now_and_then.NONE), expected, atol=1e-6)


def test_every_case_is_there_and_no_two_are_alike(numbers):
    cases = now_and_then.cases()
    assert len(cases) == 2 * len(now_and_then.PERIODS)
    assert set(numbers["method"]) == set(cases)
    seen = {tuple(of(numbers, name)) for name in cases}
    short = {"none", "soft_256", "seldom_256"}  # in a short stream hardly a pull
    assert len(seen) >= len(cases) - len(short)


@pytest.mark.parametrize("k", now_and_then.PERIODS[1:])
def test_seldom_and_soft_have_the_same_pull_on_average(k):
    soft, seldom = (now_and_then.cases()[f"{name}_{k}"] for name in ("soft", "seldom"))
    assert soft["isometry_pull"] == seldom["isometry_pull"]
    assert k * seldom["isometry_pull"] == now_and_then.PULL
    planned = plan("permuted_mnist", "adamo", {**now_and_then.CHOSEN, **seldom})
    own = planned.method_settings
    acts = own.isometry_strength * planned.settings.lr * own.isometry_every
    assert acts == pytest.approx(now_and_then.PULL)


def made(levels, noise=0.0):
    """Return numbers of ten tasks and eight seeds: case -> mean online accuracy."""
    rows = []
    for name in now_and_then.cases():
        for seed in range(8):
            value = levels.get(name, 0.5) + seed / 100
            if name.startswith("seldom"):
                value += noise * (-1.0) ** seed
            for task in range(10):
                row = (name, seed, task, now_and_then.MEASURE, value)
                rows.append(("made", *row))
    return pd.DataFrame(rows, columns=TIDY)


def test_what_is_kept_is_a_share_of_what_every_step_gains():
    levels = {"none": 0.4, "soft_1": 0.8, "seldom_4": 0.78, "seldom_16": 0.6}
    table = now_and_then.compared(made(levels | {"soft_4": 0.7}))
    shares = [table.loc[k, "share"].estimate for k in (1, 4, 16)]
    np.testing.assert_allclose(shares, [1, 0.95, 0.5])
    assert table.loc[4, "minus_soft"].estimate == pytest.approx(0.08)
    assert table["slope"].abs().max() < 1e-12
    assert now_and_then.longest_period(table) == 4


def test_a_period_counts_only_if_the_shorter_ones_do():
    levels = {"none": 0.4, "soft_1": 0.8, "seldom_4": 0.5, "seldom_16": 0.8}
    assert now_and_then.longest_period(now_and_then.compared(made(levels))) == 1


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.004, 0.01, "no worse"),
        (-0.02, -0.006, "worse"),
        (-0.02, 0.0, "open"),
    ],
)
def test_the_rule_reads_an_interval(low, high, said):
    found = Interval((low + high) / 2, low, high, level=0.95, num_seeds=8)
    assert now_and_then.standing(found) == said


def test_noise_leaves_it_open():
    levels = {"none": 0.4, "soft_1": 0.8}
    table = now_and_then.compared(made(levels, noise=0.1))
    assert set(table.loc[[4, 16, 64, 256], "standing"]) == {"open"}


def test_costs_stand_beside_what_is_kept(tmp_path, monkeypatch):
    rows = {str(k): {"milliseconds": 1.0, "ratio": 1 + 1 / k} for k in (1, 4, 16)}
    report = tmp_path / cost.PERIODS_REPORT
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps({"networks": {"small": rows, "large": rows}}))
    monkeypatch.chdir(tmp_path)
    found = cost.period_cost_numbers(None, "digits").assign(settings="x")
    record = {"benchmark": cost.PERIODS_BENCHMARK, "method": "m", "hash": "x"}
    path = result_path(tmp_path / "store", *record.values())
    write_file(path, found[COLUMNS], {**record, "settings": {}, "runs": []})
    spent = now_and_then.costs(tmp_path / "store")
    assert spent.loc[4].tolist() == [1.25, 1.25]
    tables = {"mnist": now_and_then.compared(made({"none": 0.4, "soft_1": 0.8}))}
    shown = now_and_then.beside_costs(tables, spent)
    assert shown.loc[4, "step, 512 wide"] == "1.25"
    assert shown.loc[1, "Permuted MNIST against soft"] == ""
    assert shown.loc[4, "Permuted MNIST keeps"] == "0.25 [0.25, 0.25]"


def test_both_ways_are_drawn_over_the_period():
    _, ax = plt.subplots()
    now_and_then.draw(ax, made({"none": 0.4, "soft_1": 0.8, "seldom_4": 0.7}))
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    hard = lines["1/8 every k steps"]
    assert hard[0] == pytest.approx(0.835)
    assert hard[1] == pytest.approx(0.735)
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        str(k) for k in now_and_then.PERIODS
    ]
    plt.close("all")
