"""In which layers a loss is: the forks, and the rule that was written before them."""

import numpy as np
import pandas as pd
import pytest

from isometry.lab.store import TIDY
from isometry_book.interventions import layers, study
from isometry_book.interventions.runs import MEASURES


@pytest.fixture(scope="module")
def numbers():
    return layers.LAYERS.at("smoke", "digits")


def test_every_fork_of_every_age_and_seed_is_measured(numbers):
    assert set(numbers["benchmark"]) == {"layers_permuted_mnist"}
    forks = set(layers.PUT_BACK) | {"fresh"}
    assert set(numbers["method"]) == forks
    assert len(numbers) == 2 * 2 * len(forks) * len(MEASURES)
    assert set(numbers["task"]) == {1, 2}


def test_forks_that_both_studies_have_are_the_same(numbers):
    both = study.FORKS.at("smoke", "digits")
    both = both[both["benchmark"] == "interventions_permuted_mnist"]
    keys = ["method", "seed", "task", "metric"]
    same = numbers.merge(both, on=keys, suffixes=("", "_other"))
    assert set(same["method"]) == {"fresh", *layers.PUT_BACK} - {
        *("head", "head_optimizer", "hidden", "hidden_optimizer")
    }
    assert (same["value"] == same["value_other"]).all()


def test_the_head_and_the_hidden_layers_put_back_give_other_networks(numbers):
    table = numbers.pivot(index=["seed", "task", "metric"], columns="method")["value"]
    assert (table["head"] != table["nothing"]).any()
    assert (table["hidden"] != table["head"]).any()


def made(head, hidden, seeds=8, fresh=0.8, worn=0.4):
    """Return forks of eight seeds whose shares are as given, with a little spread."""
    spread = np.linspace(-0.02, 0.02, seeds)
    shares = {
        "nothing": 0,
        "fresh": 1,
        "head_optimizer": head,
        "hidden_optimizer": hidden,
    }
    rows = [
        ("layers_permuted_mnist", name, seed, 60, "online_accuracy", value)
        for name, share in shares.items()
        for seed, value in enumerate(
            worn + (fresh - worn) * (share + (spread if 0 < share < 1 else 0 * spread))
        )
    ]
    return pd.DataFrame(rows, columns=TIDY)


def test_the_answer_is_yes_above_a_half_and_no_below():
    found = layers.answers(made(0.9, 0.1))
    assert [found[name][0] for name in layers.ASKED] == ["yes", "no"]
    assert found["head_optimizer"][1].estimate == pytest.approx(0.9)
    found = layers.answers(made(0.505, 0.9))
    assert [found[name][0] for name in layers.ASKED] == ["undecided", "yes"]


def test_nothing_is_asked_where_nothing_is_lost():
    found = layers.answers(made(0.9, 0.1, fresh=0.405))
    assert set(found.values()) == {("nothing is lost", None)}


def test_a_stream_to_which_nothing_is_done_is_the_one_that_is_forked(numbers):
    each = layers.EACH.at("smoke", "digits")
    assert set(each["method"]) == {*layers.EACH_TASK, "fresh"}
    assert set(each["task"]) == {0, 1}
    keys = ["method", "seed", "task", "metric"]
    same = each.merge(numbers, on=keys, suffixes=("", "_other"))
    same = same[same["method"].isin(["nothing", "fresh"])]
    assert set(same["method"]) == {"nothing", "fresh"}
    assert (same["value"] == same["value_other"]).all()
    table = each.pivot(index=["seed", "task", "metric"], columns="method")["value"]
    assert (table.xs(0, level="task").nunique(axis=1) == 1).all(), "the same start"
    later = table.xs(1, level="task")
    assert later.nunique(axis=1).max() == len(later.columns), "then all differ"


def test_what_is_prevented_is_seen_in_the_last_fifth_of_the_tasks():
    late = made(0.9, 0.1).replace({"method": {"hidden_optimizer": "optimizer"}})
    head = late[late["method"] == "head_optimizer"].assign(method="head")
    early = late.assign(value=0.8, task=4)
    last = pd.concat([late, head]).assign(task=9)
    frame = pd.concat([early, early.assign(method="head"), last.assign(task=8), last])
    found = layers.prevented(frame)
    assert {name: one[0] for name, one in found.items()} == {
        "optimizer": "no",
        "head": "yes",
        "head_optimizer": "yes",
    }
    assert found["head"][1].estimate == pytest.approx(0.9)
