"""The way from a soft pull to a hard one, in the committed searches."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from isometry_book.c6_benchmark import soft_to_hard
from isometry_book.c6_benchmark.soft_to_hard import LIMIT, NONE, along_the_pull, places

RESULTS = Path(__file__).resolve().parents[3] / "results"


@pytest.fixture(scope="module")
def way():
    return along_the_pull(RESULTS)


def test_every_place_has_two_seeds_of_each_rate(way):
    shown = way[way["lr"].isin(soft_to_hard.RATES)]
    counts = shown.groupby(["stream", "held", "lr", "pull"]).size()
    assert set(counts) == {2}
    assert set(shown["seed"]) == {100, 101}
    for _, own in shown[~shown["held"]].groupby(["stream", "lr"]):
        assert {NONE, "0.0001", "0.001", "0.01", "0.125", LIMIT} <= set(own["pull"])


def test_places_run_from_adam_to_the_projection(way):
    order = places(way)
    assert (order[0], order[-1]) == (NONE, LIMIT)
    assert order[1:-1] == sorted(order[1:-1], key=float)


def test_the_drawn_points_are_the_means(way):
    both = way[(way["stream"] == "permuted_mnist") & (way["lr"] == 1e-3)]
    fig, axes = plt.subplots(2)
    soft_to_hard.draw(axes, both)
    order = places(both)
    for ax, what in zip(axes, ("level", "slope"), strict=True):
        for line, held in zip(ax.lines, (False, True), strict=False):
            means = both[both["held"] == held].groupby("pull")[what].mean()
            drawn = {order[int(x)]: y for x, y in zip(*line.get_data(), strict=True)}
            assert drawn == pytest.approx(means.to_dict())
            assert (line.get_linestyle() == ":") == held
    plt.close(fig)


def test_a_held_head_stands_on_the_way_of_one_stream(way):
    held = way[way["held"]]
    assert set(held["stream"]) == {"permuted_mnist"}
    assert {"0.0001", "0.001", "0.01"} <= set(held["pull"])
    assert not {NONE, LIMIT} & set(held["pull"]), "neither holds a head"
