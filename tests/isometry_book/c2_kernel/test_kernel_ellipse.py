"""The explorable of chapter 2 shows the library's kernels, and can be used by all."""

import json

import pytest
import torch
from bs4 import BeautifulSoup

from isometry_book.c2_kernel import ellipse as explorable


@pytest.fixture(scope="module")
def page():
    return BeautifulSoup(explorable.kernel_ellipse(2, 2.0, 45), "html.parser")


def test_every_slider_has_a_label_and_a_value_in_words(page):
    sliders = page.find_all("input")
    assert len(sliders) == 3
    for slider in sliders:
        assert slider["type"] == "range"
        assert page.find("label", attrs={"for": slider["id"]}).text.strip()
        assert slider["aria-valuetext"]
    assert page.find("svg")["role"] == "img"
    assert page.find("svg")["aria-label"]
    assert page.find(attrs={"aria-live": "polite"})


def test_page_holds_the_kernel_of_every_position(page):
    data = json.loads(page.find("script", type="application/json").string)
    depth, stretch, angle = 3, 4, 2
    a, b, d = data["kernels"][depth][stretch][angle]
    expected = explorable._kernel_of_layers(
        data["stretches"][stretch], data["angles"][angle], data["depths"][depth]
    )
    found = torch.tensor([[a, b], [b, d]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)  # four digits


def test_layers_that_only_turn_have_a_round_kernel():
    matrix = explorable._kernel_of_layers(1.0, 30, 5)
    torch.testing.assert_close(matrix, torch.eye(2, dtype=torch.float64))


def test_kernel_is_the_sum_over_layers_of_input_gram_times_output_norm():
    stretch, angle, depth = 2.0, 30, 3
    layer = explorable._turned_layer(stretch, angle)
    head = torch.full((1, 2), 0.5**0.5, dtype=torch.float64)
    total = torch.zeros(2, 2, dtype=torch.float64)
    for before in range(depth + 1):
        product = torch.linalg.matrix_power(layer, before)
        after = head @ torch.linalg.matrix_power(layer, max(depth - before - 1, 0))
        carried = 1.0 if before == depth else after.square().sum()
        total += product.T @ product * carried
    expected = total / torch.linalg.eigvalsh(total)[-1]
    found = explorable._kernel_of_layers(stretch, angle, depth)
    torch.testing.assert_close(found, expected)
