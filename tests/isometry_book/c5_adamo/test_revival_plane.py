"""The explorable of one unit's revival: its closed form, its presets, its labels."""

from math import hypot

import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.adamo import isometry_gradient
from isometry_book.c5_adamo import revival_plane as explorable

entries = st.floats(-2, 2).filter(lambda x: x == 0 or abs(x) > 1e-6)
matrices = st.tuples(st.tuples(entries, entries), st.tuples(entries, entries))
POINTS = explorable._inputs()


@pytest.fixture(scope="module")
def page():
    text = explorable.revival_plane("short")
    assert "http" not in text
    return BeautifulSoup(text, "html.parser")


def as_tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


@given(matrices, st.floats(0, 4))
def test_closed_form_is_the_flow_of_the_singular_values(rows, time):
    weight = as_tensor(rows)
    u, sigma, v = torch.linalg.svd(weight)
    # Rows that are almost parallel hang on the last digits of their angle.
    if sigma[1] < 1e-3:
        return
    left = torch.tensor(-time, dtype=torch.float64).exp()
    moved = sigma / (sigma**2 + (1 - sigma**2) * left).sqrt()
    expected = u @ torch.diag(moved) @ v
    assert_close(as_tensor(explorable._pulled(rows, time)), expected, rtol=0, atol=1e-9)


def test_closed_form_solves_the_equation_of_the_pull():
    rows, rate, step = ((0.4, -0.3), (1.2, 0.9)), 1 / 8, 1e-4
    weight = as_tensor(rows)
    for _ in range(10_000):
        weight = weight - step * rate * isometry_gradient(weight)
    # Euler's method, error of the order of the step.
    found = as_tensor(explorable._pulled(rows, 1.0))
    assert_close(found, weight, rtol=0, atol=1e-4)


def test_pull_ends_at_the_nearest_orthogonal_matrix():
    rows = ((0.4, -0.3), (1.2, 0.9))
    u, _, v = torch.linalg.svd(as_tensor(rows))
    assert_close(as_tensor(explorable._pulled(rows, explorable.END)), u @ v)


@pytest.mark.parametrize(
    ("preset", "revives"),
    [("short", True), ("turned", True), ("isometric", False), ("bias", False)],
)
def test_presets_do_what_they_are_called(preset, revives):
    state = explorable.PRESETS[preset]
    rows = explorable._rows_of(state)
    assert explorable._margin(rows[0], state.bias, POINTS) <= 0, "silent at the start"
    assert (explorable._revival_time(state, POINTS) is not None) is revives
    assert ("revives after" in explorable._verdict(state, POINTS)) is revives


def test_unit_turned_away_at_rest_does_not_move():
    rows = explorable._rows_of(explorable.PRESETS["isometric"])
    assert_close(as_tensor(explorable._pulled(rows, 5.0)), as_tensor(rows))


def test_pushed_unit_turns_without_growing_much():
    state = explorable.PRESETS["turned"]
    start, end = (explorable._pulled(explorable._rows_of(state), t)[0] for t in (0, 50))
    cosine = start[0] * end[0] + start[1] * end[1]
    assert state.length == 1.0
    assert cosine / (hypot(*start) * hypot(*end)) < 0.9


def test_bias_below_the_longest_input_forbids_revival_whatever_the_rows():
    longest = max(hypot(*point) for point in POINTS)
    state = explorable.PRESETS["bias"]
    assert state.bias < -longest
    assert f"below −{longest:.2f}" in explorable._verdict(state, POINTS)
    for angle in explorable.ANGLES[::6]:
        other = explorable._State(angle, 0.3, state.bias, angle + 40, 1.0)
        assert explorable._revival_time(other, POINTS) is None


def test_unit_that_fires_may_be_silenced_by_the_pull():
    state = explorable._State(35, 2.0, -1.5, 125, 1.0)
    assert "silenced by the pull" in explorable._verdict(state, POINTS)
    state = explorable._State(35, 2.0, -0.5, 125, 1.0)
    assert "stays alive" in explorable._verdict(state, POINTS)


@pytest.mark.parametrize(
    ("row", "bias", "area"),
    [
        ((1.0, 0.0), 0.0, 0.5),
        ((0.3, 0.4), 0.0, 0.5),
        ((1.0, 0.0), -explorable.HALF / 2, 0.25),
        ((1.0, 0.0), -5.0, 0.0),
        ((1.0, 0.0), 5.0, 1.0),
    ],
)
def test_half_plane_covers_its_share_of_the_square(row, bias, area):
    corners = explorable._half_plane(row, bias)
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    twice = sum(x * v - u * y for (x, y), (u, v) in pairs)
    assert twice / 2 == pytest.approx(area * (2 * explorable.HALF) ** 2)


def test_every_slider_has_its_own_label_and_a_value_in_words(page):
    sliders = page.find_all("input")
    assert [s["data-control"] for s in sliders] == [
        *("time", "angle", "length", "bias", "other_angle", "other_length")
    ]
    labels = [page.find("label", attrs={"for": s["id"]}).text for s in sliders]
    assert len(set(labels)) == len(labels)
    for one in sliders:
        values = one["data-values"].split()
        assert int(one["max"]) == len(values) - 1
        assert one["aria-valuetext"].removesuffix("°") == values[int(one["value"])]
    assert page.find("svg")["role"] == "img"
    assert page.find(attrs={"aria-live": "polite"})
    texts = [b.text for b in page.find_all("button")]
    assert texts == [one.name for one in explorable._examples(POINTS)] + ["Play"]


def test_first_state_needs_no_script(page):
    assert page.find(class_="explorable-controls").has_attr("hidden")
    assert page.find("noscript").text.strip()
    assert len(page.find_all(attrs={"data-point": True})) == len(POINTS)
    now = page.find("polygon", attrs={"data-now": True})["points"]
    end = page.find("polygon", attrs={"data-end": True})["points"]
    assert now
    assert end != now
    assert "It revives after" in page.find(attrs={"data-verdict": True}).text


def test_every_preset_is_a_position_of_the_sliders():
    for state in explorable.PRESETS.values():
        assert state.angle in explorable.ANGLES
        assert state.other_angle in explorable.ANGLES
        assert state.length in explorable.LENGTHS
        assert state.other_length in explorable.LENGTHS
        assert state.bias in explorable.BIASES
