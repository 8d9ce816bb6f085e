import io
import re
from itertools import pairwise

import matplotlib.pyplot as plt
import pytest

from isometry_book import style
from isometry_book.narrow import WIDTH, narrow_svg

POINTS = 72
PHONE = 328  # pixels of a telephone's 360 that a drawing has
LEAST = 9  # pixels of print


@pytest.fixture(autouse=True)
def look():
    with plt.rc_context():
        style.use()
        yield
    plt.close("all")


def size_of(svg):
    return [
        float(re.search(rf'{name}="([\d.]+)pt', svg)[1]) for name in ("width", "height")
    ]


def words_of(svg):
    return re.findall(r"<!-- (.*?) -->", svg)


def least_print(svg):
    points = [100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -", svg)]
    return min(points) * PHONE / size_of(svg)[0]


def test_panels_come_below_each_other_each_with_its_words():
    fig, axes = plt.subplots(1, 3, figsize=(11, 4), sharey=True)
    for ax, title in zip(axes, ("both", "one", "other"), strict=True):
        ax.plot([0, 1], [0, 1], label="a line of some method")
        ax.set(title=title, xlabel="cycle")
    axes[0].set_ylabel("score")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center")
    svg = narrow_svg(fig)
    width, height = size_of(svg)
    assert width < 1.1 * WIDTH * POINTS < height
    assert words_of(svg).count("score") == 3
    assert words_of(svg).count("0.4") == 6  # of both axes
    tops = [ax.get_position().y0 for ax in axes]
    assert tops == sorted(tops, reverse=True)
    assert least_print(svg) >= LEAST


def test_a_long_title_is_broken_and_nothing_is_wider_than_the_sheet():
    fig, ax = plt.subplots()
    ax.set_title("a title of many words that is much longer than a telephone is wide")
    ax.plot([0, 1], [0, 1])
    assert size_of(narrow_svg(fig))[0] < 1.1 * WIDTH * POINTS
    assert "\n" in ax.get_title(loc="left")


def test_pictures_stay_beside_each_other():
    fig, axes = plt.subplots(2, 3, figsize=(9, 4))
    for ax in axes.flat:
        ax.imshow([[0, 1], [1, 0]])
        ax.set_axis_off()
    narrow_svg(fig)
    assert len({round(ax.get_position().y0, 2) for ax in axes.flat}) == 2


def test_names_that_a_row_of_panels_shares_are_not_lost():
    fig, axes = plt.subplots(1, 2, figsize=(7, 3))
    for ax in axes:
        ax.plot([0, 1], [0, 1], "o")
        ax.set_yticks([0, 1], ["Adam", "AdamO"])
    axes[1].set_yticklabels([])
    narrow_svg(fig)
    assert axes[0].get_position().y0 == pytest.approx(axes[1].get_position().y0)


def test_words_at_ticks_do_not_touch():
    fig, ax = plt.subplots(figsize=(9, 4))
    ax.plot([0, 1e5], [0, 1])
    ax.set_xticks(range(0, 100_001, 10_000), [f"{n} steps" for n in range(11)])
    narrow_svg(fig)
    assert ax.get_xticklabels()[0].get_rotation() == 40


def test_a_legend_beside_a_panel_comes_above_it():
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], label="AdamO")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    narrow_svg(fig)
    assert ax.get_legend() is None
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["AdamO"]


def test_a_figure_in_no_grid_has_no_narrow_form():
    fig = plt.figure()
    parts = fig.subfigures(1, 2)
    parts[0].subplots()
    assert narrow_svg(fig) is None


def test_the_same_figure_gives_the_same_bytes():
    def drawn():
        fig, ax = plt.subplots()
        ax.plot([0, 1], [0, 1])
        return narrow_svg(fig)

    assert drawn() == drawn()


def test_a_notebook_draws_the_wide_form_first_and_then_the_narrow_one():
    from IPython.core.interactiveshell import InteractiveShell

    # What `use` registers, in a shell of its own.
    shell = InteractiveShell.instance()
    shell.display_formatter.formatters["image/svg+xml"].for_type(
        plt.Figure, lambda fig: _svg(fig)
    )
    style._draw_narrow_too()
    fig, ax = plt.subplots(figsize=(9, 4))
    ax.plot([0, 1], [0, 1])
    data, _ = shell.display_formatter.format(fig)
    wide, narrow = data["image/svg+xml"], data["application/vnd.isometry.narrow+svg"]
    InteractiveShell.clear_instance()
    assert size_of(wide)[0] > 9 * POINTS - 1 > size_of(narrow)[0]


def _svg(fig):
    file = io.StringIO()
    fig.savefig(file, format="svg")
    return file.getvalue()


def test_a_wide_legend_beside_panels_leaves_them_their_room():
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    for ax in axes:
        ax.plot(
            [0, 1], [0, 1], label="a method with a name of many words, and settings"
        )
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    assert size_of(narrow_svg(fig))[0] < 1.3 * WIDTH * POINTS


def test_names_of_many_rows_do_not_touch():
    fig, axes = plt.subplots(1, 2, figsize=(9, 9))
    for ax in axes:
        ax.plot(range(24), range(24), "o")
        ax.set_yticks(range(24), [f"method {n}" for n in range(24)], fontsize=8)
    narrow_svg(fig)
    boxes = [label.get_window_extent() for label in axes[0].get_yticklabels()]
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_legends_of_panels_stay_with_them_and_leave_each_other_their_room():
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    for ax in axes:
        for number in range(4):
            ax.plot([0, 1], [0, number], label=f"a stream, the longest name {number}")
        ax.set_xlabel("steps")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3))
    assert narrow_svg(fig) is not None
    upper, lower = (ax.get_legend().get_window_extent() for ax in axes)
    assert upper.y0 > axes[1].get_window_extent().y1 > lower.y1
