"""The explorables in a browser: keys move them, and they draw what the library says."""

import re

import numpy as np
import pytest
import torch
from press import ROOT
from press.site import pages

from isometry.adamo import singular_value_flow
from isometry.rl.film import Film
from isometry_book.c2_kernel import ellipse
from isometry_book.c2_kernel import fifty_tasks as fifty
from isometry_book.c3_deep_linear import depth_slider, study
from isometry_book.c4_maxmin.fold_the_plane import fold_the_plane
from isometry_book.c5_adamo import revival_plane as plane
from isometry_book.c5_adamo import sigma_flow as flow
from isometry_book.c7_games import film_player
from isometry_book.controls import polyline

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
FILM = film_player.film_html(FILMS, 0.99, explore=True)
ELLIPSE = ellipse.kernel_ellipse()
DEPTH = depth_slider.depth_explorable(study.depth_spectra(study.SIZES.smoke))
FIFTY = fifty.fifty_tasks(fifty.runs(ROOT / "results"))
DRAWN = {
    "kernel-ellipse": ELLIPSE,
    "depth-spectra": DEPTH,
    "fold-the-plane": fold_the_plane(),
    "sigma-flow": flow.sigma_flow(),
    "revival-plane": plane.revival_plane(),
    "fifty-tasks": FIFTY,
}
ALL = {**DRAWN, "film": FILM}
ASKING = {name: html for name, html in ALL.items() if "data-ask" in html}
PHONE = {"width": 360, "height": 740}


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
    for fold in explorable.locator("details:not([open]) > summary:visible").all():
        fold.click()
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
@pytest.mark.parametrize("html", ALL.values(), ids=ALL)
def test_every_slider_is_moved_by_the_keyboard_and_redraws(opened, html):
    page = opened(html)
    explorable = page.locator(".explorable")
    assert explorable.locator(SLIDERS).first.is_visible()
    assert press_every_slider(page, explorable) == []


@pytest.mark.browser
@pytest.mark.parametrize("html", DRAWN.values(), ids=DRAWN)
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
@pytest.mark.parametrize("html", ALL.values(), ids=ALL)
def test_controls_and_picture_fit_one_screen_of_a_phone_and_can_be_read(opened, html):
    page = opened(html, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    drawings = page.locator(".explorable svg[role=img]:visible").all()
    top = page.locator(".explorable").bounding_box()["y"]
    for box in (drawing.bounding_box() for drawing in drawings):
        assert box["y"] + box["height"] - top <= PHONE["height"]
    sizes = page.evaluate(
        """[...document.querySelectorAll(".explorable svg text")]
        .filter((text) => text.getClientRects().length)
        .map((text) => [text.getScreenCTM().a, getComputedStyle(text).fontSize])
        .map(([scale, size]) => scale * parseFloat(size))"""
    )
    assert min(sizes, default=9) >= 9


@pytest.mark.browser
@pytest.mark.parametrize("html", ASKING.values(), ids=ASKING)
def test_examples_set_the_state_ask_and_answer(opened, html):
    page = opened(html)
    question, details = page.locator("[data-question]"), page.locator("details").first
    buttons = page.locator("button[data-ask]").all()
    assert buttons[0].get_attribute("aria-pressed") == "true", "it opens with the first"
    shown = set()
    for button in buttons[1:] + buttons[:1]:
        details.locator("summary").click()
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert question.inner_text() == button.get_attribute("data-ask")
        assert not details.evaluate("(part) => part.open")
        answer = page.locator("[data-answer]:not(button)")
        assert answer.text_content() == button.get_attribute("data-answer")
        shown.add(page.locator(".explorable").inner_html())
    assert len(shown) == len(buttons)
    slider = page.locator(SLIDERS).first
    slider.focus()
    page.keyboard.press("ArrowRight" if slider.input_value() == "0" else "ArrowLeft")
    time_moves_it = slider.get_attribute("data-moved") is not None
    assert (buttons[0].get_attribute("aria-pressed") == "true") is time_moves_it


@pytest.mark.browser
def test_address_of_a_list_is_its_value_and_takes_the_nearest(opened):
    page = opened(ELLIPSE, address="#kernel-ellipse:depth=4.6,angle=90,stretch=no")
    shown = [s.get_attribute("aria-valuetext") for s in page.locator(SLIDERS).all()]
    assert shown == ["5", "3", "90°"]
    page.locator("[data-control=depth]").press("End")
    page.wait_for_function("!location.hash.includes('stretch')")
    assert page.evaluate("location.hash") == "#kernel-ellipse:angle=90"


@pytest.mark.browser
@pytest.mark.parametrize("state", [(8, 2.5, 45), (1, 1.0, 0), (5, 3.0, 60)])
def test_ellipse_of_another_state_is_the_librarys(opened, state):
    address = "#kernel-ellipse:depth={},stretch={},angle={}".format(*state)
    page, still = opened(ELLIPSE, address=address), ellipse.kernel_ellipse(*state)
    drawn = page.locator("[data-ellipse]").get_attribute("points")
    assert close(drawn, re.search(r'data-ellipse="".*? points="([^"]*)', still)[1])
    for name in ellipse.CURVES:
        line = page.locator(f"[data-curve={name}]").get_attribute("points")
        expected = re.search(f'data-curve="{name}".*? points="([^"]*)', still)[1]
        assert close(line, expected)
        said = page.inner_text(f"[data-removed={name}]")
        assert f'data-removed="{name}">{said}<' in still
    assert f'data-condition="">{page.inner_text("[data-condition]")}<' in still


@pytest.mark.browser
def test_spectra_of_another_depth_are_the_librarys(opened):
    page = opened(DEPTH)
    page.locator(SLIDERS).press("End")
    spectra = study.depth_spectra(study.SIZES.smoke)
    for name in depth_slider.LOOKS:
        logs = depth_slider._logs(spectra[name][32])
        line = page.locator(f'[data-draw="{name}"]').get_attribute("points")
        assert close(line, depth_slider._points(logs))
        said = page.inner_text(f'[data-condition="{name}"]')
        assert said == depth_slider._condition(logs)


@pytest.mark.browser
def test_one_slider_moves_all_four_panels_and_the_table(opened):
    page = opened(FIFTY)
    page.locator(SLIDERS).press("End")
    still = fifty.fifty_tasks(fifty.runs(ROOT / "results"), task=50)
    for part, name in (("data-dot", "cy"), ("data-dot", "cx")):
        held = re.findall(f'{part}="([^"]*)".*?{name}="([^"]*)"', still)
        assert len(held) == 12
        for key, place in held:
            drawn = page.locator(f'[{part}="{key}"]').get_attribute(name)
            assert float(drawn) == pytest.approx(float(place), abs=0.101)
    for key, text in re.findall('data-number="([^"]*)">([^<]*)<', still):
        assert page.inner_text(f'[data-number="{key}"]') == text
    assert page.inner_text("[data-task]") == "50"


@pytest.mark.browser
def test_curves_of_another_strength_are_those_of_the_library(opened):
    page = opened(flow.sigma_flow())
    page.get_by_role("button", name="As in the paper").click()
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
    assert numbers(points)[-1] == pytest.approx(flow._height(float(sigma)), abs=0.1)
    points = page.locator('[data-ends="2"]').get_attribute("points")
    assert close(points, polyline(flow._ends(2.0, 1e-4, steps)))


@pytest.mark.browser
@pytest.mark.parametrize("preset", plane.PRESETS)
def test_presets_say_in_the_page_what_they_say_in_the_library(opened, preset):
    other = "bias" if preset == "short" else "short"
    page = opened(plane.revival_plane(other))
    page.locator("button[data-ask]").nth(list(plane.PRESETS).index(preset)).click()
    state, points = plane.PRESETS[preset], plane._inputs()
    assert page.inner_text("[data-verdict]") == plane._verdict(state, points)
    slider = page.locator('[data-control="time"]')
    slider.focus()
    page.keyboard.press("End")
    row = plane._pulled(plane._rows_of(state), plane.TIMES[-1])[0]
    drawn = page.locator("[data-now]").get_attribute("points")
    expected = plane._drawn(plane._half_plane(row, state.bias))
    assert close(drawn, expected)
    filled = page.locator("[data-point].reached").count()
    reached = [row[0] * x + row[1] * y + state.bias > 0 for x, y in points]
    assert filled == reached.count(True)


@pytest.mark.browser
def test_play_lets_time_pass_and_stops_at_the_end(opened):
    page = opened(plane.revival_plane())
    play = page.locator("[data-control=run]")
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
    page.locator("[data-control=run]").click()
    page.wait_for_function(
        "document.querySelector('[data-control=time]').value === '60'", timeout=1000
    )


@pytest.mark.browser
def test_tip_of_the_arrow_can_be_dragged(opened):
    page = opened(plane.revival_plane(), viewport={"width": 800, "height": 1200})
    tip = page.locator("[data-tip]")
    tip.scroll_into_view_if_needed()
    box = tip.bounding_box()
    square = page.locator("svg.explorable-square").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    x, y = plane.PLANE.at((0.0, 1.5))
    scale = square["width"] / 420
    page.mouse.move(square["x"] + scale * x, square["y"] + scale * y, steps=4)
    page.mouse.up()
    values = {
        name: float(
            page.locator(f'[data-control="{name}"]')
            .get_attribute("aria-valuetext")
            .removesuffix("°")
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
    second.locator("[data-control=run]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "Number(document.querySelectorAll('[data-control=step]')[1].value) > 3"
    )
    assert second.locator("[data-control=run]").inner_text() == "Pause"
    assert second.locator("[data-now]").get_attribute("aria-live") == "off"
    page.keyboard.press("Enter")
    at = steps.nth(1).input_value()
    page.wait_for_timeout(300)
    assert steps.nth(1).input_value() == at
    assert second.locator("[data-control=run]").inner_text() == "Play"
    assert second.locator("[data-now]").get_attribute("aria-live") == "polite"
    assert steps.nth(0).input_value() == "0", "the other film stands still"
    assert first.locator("[data-control=run]").inner_text() == "Play"


@pytest.mark.browser
def test_a_film_stops_at_its_end_and_plays_again_from_its_start(opened):
    page = opened(FILM)
    page.locator('[data-control="step"]').fill("38")
    play = page.locator("[data-control=run]")
    play.click()
    page.wait_for_function(
        "document.querySelector('[data-control=run]').textContent === 'Play'"
    )
    assert page.locator('[data-control="step"]').input_value() == "40"
    play.click()
    assert int(page.locator('[data-control="step"]').input_value()) < 40


@pytest.mark.browser
def test_who_asked_for_less_motion_sees_stills_in_turn(opened):
    page = opened(FILM, reduced_motion="reduce")
    page.locator("[data-control=run]").click()
    page.wait_for_function(
        "document.querySelector('[data-control=step]').value === '3'", timeout=5000
    )


@pytest.mark.browser
def test_a_film_without_script_shows_stills(opened):
    page = opened(FILM, java_script_enabled=False)
    assert page.locator("[data-stills]").is_visible()
    assert not page.locator("[data-stage]").is_visible()
    assert not page.locator("[data-control=run]").is_visible()
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
