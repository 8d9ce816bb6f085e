"""The paper's network: which runs, and the rule that answers for the hardest pull."""

import pytest

from isometry.core.settings import as_dict
from isometry.lab.plans import plan
from isometry_book.c6_benchmark import box
from isometry_book.evidence.streams import Stream


def made_stream(made, together, adam, adamo):
    """Return a stream of Adam and AdamO: each a level, a slope and noise."""
    runs = []
    for method, (level, slope, noise) in {"adam": adam, "adamo": adamo}.items():
        curve = made.curve(level, slope, 8, noise)
        runs.append(made.run(method, {"online_accuracy": curve}, **box.BOX))
    results, records = together(*runs)
    return Stream("made", {one["method"]: one for one in records}, None, results)


@pytest.mark.parametrize(
    ("adam", "adamo", "said"),
    [
        ((0.7, -0.1, 0), (0.8, 0.0, 0), "yes"),
        ((0.7, -0.1, 0), (0.8, -0.02, 0), "no"),
        ((0.7, -0.1, 0), (0.6, 0.0, 0), "no"),
        ((0.7, -0.1, 0), (0.71, 0.0, 0.3), "undecided"),
        ((0.7, 0.0, 0), (0.8, 0.0, 0), "nothing is lost"),
    ],
)
def test_the_rule_answers(made, together, adam, adamo, said):
    assert box.answer(made_stream(made, together, adam, adamo)) == said


def settings_of(method, lr):
    """Return the settings that a method has in the box at a rate."""
    form = box.FORMS[lr] if method == "adamo" else {}
    planned = plan("permuted_mnist", method, {"lr": lr, **form})
    return as_dict(planned.method_settings)


def test_a_box_has_the_papers_network_and_one_stream_a_rate(made, stored):
    values = {"online_accuracy": [[0.5] * 80] * 2}
    files = [
        made.run(
            method,
            values,
            name=f"{method} {lr}",
            own=settings_of(method, lr),
            **{**box.BOX, "lr": lr},
        )
        for method in ("adam", "adamo")
        for lr in box.FORMS
    ]
    files.append(made.run("adam", values, name="small", **{**box.BOX, "width": 100}))
    weaker = {**settings_of("adamo", box.FASTER), "isometry_strength": 1.0}
    place = {**box.BOX, "lr": box.FASTER}
    files.append(made.run("adamo", values, name="weaker", own=weaker, **place))
    found = box.boxes(stored(*files))
    assert list(found) == [box.REPORTED, box.FASTER]
    assert all(set(one.runs) == {"adam", "adamo"} for one in found.values())
    assert found[box.FASTER].runs["adamo"]["hash"] != "weaker"
    assert all(one.results["task"].max() == 79 for one in found.values())
