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


def test_it_opens_with_an_effect_and_asks_about_it():
    page = BeautifulSoup(explorable.kernel_ellipse(), "html.parser")
    removed = page.find(attrs={"data-removed": "slow"}).text
    assert int(removed.split()[0]) < 70
    assert removed in page.find(attrs={"data-answer": True, "type": None}).text
    first = page.find("button")
    assert first["data-ask"] == page.find(attrs={"data-question": True}).text
    values = {s["data-control"]: s["aria-valuetext"] for s in page.find_all("input")}
    assert values == {"depth": "8", "stretch": "3", "angle": "0°"}


def test_no_other_state_learns_less_than_the_worst_turn():
    kernels = explorable._all_kernels()
    slow = {
        (depth, stretch, angle): explorable._shapes(
            explorable._at(kernels, depth, stretch, angle)
        )[0][1]
        for depth in explorable.DEPTHS
        for stretch in explorable.STRETCHES
        for angle in explorable.ANGLES
    }
    (worst,) = [
        one for one in explorable._examples(kernels) if one.name == "The worst turn"
    ]
    assert min(slow, key=slow.get) == tuple(worst.state.values())
    assert slow[5, 3.0, 75] > 5 * slow[5, 3.0, 60], "one notch is enough"


def test_a_quarter_turn_undoes_the_stretch_of_two_layers_but_not_the_kernels():
    pair = torch.linalg.matrix_power(explorable._turned_layer(3.0, 90), 2)
    torch.testing.assert_close(pair, -torch.eye(2, dtype=torch.float64))
    values = torch.linalg.eigvalsh(explorable._kernel_of_layers(3.0, 90, 8))
    assert values[-1] > 2 * values[0]


@pytest.mark.parametrize("state", [(8, 2.5, 45), (3, 1.5, 75)])
def test_ellipse_is_the_image_of_the_circle(state):
    matrix = explorable._at(explorable._all_kernels(), *state)
    text, box = explorable._shapes(matrix)[1], explorable.BOX
    drawn = [[float(x) for x in pair.split(",")] for pair in text.split()]
    middle = torch.tensor([box.size, box.size], dtype=torch.float64) / 2
    points = (torch.tensor(drawn, dtype=torch.float64) - middle) / box.radius
    points[:, 1] *= -1
    unit = torch.linalg.solve(matrix, points.T).norm(dim=0)
    # Corners are rounded to a tenth of a unit, and small eigenvalues magnify that.
    torch.testing.assert_close(unit, torch.ones_like(unit), rtol=0, atol=0.03)


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
