import io
from itertools import combinations

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from isometry.methods import METHODS
from isometry_book import style


def lightness(color):
    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("one", "other"), list(combinations(style.METHOD_STYLES.values(), 2))
)
def test_every_two_methods_differ_without_colour(one, other):
    assert (one.linestyle, one.marker) != (other.linestyle, other.marker)
    assert one.label != other.label


def test_the_ceiling_the_baseline_and_adamo_differ_in_lightness_or_line():
    fresh, adam, adamo = (style.METHOD_STYLES[n] for n in ("fresh", "adam", "adamo"))
    assert fresh.linestyle != adam.linestyle
    assert adamo.marker != adam.marker
    assert abs(lightness(adam.color) - lightness(adamo.color)) > 0.05


def test_every_colour_is_readable_on_white():
    assert all(lightness(s.color) < 0.75 for s in style.METHOD_STYLES.values())


def test_an_unknown_method_always_gets_the_same_style():
    assert style.method_style("new") == style.method_style("new")
    assert style.method_style("new") != style.method_style("newer")


def test_an_override_wins():
    assert style.method_style("adamo", marker="", alpha=0.5) == {
        **style.METHOD_STYLES["adamo"].line(),
        "marker": "",
        "alpha": 0.5,
    }


def test_every_method_of_the_library_has_a_style_of_its_own():
    assert set(METHODS.names()) <= set(style.METHOD_STYLES)


def test_every_method_of_the_library_is_in_one_family():
    members = [name for own in style.FAMILIES.values() for name in own]
    assert len(members) == len(set(members))
    assert set(METHODS.names()) <= set(members)


# What a family does is seen by its colour; two that remake have one, as have two pulls.
COLOURS = {
    "optimisers": {style.GREY},
    "pulls to a point": {style.ORANGE},
    "pulls to isometry": {style.BLUE, style.GREEN, style.SKY},
    "a part of the spectrum": {style.PURPLE},
    "rescaling": {style.ORANGE, style.PURPLE},
    "resets": {style.VERMILION},
    "at a new task": {style.VERMILION},
    "architectures": {style.BROWN, style.SKY, style.GREEN},
}


@pytest.mark.parametrize("family", style.FAMILIES)
def test_the_family_decides_the_colour(family):
    own = {style.METHOD_STYLES[name].color for name in style.FAMILIES[family]}
    assert own == COLOURS[family]


def test_families_keep_the_order_of_their_members():
    methods = ["cbp", "adam, first fifth", "mine", "adamo (head held)", "redo"]
    assert style.by_family(methods) == {
        "optimisers": ["adam, first fifth"],
        "pulls to isometry": ["adamo (head held)"],
        "resets": ["cbp", "redo"],
        "others": ["mine"],
    }
    assert style.by_family([]) == {}


@pytest.mark.parametrize("name", style.METHOD_STYLES)
def test_matplotlib_can_draw_every_style(name):
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], **style.method_style(name))
    plt.close(figure)


def test_the_same_figure_is_the_same_bytes():
    style.use()

    def svg():
        figure, ax = plt.subplots()
        ax.plot([0, 1], [1, 0], **style.method_style("adamo"))
        ax.legend()
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)
        return file.getvalue()

    assert svg() == svg()
