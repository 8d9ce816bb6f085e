"""A figure of the book once more, as a telephone shows it: panels below each other.

A page shows a wide figure at the width of a screen; on a telephone its words would be
four pixels high. So each figure is drawn a second time on a narrow sheet with the same
size of print, and the page chooses.
"""

import textwrap
import warnings
from io import StringIO
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, MaxNLocator

MIME = "application/vnd.isometry.narrow+svg"
WIDTH = 3.7  # inches
LEAST, MOST = 1.8, 2.8  # inches, of a panel's height
PRINT = 7.5, 0.86  # points at least; share of the size on a wide sheet
LEGEND = 8.0  # points
BELOW = -0.45  # of a panel's height, where its own legend begins
NAMED_ROW = 0.14  # inches, of a tick of the vertical axis at least
Rows = dict[int, list[Axes]]


def narrow_svg(fig: Figure) -> str | None:
    """Return a figure as SVG for a telephone; it is laid out anew, and stays so.

    Args:
        fig: As drawn for a page. Panels of one grid come below each other; those of
            pictures, and those that share the names of their rows, stay beside each
            other.

    Returns:
        The drawing, or None where panels are in no common grid, or do not fit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            return _narrow(fig)
        except UserWarning:  # of a layout that could not be applied
            return None


def _narrow(fig: Figure) -> str | None:
    panels = _panels(fig)
    if panels is None:
        return None
    fig.draw_without_rendering()
    legends = _taken_legends(fig)
    _smaller_print(fig)
    if not _stays(panels):
        _labelled(panels)
        _stacked(fig, panels)
    elif fig.get_figwidth() > WIDTH:
        shrunk = fig.get_figheight()
        if any(ax.images for own in panels.values() for ax in own):
            shrunk = max(0.62 * shrunk, shrunk * WIDTH / fig.get_figwidth())
        fig.set_size_inches(WIDTH, shrunk)
    for owner, handles, words, title in legends:
        columns = 1 if max(map(len, words), default=0) > 24 else 2
        settings: dict[str, Any] = {"title": title or None, "ncols": columns}
        settings |= {"fontsize": LEGEND, "handlelength": 2.4, "columnspacing": 1.0}
        if owner is None:
            fig.legend(handles, words, loc="outside upper center", **settings)
        else:
            settings |= {"loc": "upper center", "bbox_to_anchor": (0.5, BELOW)}
            owner.legend(handles, words, **settings)
            fig.set_figheight(fig.get_figheight() + 0.18 * len(words) / columns)
    fig.draw_without_rendering()
    _wrapped(fig)
    _thinned(fig)
    file = StringIO()
    fig.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return file.getvalue()


def _panels(fig: Figure) -> Rows | None:
    """Return the axes by place in their one grid; None without one."""
    found: Rows = {}
    grids = set()
    for ax in fig.axes:
        spec = ax.get_subplotspec()
        if spec is None:
            continue  # the colours of others, which follow them
        if spec.num1 != spec.num2:
            return None
        grids.add(spec.get_gridspec())
        found.setdefault(spec.num1, []).append(ax)
    return dict(sorted(found.items())) if len(grids) == 1 and not fig.subfigs else None


def _grid(panels: Rows) -> GridSpec:
    spec = next(iter(panels.values()))[0].get_subplotspec()
    assert spec is not None  # for the type checker
    return spec.get_gridspec()  # type: ignore[return-value]


def _stays(panels: Rows) -> bool:
    """Return whether panels cannot be parted: pictures, or rows named once."""
    axes = [ax for own in panels.values() for ax in own]
    bare = any(
        ax.axison and ax.yaxis.get_visible() and len(_ticks(ax)) > 1 and not _names(ax)
        for ax in axes
        if ax.yaxis.get_tick_params().get("labelleft") is not False
    )
    return len(panels) > 1 and (bare or any(ax.images for ax in axes))


def _ticks(ax: Axes) -> list[float]:
    return list(ax.yaxis.get_majorticklocs())


def _names(ax: Axes) -> str:
    """Return what is written at the ticks of the vertical axis."""
    return "".join(label.get_text() for label in ax.get_yticklabels())


def _smaller_print(fig: Figure) -> None:
    least, share = PRINT
    for text in fig.findobj(Text):
        text.set_fontsize(max(least, share * float(text.get_fontsize())))
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            sizes = [label.get_fontsize() for label in axis.get_ticklabels()]
            if sizes:
                axis.set_tick_params(labelsize=min(sizes))


def _labelled(panels: Rows) -> None:
    """Give each panel the words that it had from the head of its row and column."""
    columns = _grid(panels).ncols
    for place, own in panels.items():
        ax = own[0]
        left = panels.get(place - place % columns, own)[0]
        column = [p for p in panels if p % columns == place % columns]
        top, bottom = panels[column[0]][0], panels[column[-1]][0]
        ax.set_ylabel(ax.get_ylabel() or left.get_ylabel())
        ax.set_xlabel(ax.get_xlabel() or bottom.get_xlabel())
        if not ax.get_title(loc="left") and not ax.get_title(loc="center"):
            words = top.get_title(loc="left") or top.get_title(loc="center")
            size = top._left_title.get_fontsize()  # type: ignore[attr-defined]
            ax.set_title(words, loc="left", fontsize=size)
        if ax.axison:
            ax.tick_params(labelleft=not _on_the_right(ax), labelbottom=True)


def _on_the_right(ax: Axes) -> bool:
    return ax.yaxis.get_ticks_position() == "right"


def _stacked(fig: Figure, panels: Rows) -> None:
    """Put the panels below each other, as high as they were within limits."""
    grid = _grid(panels)
    ratios: list[float] = list(grid.get_height_ratios())  # type: ignore[arg-type]
    share = fig.get_figheight() / sum(ratios)
    heights = [
        min(max(share * ratios[place // grid.ncols], LEAST), MOST) for place in panels
    ]
    if len(panels) == 1:
        heights = [min(fig.get_figheight(), max(MOST, 0.75 * fig.get_figheight()))]
    named = [len(own[0].get_yticks()) * NAMED_ROW for own in panels.values()]
    heights = [max(*both) for both in zip(heights, named, strict=True)]
    new = GridSpec(len(panels), 1, figure=fig, height_ratios=heights)
    for row, own in enumerate(panels.values()):
        for ax in own:
            ax.set_subplotspec(new[row])
    fig.set_size_inches(WIDTH, sum(heights))


def _taken_legends(fig: Figure) -> list[tuple[Axes | None, list[Any], list[str], str]]:
    """Take away legends that have no room beside a narrow panel.

    Returns:
        Whose each is, None for that of all panels or of a lone one; its handles, words
        and title.
    """
    own = [legend for ax in fig.axes if (legend := ax.get_legend())]
    lone = len(fig.axes) == 1
    aside = [one for one in own if lone or _is_outside(one)]
    taken: list[tuple[Axes | None, list[Any], list[str], str]] = []
    for legend in [*fig.legends, *aside]:
        words = [text.get_text() for text in legend.get_texts()]
        owner = None if lone or legend in fig.legends else legend.axes
        title = legend.get_title().get_text()
        taken.append((owner, list(legend.legend_handles), words, title))
        legend.remove()
    return taken


def _is_outside(legend: Legend) -> bool:
    """Return whether a legend was put beside its axes."""
    ax = legend.axes
    if ax is None:
        return False
    box, inside = legend.get_window_extent(), ax.get_window_extent()
    aside, above = box.x0 >= inside.x1 - 1, box.y0 >= inside.y1 - 1
    return bool(aside or above or box.y1 <= inside.y0 + 1)


def _wrapped(fig: Figure) -> None:
    """Break titles and labels that are longer than what they stand at."""
    for ax in fig.axes:
        box = ax.get_window_extent()
        named = [(ax.title, box.width), (ax.xaxis.label, box.width)]
        named += [
            (ax._left_title, box.width),  # type: ignore[attr-defined]
            (ax.yaxis.label, 1.1 * box.height),
        ]
        for text, room in named:
            _broken(text, room)
    for text in fig.texts:
        _broken(text, fig.bbox.width)


def _broken(text: Text, room: float) -> None:
    """Break a text into lines that fit into so many dots."""
    words, box = text.get_text(), text.get_window_extent()
    upright = text.get_rotation() in (90.0, "vertical")
    length = box.height if upright else box.width
    if length > room and " " in words and "\n" not in words:
        most = max(8, int(len(words) * room / length))
        text.set_text("\n".join(textwrap.wrap(words, most, break_long_words=False)))


def _thinned(fig: Figure) -> None:
    """Leave ticks out, or turn their words, where they would touch."""
    fig.draw_without_rendering()
    for ax in fig.axes:
        if _touching(ax) and isinstance(ax.xaxis.get_major_locator(), MaxNLocator):
            ax.locator_params(axis="x", nbins=4)
            fig.draw_without_rendering()
        if _touching(ax) and isinstance(ax.xaxis.get_major_locator(), FixedLocator):
            ax.tick_params(axis="x", labelrotation=40)


def _touching(ax: Axes) -> bool:
    """Return whether words at the ticks of the horizontal axis run together."""
    low, high = sorted(ax.get_xlim())
    boxes = [
        label.get_window_extent()
        for label, at in zip(ax.get_xticklabels(), ax.get_xticks(), strict=False)
        if label.get_text() and low <= at <= high
    ]
    boxes.sort(key=lambda box: box.x0)
    return any(right.x0 < left.x1 + 1 for left, right in pairwise(boxes))
