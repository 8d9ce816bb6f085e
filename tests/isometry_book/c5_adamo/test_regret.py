"""The rule that chooses AdamO's default, on made-up tables and on the stored runs."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from isometry.adamo import AdamO, relaxation_steps
from isometry_book.c5_adamo import regret

RESULTS = Path(__file__).parents[3] / "results"
COLUMNS = ["stream", "game", "lr", "strength", "relaxation", "regret"]


def table(*rows):
    """Return a table of (stream, game, strength, regret) at one learning rate."""
    full = [
        (stream, game, 1e-3, strength, relaxation_steps(strength, 1e-3), lost)
        for stream, game, strength, lost in rows
    ]
    return pd.DataFrame(full, columns=COLUMNS)


def both(images, game):
    """Return the table of one stream of images and one game, strength -> regret."""
    rows = [("images", False, *pair) for pair in images.items()]
    return table(*rows, *(("game", True, *pair) for pair in game.items()))


HARMLESS = {0.0: 0.0, 0.01: 0.0, 0.1: 0.0}


@pytest.mark.parametrize(
    ("images", "game", "strength"),
    [
        ({0.0: 0.3, 0.01: 0.1, 0.1: 0.0}, HARMLESS, 0.1),
        ({0.0: 0.3, 0.01: 0.009, 0.1: 0.0}, HARMLESS, 0.01),  # as near, and weaker
        ({0.0: 0.3, 0.01: 0.1, 0.1: 0.0}, HARMLESS | {0.1: 0.06}, 0.01),  # does harm
        ({0.0: 0.3, 0.01: 0.1, 0.1: 0.0}, {0.0: 0.2, 0.01: 0.2, 0.1: 0.24}, 0.1),
        ({0.0: 0.3, 0.01: 0.1, 0.1: 0.0}, {0.0: 0.0, 0.01: 0.0}, 0.01),  # never played
        ({0.0: 0.0, 0.01: 0.1, 0.1: 0.2}, HARMLESS, 0.0),
    ],
)
def test_the_rule_takes_the_smallest_largest_regret(images, game, strength):
    made = both(images, game)
    assert regret.chosen(made, "strength") == strength
    time = regret.chosen(made, "relaxation")
    assert time == pytest.approx(relaxation_steps(strength, 1e-3))


def test_what_was_not_tried_everywhere_is_no_candidate():
    made = both({0.0: 0.3, 0.01: 0.1, 0.1: 0.0}, HARMLESS)
    more = table(("other", False, 0.0, 0.0), ("other", False, 0.01, 0.02))
    assert regret.chosen(pd.concat([made, more]), "strength") == 0.01


@pytest.fixture(scope="module")
def stored():
    return regret.regret_table(RESULTS)


def test_the_stored_runs_choose_the_default(stored):
    [group] = AdamO([torch.ones(2, 2)], lr=1e-3).param_groups
    time = relaxation_steps(group["isometry_strength"], 1e-3)
    assert regret.chosen(stored, "relaxation") == pytest.approx(time)


def test_every_stream_has_adam_and_a_best_one(stored):
    assert set(stored["stream"]) == set(regret.STREAMS)
    for _, own in stored.groupby(["stream", "lr"]):
        assert own["regret"].min() == 0
        assert math.inf in own["relaxation"].to_list()
        assert own["strength"].is_unique
        assert own["seeds"].nunique() == 1


def test_rates_at_which_adam_is_poor_are_left_out(stored):
    assert set(stored[stored["stream"] == "permuted CIFAR-10"]["lr"]) == {3e-4}
