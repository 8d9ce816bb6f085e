import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from isometry_book import style
from isometry_book.dark import COLOUR, dark_colour, dark_rgb, dark_svg

READABLE = 4.5  # WCAG AA, words
VISIBLE = 3.0  # the same for lines


def luminance(colour):
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_words_are_readable_and_every_method_is_visible_on_a_dark_page():
    page = dark_colour("#ffffff")
    assert contrast(dark_colour("#000000"), page) > READABLE
    colours = {one.color for one in style.METHOD_STYLES.values()}
    for colour in [*colours, *style.PALETTE, "#1f77b4", "#808080", "#ff0000"]:
        assert contrast(dark_colour(colour), page) >= VISIBLE, colour


def test_colours_of_families_stay_apart():
    colours = [dark_colour(colour) for colour in style.PALETTE]
    assert len(set(colours)) == len(style.PALETTE)


def test_what_was_darker_becomes_lighter():
    greys = np.linspace(0, 1, 21)[:, None].repeat(3, axis=1)
    assert (np.diff(dark_rgb(greys)[:, 0]) < 0).all()


def test_words_curves_and_pictures_of_a_drawing_change_together():
    fig, ax = plt.subplots()
    ax.imshow(np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]]))
    ax.plot([0, 1], [0, 1], color=style.BLUE)
    file = io.StringIO()
    fig.savefig(file, format="svg")
    plt.close(fig)
    light = file.getvalue()
    dark = dark_svg(light)
    assert set(COLOUR.findall(dark)).isdisjoint(
        {"#ffffff", "#000000", style.BLUE.lower()}
    )
    assert dark_colour(style.BLUE) in dark
    assert f'<svg fill="{dark_colour("#000000")}"' in dark
    assert dark.count("data:image/png") == light.count("data:image/png") == 1
    assert len(dark.splitlines()) > 0.5 * len(light.splitlines())


@pytest.mark.parametrize("colour", ["#0072b2", "#0072B2"])
def test_a_known_colour_is_known_in_any_spelling(colour):
    assert dark_colour(colour) == "#56b4e9"
