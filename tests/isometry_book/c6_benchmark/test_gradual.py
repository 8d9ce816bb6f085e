"""Gradual streams, the probes that compare them, and the rule that answers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from isometry.lab.plans import plan
from isometry.lab.store import TIDY
from isometry.supervised.trainer import train
from isometry_book.c6_benchmark import figures, gradual

SMOKE = gradual.GRADUAL.sizes.smoke
KEYS = ["seed", "task", "metric"]


@pytest.fixture(scope="module")
def numbers():
    return gradual.GRADUAL.at("smoke", "digits")


def of(numbers, benchmark, method, blend):
    rows = numbers["benchmark"] == benchmark
    rows &= numbers["method"] == gradual.name_of(method, blend)
    return numbers[rows].set_index(KEYS)["value"].sort_index()


@pytest.mark.parametrize("method", gradual.CHOSEN)
def test_without_a_blend_a_stream_is_the_abrupt_one_whatever_is_probed(
    method, numbers, digits
):
    changes = {"data": "digits", "tasks": SMOKE.tasks, "test_images": SMOKE.test_images}
    changes |= gradual.CHOSEN[method]
    abrupt = plan("permuted_mnist", method, changes, SMOKE.profile)
    methods = abrupt.method, abrupt.method_settings
    run = train(abrupt.images, *methods, abrupt.settings, digits, [0, 1])
    expected = pd.DataFrame(run.records).set_index(KEYS)["value"].sort_index()
    found = of(numbers, gradual.LIVED, method, 0.0)
    assert found.to_dict() == expected[found.index].to_dict()
    assert set(found.index.unique("task")) == set(range(SMOKE.tasks))


@pytest.mark.parametrize("method", gradual.CHOSEN)
def test_at_birth_all_blends_have_the_same_probe(method, numbers):
    first = of(numbers, gradual.PROBED, method, 0.0).xs(0, level="task")
    for blend in gradual.BLENDS[1:]:
        other = of(numbers, gradual.PROBED, method, blend)
        assert other.xs(0, level="task").to_dict() == first.to_dict()


def test_later_probes_differ_by_what_was_lived_through_and_not_for_new_networks(
    numbers,
):
    last = max(SMOKE.ages)
    for method, same in (("adam", False), ("adamo", False), ("fresh", True)):
        probes = [
            of(numbers, gradual.PROBED, method, b).xs(last, level="task").to_dict()
            for b in (gradual.ABRUPT, gradual.SMOOTHEST)
        ]
        assert (probes[0] == probes[1]) is same, method


def test_a_probe_is_a_task_of_no_stream_and_of_its_age_alone():
    assert SMOKE.tasks < gradual.LAPTOP.tasks < gradual.FIRST_PROBE
    ages = gradual.LAPTOP.ages
    fifth = gradual.LAPTOP.tasks // 5
    assert all(a < fifth or a >= gradual.LAPTOP.tasks - fifth for a in ages)
    assert sum(a < fifth for a in ages) == len(ages) / 2


def made(losses, noise=0.0, seeds=8):
    """Return probes of Adam at ages 0 and 9: blend -> what is lost on average."""
    rows = []
    for method in gradual.CHOSEN:
        for blend in gradual.BLENDS:
            name = gradual.name_of(method, blend)
            for seed in range(seeds):
                off = noise * (-1.0) ** seed * (blend == gradual.SMOOTHEST)
                for age, value in ((0, 0.9), (9, 0.9 - losses.get(blend, 0) - off)):
                    value += seed / 100
                    row = (name, seed, age, gradual.MEASURE, value)
                    rows.append((gradual.PROBED, *row))
    return pd.DataFrame(rows, columns=TIDY)


def test_what_is_lost_is_the_first_fifth_minus_the_last_seed_by_seed():
    loss = gradual.loss_by_blend(made({0.0: 0.1, 0.5: -0.2}), "adamo", gradual.MEASURE)
    np.testing.assert_allclose(loss[0.0], 0.1)
    np.testing.assert_allclose(loss[0.5], -0.2)
    np.testing.assert_allclose(loss[1.0], 0, atol=1e-12)
    table = gradual.intervals_by_blend(made({0.0: 0.1}), gradual.MEASURE)
    assert table.loc[("adam", 0.0)].round(6).tolist() == [0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("losses", "noise", "answer"),
    [
        ({0.0: 0.10, 1.0: 0.01}, 0.0, "tied"),
        ({0.0: 0.10, 1.0: 0.079}, 0.0, "tied"),
        ({0.0: 0.10, 1.0: 0.081}, 0.0, "not tied"),
        ({0.0: 0.10, 1.0: 0.20}, 0.0, "not tied"),
        ({0.0: 0.10, 1.0: 0.08}, 0.05, "undecided"),
        ({0.0: -0.01, 1.0: -0.2}, 0.0, "nothing is lost"),
    ],
)
def test_the_rule_answers(losses, noise, answer):
    found = gradual.severity(made(losses, noise))
    assert found.answer == answer
    assert found.abrupt.estimate == pytest.approx(losses[0.0])


def test_losses_are_drawn_over_blends_in_their_order():
    table = gradual.intervals_by_blend(made({0.0: 0.1, 1.0: 0.05}), gradual.MEASURE)
    _, ax = plt.subplots()
    figures.losses_over_blends(ax, table, "lost")
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["0", "1/8", "1/4", "1/2", "1"]
    lines = {
        c.get_label(): np.asarray(c.lines[0].get_ydata(), float) for c in ax.containers
    }
    np.testing.assert_allclose(lines["Adam"], [0.1, 0, 0, 0, 0.05], atol=1e-9)
    assert set(lines) == {"Adam", "AdamO", "fresh network"}
    plt.close("all")
