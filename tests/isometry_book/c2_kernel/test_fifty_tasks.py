"""The explorable of fifty tasks shows the stored runs, and asks what they answer."""

from pathlib import Path

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from isometry.lab.store import load_results
from isometry_book.c2_kernel import fifty_tasks as explorable

RESULTS = Path(__file__).resolve().parents[3] / "results"


@pytest.fixture(scope="module")
def shown():
    return explorable.medians(explorable.runs(RESULTS))


def test_shown_are_medians_over_seeds_of_every_task(shown):
    frame = load_results(RESULTS / "kernel_random_label")
    for panel in explorable.PANELS:
        for method in explorable.METHODS:
            values = shown[panel.metric][method]
            assert len(values) == 50
            chosen = frame[
                (frame["metric"] == panel.metric)
                & (frame["method"] == method)
                & (frame["task"] == 7)
            ]["value"]
            assert len(chosen) == 8
            assert values[7] == pd.Series(sorted(chosen)[3:5]).mean()


def test_kernel_and_weights_give_way_before_accuracy_does(shown):
    losses = explorable.first_losses(shown)
    assert losses["kernel"] < losses["spread"] < losses["accuracy"]
    assert losses["accuracy"] == 9


def test_adamo_stays_near_where_all_began(shown):
    ends = {name: values["adamo"][-1] for name, values in shown.items()}
    starts = {name: values["adamo"][0] for name, values in shown.items()}
    assert ends["online_accuracy"] > starts["online_accuracy"]
    assert ends["online_accuracy"] > shown["online_accuracy"]["fresh"][-1]
    assert ends["dead_fraction"] < starts["dead_fraction"]
    kernel = "ntk_robust_condition_number"
    assert ends[kernel] < 1.5 * starts[kernel]
    assert ends["weight_condition_number"] < 1.5
    # What "all that double precision can tell" stands for: it has stopped to grow.
    middle, last = (shown[kernel]["adam"][task] for task in (24, 49))
    assert middle == last > 1e12


def test_losses_are_the_first_of_their_kind():
    one = {"adam": [1, 5, 9], "fresh": [1, 1, 1]}
    accuracy = {"adam": [0.9, 0.85, 0.7], "fresh": [0.9, 0.9, 0.9]}
    shown = {
        "weight_condition_number": one,
        "ntk_robust_condition_number": {"adam": [1, 3, 5], "fresh": [1, 1, 1]},
        "online_accuracy": accuracy,
    }
    losses = explorable.first_losses(shown)
    assert losses == {"spread": 2, "kernel": 3, "accuracy": 3}


def test_values_beyond_the_ends_are_drawn_at_the_ends():
    _, spread, _, dead = explorable.PANELS
    assert spread.height(1e6) == dead.height(1) == explorable.TOP
    assert spread.height(0.5) == dead.height(0) == explorable.BOTTOM
    middle = (explorable.TOP + explorable.BOTTOM) / 2
    assert spread.height(10) == pytest.approx(middle)
    assert dead.text(0.425) == "42 %"
    assert spread.text(18.94) == "18.9"


def test_page_holds_a_table_of_the_task_and_asks_four_questions(shown):
    page = BeautifulSoup(
        explorable.fifty_tasks(explorable.runs(RESULTS), task=9), "html.parser"
    )
    cells = page.find_all(attrs={"data-number": True})
    assert len(cells) == 12
    adam = page.find(attrs={"data-number": "ntk_robust_condition_number adam"})
    assert adam.text == "1420"
    assert "1420" in page.find_all("button")[1]["data-answer"]
    assert [b["data-explore"] for b in page.select("button[data-ask]")] == [
        f"fifty-tasks:task={task}" for task in (1, 9, 25, 50)
    ]
    assert len(page.find_all("circle")) == 12
    assert all(svg["aria-label"] for svg in page.find_all("svg", role="img"))
