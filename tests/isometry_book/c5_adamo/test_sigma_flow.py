"""The explorable of the flow shows the library's flow, and can be used by all."""

from itertools import pairwise

import pytest
import torch
from bs4 import BeautifulSoup

from isometry.adamo import relaxation_steps, singular_value_flow
from isometry_book.c5_adamo import sigma_flow as explorable
from isometry_book.controls import slider


@pytest.fixture(scope="module")
def page():
    text = explorable.sigma_flow(strength=0.1, lr=1e-3, steps=3000)
    assert "http" not in text
    return BeautifulSoup(text, "html.parser")


def test_every_slider_has_a_label_and_a_value_in_words(page):
    sliders = page.find_all("input")
    assert [s["data-control"] for s in sliders] == ["strength", "run"]
    for one in sliders:
        assert one["type"] == "range"
        assert page.find("label", attrs={"for": one["id"]}).text.strip()
        assert (
            page.find("output", attrs={"for": one["id"]}).text == one["aria-valuetext"]
        )
    assert page.find("svg")["role"] == "img"
    assert len(page.find("svg")["aria-label"]) > 40
    assert page.find(attrs={"aria-live": "polite"})
    assert "sigma-flow:strength=0.001,run=10000" in [
        button["data-explore"] for button in page.find_all("button")
    ]


def test_first_state_needs_no_script(page):
    assert page.find(class_="explorable-controls").has_attr("hidden")
    assert page.find("noscript").text.strip()
    box = explorable.BOX
    for line in page.find_all("polyline", attrs={"data-start": True}):
        points = [tuple(map(float, p.split(","))) for p in line["points"].split()]
        start = float(line["data-start"])
        up = (box.bottom - box.top) / box.largest
        time = torch.tensor([3000 * i / 120 for i in range(121)], dtype=torch.float64)
        sigma = torch.tensor(start, dtype=torch.float64)
        values = singular_value_flow(sigma, 1e-4, time)
        for (_, y), value in zip(points, values.tolist(), strict=True):
            assert y == pytest.approx(box.bottom - up * value, abs=0.051)
    for line in page.find_all("polyline", attrs={"data-ends": True}):
        *_, (x, y) = (tuple(map(float, p.split(","))) for p in line["points"].split())
        assert (x, y) == pytest.approx((box.right, box.bottom - up), abs=0.2)
    assert "Relaxation time 1,250 steps; the run lasts 2.4 of them." in page.text


def test_scale_marks_the_papers_strength_and_the_present_one(page):
    circle = float(page.find("circle")["cx"])
    assert circle == pytest.approx(explorable._place_of(1e-3), abs=0.05)
    here = page.find("line", attrs={"data-here": True})["transform"]
    assert f"{explorable._place_of(0.1):.1f} " in here


def test_positions_of_the_slider_are_evenly_spaced_on_the_scale():
    places = [explorable._place_of(value) for value in explorable.STRENGTHS]
    steps = [b - a for a, b in pairwise(places)]
    assert max(steps) == pytest.approx(min(steps), rel=0.05)  # three digits


@pytest.mark.parametrize(
    ("steps", "hidden"), [(300, True), (1000, True), (3000, False)]
)
def test_line_of_the_relaxation_time_is_shown_only_within_the_run(steps, hidden):
    text = explorable.sigma_flow(strength=0.1, lr=1e-3, steps=steps)
    line = BeautifulSoup(text, "html.parser").find(attrs={"data-relaxation": True})
    assert relaxation_steps(0.1, 1e-3) == pytest.approx(1250)
    assert (line.get("visibility") == "hidden") is hidden


def test_labels_are_escaped():
    assert "a &lt; b" in slider("k", "n", "a < b", [1], 1)


def test_answers_follow_from_the_flow():
    strong, paper, million, tenth = explorable._examples(1e-4)

    def ends(one):
        rate = 1e-4 * one.state["strength"]
        starts = torch.tensor(explorable.STARTS, dtype=torch.float64)
        return singular_value_flow(starts, rate, one.state["run"])

    torch.testing.assert_close(ends(strong), ends(tenth))
    away = [float((ends(one) - 1).abs().max()) for one in (strong, million, paper)]
    assert away == sorted(away)
    assert away[0] < 0.1 < away[1], "a million steps are not enough"
    assert away[2] > 1.9, "nothing is seen"
    above, below = singular_value_flow(
        torch.tensor([3.0, 0.05], dtype=torch.float64), 1e-4, 1000
    )
    assert above - 1 < 1 - below, "those above are sooner at one"
