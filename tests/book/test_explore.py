"""Figures that words and addresses set, and the network that trains in the page."""

import re
from pathlib import Path

import pytest
from press import ROOT, chapter_files

from isometry_book.c1_plasticity import train_it
from isometry_book.c2_kernel import fifty_tasks
from isometry_book.c2_kernel.ellipse import kernel_ellipse
from isometry_book.c3_deep_linear import study
from isometry_book.c3_deep_linear.depth_slider import depth_explorable
from isometry_book.c4_maxmin.fold_the_plane import fold_the_plane
from isometry_book.c5_adamo import revival_plane, sigma_flow
from isometry_book.c7_games import film_player
from isometry_book.controls import PLAY

FOLD = fold_the_plane()
DRAWN = {
    "kernel-ellipse": kernel_ellipse(),
    "depth-spectra": depth_explorable(study.depth_spectra(study.SIZES.laptop)),
    "fold-the-plane": FOLD,
    "sigma-flow": sigma_flow.sigma_flow(),
    "revival-plane": revival_plane.revival_plane(),
    "fifty-tasks": fifty_tasks.fifty_tasks(fifty_tasks.runs(ROOT / "results")),
    "film": Path(film_player.__file__).read_text() + PLAY,
}
WORDS = '<p>See <span class="explore" data-explore="{}">these words</span>.</p>'
RELU = "fold-the-plane:activation=relu,depth=2"
PHONE = {"width": 360, "height": 740}
NO_WORKER = "window.Worker = undefined;"


@pytest.fixture(scope="module")
def train():
    return train_it.train_it(ROOT / "results")


def told(page):
    """Return what is said, once the trainer has said it."""
    page.wait_for_function(
        "document.querySelector('[data-now]').textContent.includes(' of 30')"
    )
    return page.inner_text("[data-now]")


def one_pass(page):
    told(page)
    page.locator("[data-pass]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "/accuracy \\d/.test(document.querySelector('[data-now]').textContent)"
    )
    return told(page)


@pytest.mark.browser
def test_words_set_a_figure_by_the_keyboard_and_the_address_keeps_it(opened):
    page = opened(WORDS.format(RELU) + FOLD)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "these words"
    page.keyboard.press("Enter")
    assert page.locator("[value=relu]").is_checked()
    assert page.locator("[data-control=depth]").input_value() == "2"
    said = page.inner_text("[aria-live]")
    page.wait_for_function("location.hash !== ''")
    assert page.evaluate("location.hash") == f"#{RELU}"
    again = opened(FOLD, address=f"#{RELU}")
    assert again.inner_text("[aria-live]") == said
    assert again.locator("[data-control=depth]").get_attribute("aria-valuetext") == "2"


@pytest.mark.browser
@pytest.mark.parametrize(
    "address",
    [
        "#nowhere:depth=2",
        "#fold-the-plane:depht=2",
        "#fold-the-plane:activation=x",
        "#a",
    ],
)
def test_an_address_that_means_nothing_changes_nothing(opened, address):
    page = opened(FOLD, address=address)
    assert page.locator("[value=maxmin]").is_checked()
    assert page.locator("[data-control=depth]").input_value() == "4"


@pytest.mark.browser
def test_without_a_script_the_words_are_text_and_figures_stand(opened, train):
    page = opened(WORDS.format(RELU) + FOLD + train, java_script_enabled=False)
    assert page.locator("button:visible, input:visible").count() == 0
    assert "See these words." in page.inner_text("p >> nth=0")
    assert page.locator("[data-ghost]").count() == len(train_it.NAMES)
    assert page.locator("[data-ghost=adam]").is_visible()


@pytest.mark.browser
def test_the_point_is_dragged_by_touch_and_mouse_alike(opened):
    page = opened(FOLD, viewport=PHONE)
    point = page.locator("[data-input]").bounding_box()
    x, y = point["x"] + point["width"] / 2, point["y"] + point["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 30, y + 10, steps=3)
    page.mouse.up()
    assert float(page.locator("[data-control=x]").input_value()) < 0.5
    assert float(page.locator("[data-control=y]").input_value()) < 0.45


@pytest.mark.browser
@pytest.mark.parametrize("before", ["", NO_WORKER], ids=["worker", "page"])
def test_the_network_trains_in_a_worker_or_else_in_the_page(opened, train, before):
    page = opened(train, before=before, reduced_motion="reduce")
    assert told(page) == "Adam, task 1 of 30: not trained yet."
    assert len(page.workers) == (0 if before else 1)
    said = one_pass(page)
    # The same seed gives the same numbers wherever it is trained.
    assert one_pass(opened(train, before=NO_WORKER)) == said
    assert page.locator("[data-strip='0']").get_attribute("d").count("M") == 32
    page.locator("[data-reset]").click()
    page.wait_for_function(
        "document.querySelector('[data-now]').textContent.includes('not trained')"
    )


@pytest.mark.browser
def test_words_start_training_and_the_button_pauses_it(opened, train):
    words = WORDS.format("train-it:method=adamo,speed=1000000,run=yes")
    page = opened(words + train)
    told(page)
    page.locator("button.explore").click()
    page.wait_for_function(
        "document.querySelector('[data-now]').textContent.startsWith('AdamO, task 2')"
    )
    run = page.locator("[data-control=run]")
    assert run.inner_text() == "Pause"
    run.click()
    page.wait_for_function(
        "document.querySelector('[data-control=run]').dataset.on === 'no'"
    )
    said = told(page)
    page.wait_for_timeout(300)
    assert told(page) == said
    assert page.evaluate("location.hash") == "#train-it:method=adamo,speed=1000000"
    own = page.locator("[data-line=adamo]").get_attribute("points").split()
    # The library's mean goes as far as one has trained oneself.
    told_of = page.locator("[data-ghost=adamo]").get_attribute("points").split()
    assert len(told_of) == len(own) > 0
    assert page.locator("[data-ghost=adam]").get_attribute("points") == ""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("motion", "starts"), [("reduce", False), ("no-preference", True)]
)
def test_only_who_has_not_asked_for_less_motion_sees_it_start(
    opened, train, motion, starts
):
    html = train_it.train_it(ROOT / "results", autoplay=True)
    page = opened(html, reduced_motion=motion)
    told(page)
    page.wait_for_timeout(500)
    assert (page.locator("[data-control=run]").inner_text() == "Pause") is starts
    still = opened(train)
    told(still)
    assert still.locator("[data-control=run]").inner_text() == "Train"


@pytest.mark.browser
def test_controls_and_picture_fit_one_screen_of_a_phone(opened, train):
    for html in (train, FOLD):
        page = opened(html, viewport=PHONE)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        panels = page.locator(".explorable-panels").bounding_box()
        assert panels["y"] + panels["height"] <= PHONE["height"]


CALLED = {
    "train-it": "train_it.train_it(",
    "kernel-ellipse": "kernel_ellipse(",
    "depth-spectra": "depth_explorable(",
    "fold-the-plane": "fold_the_plane(",
    "sigma-flow": "sigma_flow.sigma_flow(",
    "revival-plane": "revival_plane.revival_plane(",
    "fifty-tasks": "fifty_tasks.fifty_tasks(",
    "film": "film_html(",
}
SETS = re.compile(r"\{set\}`[^`<]+<([\w-]+):([^>`]+)>`")


@pytest.mark.parametrize("path", chapter_files(ROOT), ids=lambda path: path.stem)
def test_every_word_that_sets_a_figure_names_what_it_has(path, train):
    known = {"train-it": train, **DRAWN}
    text = Path(path).read_text()
    assert text.count("{set}`") == len(SETS.findall(text))
    for name, pairs in SETS.findall(text):
        assert CALLED[name] in text
        for key, value in (pair.split("=") for pair in pairs.split(",")):
            own = re.findall(rf'<[^>]*data-control="{key}"[^>]*>', known[name])
            assert own, (name, key)
            if 'type="radio"' in own[0]:
                assert any(f'value="{value}"' in tag for tag in own), (key, value)
            if listed := re.search('data-values="([^"]*)"', own[0]):
                assert value in listed[1].split(), (key, value)
