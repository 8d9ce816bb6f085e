"""The explorables in a browser: keys move them, and they draw what the library says."""

import re

import numpy as np
import pytest
import torch
from press.site import pages

from isometry.adamo import singular_value_flow
from isometry.rl.film import Film
from isometry_book.c4_maxmin.fold_the_plane import fold_the_plane
from isometry_book.c5_adamo import revival_plane as plane
from isometry_book.c5_adamo import sigma_flow as flow
from isometry_book.c7_games import film_player

SLIDERS = 'input[type="range"]'


def random_film(seed, steps):
    draw = np.random.default_rng(seed)
    return Film(
        game="minatar/breakout",
        boards=draw.random((steps + 1, 10, 10, 4)) < 0.1,
        actions=np.zeros(steps, dtype=np.int64),
        rewards=(draw.random(steps) < 0.3).astype(np.float32),
        values=draw.normal(1, 1, steps + 1).astype(np.float32),
        terminated=True,
        truncated=False,
    )


FILMS = {"first": random_film(0, 12), "second": random_film(1, 40)}
FILM = film_player.film_html(FILMS, 0.99)
FOLD = fold_the_plane()


def numbers(text):
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", text)]


def close(found, expected):
    found, expected = numbers(found), numbers(expected)
    # Both are rounded to a tenth; a tie may go either way.
    return len(found) == len(expected) and all(
        abs(a - b) <= 0.101 for a, b in zip(found, expected, strict=True)
    )


def press_every_slider(page, explorable):
    """Move each slider by one key; return those after which nothing was redrawn."""
    stuck = []
    for slider in explorable.locator(SLIDERS).all():
        before = slider.get_attribute("aria-valuetext"), explorable.inner_html()
        value, last = slider.input_value(), slider.get_attribute("max")
        slider.focus()
        page.keyboard.press("ArrowLeft" if value == last else "ArrowRight")
        after = slider.get_attribute("aria-valuetext"), explorable.inner_html()
        if slider.input_value() == value or after[0] == before[0] or after == before:
            stuck.append(slider.get_attribute("id"))
    return stuck


@pytest.mark.browser
@pytest.mark.parametrize("html", [flow.sigma_flow(), plane.revival_plane(), FILM, FOLD])
def test_every_slider_is_moved_by_the_keyboard_and_redraws(opened, html):
    page = opened(html)
    explorable = page.locator(".explorable")
    assert explorable.locator(SLIDERS).first.is_visible()
    assert press_every_slider(page, explorable) == []


@pytest.mark.browser
@pytest.mark.parametrize("html", [flow.sigma_flow(), plane.revival_plane(), FOLD])
def test_script_draws_the_first_state_as_the_library_does(opened, html):
    with_script = opened(html)
    without = opened(html, java_script_enabled=False)
    for shape in ("polyline", "polygon"):
        drawn = [e.get_attribute("points") for e in with_script.locator(shape).all()]
        held = [e.get_attribute("points") for e in without.locator(shape).all()]
        assert len(drawn) == len(held)
        assert all(close(a, b) for a, b in zip(drawn, held, strict=True))
    text = "[aria-live]"
    assert with_script.inner_text(text) == without.inner_text(text)
    assert not without.locator(SLIDERS).first.is_visible()
    assert "Without JavaScript" in without.locator("noscript").inner_text()
    assert with_script.locator(SLIDERS).first.is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("html", [flow.sigma_flow(), plane.revival_plane(), FILM, FOLD])
def test_explorable_fits_a_phone(opened, html):
    page = opened(html, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_curves_of_another_strength_are_those_of_the_library(opened):
    page = opened(flow.sigma_flow())
    page.locator("[data-literal]").click()
    assert page.locator('[data-control="strength"]').get_attribute(
        "aria-valuetext"
    ) == str(flow.LITERAL)
    assert page.inner_text("[data-summary]") == flow.summary(flow.LITERAL, 1e-4, 10_000)
    assert page.locator("[data-relaxation]").get_attribute("visibility") == "hidden"
    page.locator('[data-control="run"]').focus()
    page.keyboard.press("End")
    steps = flow.RUNS[-1]
    assert page.inner_text("[data-summary]") == flow.summary(flow.LITERAL, 1e-4, steps)
    sigma = singular_value_flow(
        torch.tensor(2.0, dtype=torch.float64), 1e-4 * flow.LITERAL, steps
    )
    points = page.locator('[data-start="2"]').get_attribute("points")
    up = (flow.BOX.bottom - flow.BOX.top) / flow.BOX.largest
    assert numbers(points)[-1] == pytest.approx(
        flow.BOX.bottom - up * float(sigma), abs=0.1
    )


@pytest.mark.browser
@pytest.mark.parametrize("preset", plane.PRESETS)
def test_presets_say_in_the_page_what_they_say_in_the_library(opened, preset):
    other = "bias" if preset == "short" else "short"
    page = opened(plane.revival_plane(other))
    page.locator(f'[data-preset="{preset}"]').click()
    state, points = plane.PRESETS[preset][1], plane._inputs()
    assert page.inner_text("[data-verdict]") == plane._verdict(state, points)
    slider = page.locator('[data-control="time"]')
    slider.focus()
    page.keyboard.press("End")
    row = plane._pulled(plane._rows_of(state), plane.TIMES[-1])[0]
    drawn = page.locator("[data-now]").get_attribute("points")
    expected = plane._drawn(plane._half_plane(row, state.bias))
    assert close(drawn, expected)
    filled = page.locator('[data-point][fill="none"]').count()
    reached = [row[0] * x + row[1] * y + state.bias > 0 for x, y in points]
    assert filled == reached.count(False)


@pytest.mark.browser
def test_play_lets_time_pass_and_stops_at_the_end(opened):
    page = opened(plane.revival_plane())
    play = page.locator("[data-play]")
    play.focus()
    page.keyboard.press("Enter")
    assert play.inner_text() == "Pause"
    page.wait_for_function(
        "Number(document.querySelector('[data-control=time]').value) > 3"
    )
    page.keyboard.press("Enter")
    assert play.inner_text() == "Play"
    page.keyboard.press("Enter")
    page.wait_for_function(
        "document.querySelector('[data-control=time]').value === '60'", timeout=20_000
    )
    assert play.inner_text() == "Play"


@pytest.mark.browser
def test_who_asked_for_less_motion_gets_the_end_at_once(opened):
    page = opened(plane.revival_plane(), reduced_motion="reduce")
    page.locator("[data-play]").click()
    page.wait_for_function(
        "document.querySelector('[data-control=time]').value === '60'", timeout=1000
    )


@pytest.mark.browser
def test_tip_of_the_arrow_can_be_dragged(opened):
    page = opened(plane.revival_plane(), viewport={"width": 800, "height": 1200})
    tip = page.locator("[data-tip]")
    tip.scroll_into_view_if_needed()
    box, square = tip.bounding_box(), page.locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    x, y = plane.PLANE.at((0.0, 1.5))
    scale = square["width"] / 420
    page.mouse.move(square["x"] + scale * x, square["y"] + scale * y, steps=4)
    page.mouse.up()
    values = {
        name: float(
            page.locator(f'[data-control="{name}"]').get_attribute("aria-valuetext")
        )
        for name in ("angle", "length")
    }
    assert values == {"angle": 90, "length": pytest.approx(1.5, abs=0.05)}


def paths_of(player):
    shown = [path.get_attribute("d") for path in player.locator("[data-channel]").all()]
    return shown, player.locator("[data-now]").inner_text()


def expected_paths(film, step):
    own = min(step, film.steps)
    names = ("paddle", "ball", "trail", "brick")
    paths = re.findall(r' d="([^"]*)"', film_player._paths(film.cells[own], names))
    return paths, film_player._sentence(film, step)


@pytest.mark.browser
def test_script_of_a_film_draws_every_step_as_the_library_does(opened):
    page = opened(FILM)
    slider = page.locator('[data-control="step"]')
    slider.focus()
    for step in range(41):
        assert slider.get_attribute("aria-valuetext") == f"{step} of 40"
        for player, film in zip(
            page.locator("[data-player]").all(), FILMS.values(), strict=True
        ):
            assert paths_of(player) == expected_paths(film, step)
        page.keyboard.press("ArrowRight")


@pytest.mark.browser
def test_two_films_of_a_page_are_played_and_paused_by_their_own_buttons(opened):
    other = film_player.film_html({"third": random_film(2, 60)}, 0.99)
    page = opened(FILM + other)
    first, second = page.locator(".explorable").all()
    steps = page.locator('[data-control="step"]')
    second.locator("[data-play]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "Number(document.querySelectorAll('[data-control=step]')[1].value) > 3"
    )
    assert second.locator("[data-play]").inner_text() == "Pause"
    assert second.locator("[data-now]").get_attribute("aria-live") == "off"
    page.keyboard.press("Enter")
    at = steps.nth(1).input_value()
    page.wait_for_timeout(300)
    assert steps.nth(1).input_value() == at
    assert second.locator("[data-play]").inner_text() == "Play"
    assert second.locator("[data-now]").get_attribute("aria-live") == "polite"
    assert steps.nth(0).input_value() == "0", "the other film stands still"
    assert first.locator("[data-play]").inner_text() == "Play"


@pytest.mark.browser
def test_a_film_stops_at_its_end_and_plays_again_from_its_start(opened):
    page = opened(FILM)
    page.locator('[data-control="step"]').fill("38")
    play = page.locator("[data-play]")
    play.click()
    page.wait_for_function(
        "document.querySelector('[data-play]').textContent === 'Play'"
    )
    assert page.locator('[data-control="step"]').input_value() == "40"
    play.click()
    assert int(page.locator('[data-control="step"]').input_value()) < 40


@pytest.mark.browser
def test_who_asked_for_less_motion_sees_stills_in_turn(opened):
    page = opened(FILM, reduced_motion="reduce")
    page.locator("[data-play]").click()
    page.wait_for_function(
        "document.querySelector('[data-control=step]').value === '3'", timeout=5000
    )


@pytest.mark.browser
def test_a_film_without_script_shows_stills(opened):
    page = opened(FILM, java_script_enabled=False)
    assert page.locator("[data-stills]").is_visible()
    assert not page.locator("[data-stage]").is_visible()
    assert not page.locator("[data-play]").is_visible()
    with_script = opened(FILM)
    assert not with_script.locator("[data-stills]").is_visible()
    assert with_script.locator("[data-stage]").is_visible()


@pytest.mark.site
@pytest.mark.browser
def test_every_explorable_of_the_site_is_moved_by_the_keyboard(site, browser):
    seen, stuck = 0, {}
    context = browser.new_context()
    page = context.new_page()
    for path in pages(site):
        if 'class="explorable"' not in path.read_text():
            continue
        page.goto(path.as_uri(), wait_until="load")
        for explorable in page.locator(".explorable").all():
            seen += 1
            if found := press_every_slider(page, explorable):
                stuck[path.stem] = found
    context.close()
    assert seen >= 2
    assert stuck == {}
