"""The drawings of chapter 3 show the numbers they are given."""

import json
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

import isometry_book.c3_deep_linear.figures as draw
import isometry_book.c3_deep_linear.study as study
from isometry_book.c3_deep_linear import depth_slider


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def frame(values, method="orthogonal", metric="steps"):
    rows = [
        ("b", method, seed, task, metric, value)
        for task, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return pd.DataFrame(rows, columns=study.TIDY)


def test_depth_curve_ends_where_most_seeds_did_not_learn(ax):
    values = {2: [1.0, 2.0, 3.0], 4: [5.0, np.inf, 4.0], 8: [np.inf, np.inf, 9.0]}
    assert draw.depth_curves(ax, frame(values), "steps") is ax
    points, median = ax.lines[:2]
    assert sorted(points.get_ydata()) == [1, 2, 3, 4, 5, 9]
    assert list(median.get_xdata()) == [2, 4]
    assert list(median.get_ydata()) == [2, 5]


def test_hidden_layer_curves_are_medians_with_their_range(ax):
    numbers = frame({0: [1.0, 2.0, 9.0], 1: [4.0, 5.0, 6.0]}, "isometric product")
    numbers["metric"] = "steps_slowest"
    twin = numbers.assign(method="isometric layers")
    other = numbers.assign(metric="steps_random")
    draw.hidden_layers(ax, pd.concat([numbers, twin, other]), (1.0, 2.0))
    assert list(ax.lines[2].get_ydata()) == [2, 5]
    assert ax.collections[2].get_datalim(ax.transData).height > 0


def test_modes_draw_theory_and_simulation(ax):
    found, theory = torch.ones(3, 2), torch.zeros(3, 2)
    draw.modes(ax, [0.0, 1.0, 2.0], found, theory, (2.0, 0.5))
    assert [set(line.get_ydata()) for line in ax.lines] == [{0}, {1}, {0}, {1}]


def test_input_spectra_are_over_their_mean(ax):
    draw.input_spectra(ax, {"isotropic": torch.tensor([[3.0, 1.0], [3.0, 1.0]])})
    assert list(ax.lines[0].get_ydata()) == [1.5, 0.5]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_explorable_is_labelled_and_holds_all_depths():
    spectra = study.depth_spectra(study.SIZES.smoke)
    text = depth_slider.depth_explorable(spectra, depth=8)
    tags = Tags(text).seen
    (slider,) = [attrs for tag, attrs in tags if tag == "input"]
    (label,) = [attrs for tag, attrs in tags if tag == "label"]
    (output,) = [attrs for tag, attrs in tags if tag == "output"]
    assert label["for"] == output["for"] == slider["id"]
    assert (slider["data-values"], slider["value"]) == ("2 8 32", "1")
    image = next(a for tag, a in tags if tag == "svg" and a.get("role") == "img")
    assert len(image["aria-label"]) > 40
    data = json.loads(re.search(r'application/json">(.*?)</script>', text).group(1))
    assert set(data["logs"]) == set(draw.DRAW_STYLES) == set(depth_slider.LOOKS)
    assert data["logs"]["orthogonal"]["32"] == [0.0] * 64
    asked = [attrs["data-explore"] for tag, attrs in tags if tag == "button"]
    assert asked == [f"depth-spectra:depth={depth}" for depth in (8, 2, 32)]
    assert "http" not in text


def test_explorable_draws_the_first_depth_without_a_script():
    spectra = {label: {2: [1.0, 0.1], 4: [1.0, 0.0]} for label in draw.DRAW_STYLES}
    text = depth_slider.depth_explorable(spectra, depth=2)
    box = depth_slider.BOX
    step = (box.bottom - box.top) / box.decades
    expected = f"{box.left:.1f},{box.top:.1f} {box.right:.1f},{box.top + step:.1f}"
    assert text.count(f'points="{expected}"') == 4
    assert text.count('">10</td>') == 4
    assert "above 10¹²" in depth_slider.depth_explorable(spectra, depth=4)


@pytest.mark.parametrize(
    ("value", "words"), [(1.0, "1"), (63.12, "63.1"), (160_000.0, "1.6 × 10⁵")]
)
def test_powers_of_ten_are_set_as_such(value, words):
    spectra = {label: {2: [1.0, 1 / value]} for label in draw.DRAW_STYLES}
    text = depth_slider.depth_explorable(spectra, depth=2)
    shown = re.findall(r'data-condition="[^"]*">([^<]*)<', text)
    assert [word.replace("1.58", "1.6") for word in shown] == [words] * 4
    assert "^" not in re.sub("<script.*", "", text, flags=re.S)
