"""The claim on cause: each verdict that its criterion names can be given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from isometry_book.claims.claim import JUDGES
from isometry_book.interventions import figures, judge, report

WORN = 0.4 + 0.01 * np.arange(8)
LOST = 0.2


def forks(benchmark="interventions_permuted_mnist", seeds=8, lost=LOST, **shares):
    """Return numbers in which each fork gets back its share of what was lost."""
    shares = {"spectrum_optimizer": 0.8, "optimizer": 0.1, "scale_optimizer": 0.2} | {
        name: np.asarray(share) for name, share in shares.items()
    }
    scores = {"nothing": WORN, "fresh": WORN + lost}
    scores |= {name: WORN + lost * share for name, share in shares.items()}
    rows = [
        (benchmark, name, seed, age, "online_accuracy", value)
        for name, values in scores.items()
        for age in (0, 100)
        for seed, value in enumerate((WORN if age == 0 else values)[:seeds])
    ]
    names = ["benchmark", "method", "seed", "task", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


SPREAD = 0.8 + 0.4 * np.array([-1, 1] * 4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "reproduced"),
        ({"spectrum_optimizer": 0.4}, "partly"),  # more than the others, not half
        ({"optimizer": 0.9}, "partly"),  # half, and more than one of them
        ({"optimizer": 0.9, "scale_optimizer": 0.9}, "not reproduced"),
        ({"spectrum_optimizer": 0.4, "optimizer": 0.5}, "not reproduced"),
        ({"spectrum_optimizer": SPREAD}, "partly"),  # the interval reaches below half
        ({"spectrum_optimizer": -0.5}, "not reproduced"),
        ({"lost": 0.005}, "not tested"),
        ({"lost": -0.2}, "not tested"),
        ({"seeds": 7}, "not tested"),
    ],
)
def test_cause_is_judged_by_what_comes_back_with_the_spectrum(changes, expected):
    found = JUDGES["cause"](forks(**changes), [])
    assert found.verdict == expected
    if expected != "not tested":
        assert "After 100 tasks fresh networks are ahead by 0.200" in found.reason
        assert "more than new moments by" in found.reason


def test_another_stream_alone_gives_no_verdict():
    assert JUDGES["cause"](forks("interventions_permuted_cifar10"), []) is None


def test_the_drawing_has_a_row_for_each_intervention_and_says_its_share():
    table = report.returned_table(forks(gates=-3.0))
    _, ax = plt.subplots()
    figures.shares_dots(ax, table, 100, "share of the accuracy")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [
        report.INTERVENTION_NAMES[n]
        for n in ("spectrum_optimizer", "optimizer", "scale_optimizer", "gates")
    ]
    drawn = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert drawn == pytest.approx([0.8, 0.1, 0.2])
    (beyond,) = (line for line in ax.lines if line.get_marker() == "<")
    assert list(beyond.get_xdata()) == [figures.LEAST_SHOWN]
    assert judge.PUT_BACK in report.INTERVENTION_NAMES


def test_rates_are_drawn_in_their_order_for_worn_and_for_new_networks():
    shares = {f"rate_{rate:g}": rate for rate in (1e-2, 1e-4, 1e-3)}
    shares |= {f"fresh_{name}": 1.0 for name in shares}
    _, ax = plt.subplots()
    figures.rates_lines(ax, forks(**shares), 100, "a stream")
    new, worn = (container.lines[0] for container in ax.containers)
    assert list(worn.get_xdata()) == list(new.get_xdata()) == [1e-4, 1e-3, 1e-2]
    middle = np.mean(WORN)
    assert worn.get_ydata() == pytest.approx(
        [middle + LOST * r for r in (1e-4, 1e-3, 1e-2)]
    )
    assert new.get_ydata() == pytest.approx(3 * [middle + LOST])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "new network",
        "after 100 tasks",
    ]
