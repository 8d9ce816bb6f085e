"""Films as pictures and in a page: the boards of the film, and nothing from outside."""

import json
import re
from base64 import b64decode

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup

from isometry.rl.film import Film
from isometry.rl.games.pictures import first_channel
from isometry_book.c7_games import film as drawing
from isometry_book.c7_games.film_player import _packed_boards, _sentence, film_html

STEPS = 23


def unpacked_boards(text, shape):
    """Return the boards that became text, one after the other."""
    numbers, found, at = np.frombuffer(b64decode(text), dtype="<u2"), [], 0
    now = np.zeros(int(np.prod(shape)), dtype=np.bool_)
    while at < len(numbers):
        end = at + 1 + int(numbers[at])
        now = now.copy()
        now[numbers[at + 1 : end]] ^= True
        found.append(now.reshape(shape))
        at = end
    return np.stack(found)


def random_film(seed, game="minatar/breakout", steps=STEPS, terminated=True):
    """Return a film of random boards, which no game needs to have shown."""
    draw = np.random.default_rng(seed)
    shape = (4, 32, 64) if game.startswith("octax") else (10, 10, 4)
    return Film(
        game=game,
        boards=draw.random((steps + 1, *shape)) < 0.1,
        actions=np.zeros(steps, dtype=np.int64),
        rewards=(draw.random(steps) < 0.3).astype(np.float32),
        values=draw.normal(1, 1, steps + 1).astype(np.float32),
        terminated=terminated,
        truncated=False,
    )


@pytest.fixture
def axes():
    _, axes = plt.subplots(1, 6)
    yield list(axes)
    plt.close("all")


@pytest.mark.parametrize("shape", [(1, 3), (5, 10, 10, 4), (3, 32, 64, 1)])
def test_packed_boards_are_the_boards(shape):
    boards = np.random.default_rng(0).random(shape) < 0.3
    np.testing.assert_array_equal(
        unpacked_boards(_packed_boards(boards), shape[1:]), boards
    )
    still = np.repeat(boards[:1], 4, axis=0)
    assert unpacked_boards(_packed_boards(still), shape[1:]).tolist() == still.tolist()
    assert len(_packed_boards(still)) < len(_packed_boards(boards[:1])) + 12


def test_stills_are_evenly_spaced_from_the_first_board_to_the_last():
    assert drawing.still_steps(random_film(0, steps=20), 6) == [0, 4, 8, 12, 16, 20]
    assert drawing.still_steps(random_film(0, steps=2), 6) == [0, 1, 2]


def test_strip_draws_the_boards_of_the_steps_with_their_returns(axes):
    film = random_film(0)
    drawing.frame_strip(axes, film, [0, 7, STEPS])
    tops = first_channel(film.cells)
    for ax, step in zip(axes, (0, 7, STEPS), strict=False):
        shown = np.asarray(ax.images[0].get_array())[4::8, 4::8]
        assert shown.shape == (10, 10, 3)
        np.testing.assert_array_equal(shown.any(-1), tops[step] < 4)
        ball = tops[step] == 1
        assert (shown[ball] == 255).all()
        assert f"return {film.rewards[:step].sum():g}" in ax.get_xlabel()
        assert f"step {step}" in ax.get_xlabel()
    assert "over" in axes[2].get_xlabel()
    assert not any(ax.images for ax in axes[3:])


def test_legend_names_the_channels_that_can_be_seen():
    film = random_film(0)
    film.boards[..., 0] = False
    film.boards[..., 3] &= False
    figure = drawing.channel_legend(plt.figure(), [film])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["ball", "trail"]
    plt.close("all")


def test_expectation_shows_values_and_what_followed(axes):
    film = random_film(0)
    assert drawing.draw_expectation(axes[0], film, 0.9) is axes[0]
    values, following = (line.get_ydata() for line in axes[0].lines)
    np.testing.assert_array_equal(values, film.values[:-1])  # nothing follows the last
    np.testing.assert_allclose(following, film.following(0.9))


def page(films, discount=0.99):
    text = film_html(films, discount)
    return text, BeautifulSoup(text, "html.parser")


def test_fragment_holds_the_boards_returns_and_values():
    films = {"a": random_film(0), "b": random_film(1, steps=9, terminated=False)}
    _, soup = page(films)
    data = json.loads(soup.find("script", type="application/json").string)
    for film, kept in zip(films.values(), data["films"], strict=True):
        shape = kept["rows"], kept["columns"], kept["channels"]
        boards = unpacked_boards(kept["boards"], shape)
        np.testing.assert_array_equal(boards, film.cells)
        assert kept["returns"] == film.returns.tolist()
        assert [float(v) for v in kept["values"]] == pytest.approx(
            film.values[:-1].tolist(), abs=0.0501
        )
        assert "-0.0" not in kept["values"]


def test_fragment_loads_nothing():
    text, soup = page({"a <b>": random_film(0)})
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.split("<script>")[0])
    assert not soup.find_all(["link", "img", "iframe"])
    script = soup.find_all("script")[-1].string
    for word in ("http", "fetch", "XMLHttp", "import(", "eval", "innerHTML"):
        assert word not in script
    assert soup.find(attrs={"data-player": True})["aria-label"] == "a <b>"


def test_in_the_book_it_asks_of_moments_of_these_films():
    films = {"a": random_film(0, steps=9), "b": random_film(1)}
    soup = BeautifulSoup(film_html(films, 0.99, explore=True), "html.parser")
    steps = [
        int(button["data-explore"].removeprefix("film:step="))
        for button in soup.select("button[data-ask]")
    ]
    b = films["b"]
    surprise = np.abs(b.values[:-1] - b.following(0.99)[:-1]).argmax()
    assert steps == [0, 9, surprise, STEPS]
    over, end = (soup.select("button[data-ask]")[k]["data-answer"] for k in (1, 3))
    assert over == f"They have scored {b.returns[9]:g}."
    assert end.startswith(f"{films['a'].returns[-1]:g}, {b.returns[-1]:g}, from")
    assert "explore.js" in str(soup)


def test_moments_that_fall_together_are_asked_of_once():
    films = {"a": random_film(0), "b": random_film(1)}
    soup = BeautifulSoup(film_html(films, 0.99, explore=True), "html.parser")
    states = [button["data-explore"] for button in soup.select("button[data-ask]")]
    assert len(states) == len(set(states))
    assert states.count(f"film:step={STEPS}") == 1


def test_two_fragments_share_no_id():
    ids = [
        {tag["id"] for tag in page({"a": random_film(seed)})[1].select("[id]")}
        for seed in (0, 1)
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert ids[0] == {
        tag["id"] for tag in page({"a": random_film(0)})[1].select("[id]")
    }


def test_fragment_shows_stills_without_its_script_and_controls_only_with_it():
    films = {"a": random_film(0), "b": random_film(1)}
    _, soup = page(films)
    assert soup.find(class_="explorable-controls").has_attr("hidden")
    assert soup.find(attrs={"data-stage": True}).has_attr("hidden")
    stills = soup.find(attrs={"data-stills": True})
    assert not stills.has_attr("hidden")
    assert f"step {STEPS}, return {films['b'].returns[-1]:g}" in stills.text
    assert soup.find("noscript").text.strip()
    [control] = soup.find_all("input")
    assert (control["min"], control["max"]) == ("0", str(STEPS))
    assert soup.find("label", attrs={"for": control["id"]})
    assert control["aria-valuetext"] == f"0 of {STEPS}"
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in soup.select("svg"))


@pytest.mark.parametrize("game", ["minatar/breakout", "octax/brix"])
def test_paths_cover_the_cells_that_are_on(game):
    film = random_film(0, game)
    _, soup = page({"a": film})
    tops = first_channel(film.cells)[0]
    drawn = np.full(tops.shape, film.cells.shape[-1])
    for path in soup.find(attrs={"data-player": True}).select("[data-channel]"):
        for column, row, run, back in re.findall(
            r"M(\d+),(\d+)h(\d+)v1h-(\d+)z", path["d"]
        ):
            assert run == back
            place = slice(int(column), int(column) + int(run))
            assert (drawn[int(row), place] == film.cells.shape[-1]).all()
            drawn[int(row), place] = int(path["data-channel"])
    np.testing.assert_array_equal(drawn, tops)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (0, "Return 0. The critic expects"),
        (STEPS, "The game is over."),
        (STEPS + 5, "The game is over."),
    ],
)
def test_sentence_says_what_came_and_what_is_expected(step, words):
    film = random_film(0)
    assert words in _sentence(film, step)
    assert f"Return {film.returns[min(step, STEPS)]:g}." in _sentence(film, step)
    cut = random_film(0, terminated=False)
    assert _sentence(cut, STEPS).endswith("The film ends here.")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: drawing.still_steps(random_film(0), 1), ValueError, "count >= 2"),
        (lambda: drawing._picture(random_film(0), STEPS + 1), IndexError, "0 to 23"),
        (lambda: drawing._picture(random_film(0), -1), IndexError, "found -1"),
        (
            lambda: drawing.frame_strip([], random_film(0), [1]),
            ValueError,
            "at most 0 steps",
        ),
        (lambda: film_html({}, 0.99), ValueError, "at least one film"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
