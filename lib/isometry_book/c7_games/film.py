"""Still frames of an agent's episode, for print, and what its critic expected."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from isometry.core.messages import refusal
from isometry.rl.film import Film
from isometry.rl.games.pictures import (
    CHANNEL_COLOURS,
    PIXELS,
    coloured_channels,
    first_channel,
)
from isometry.rl.games.registry import GAMES

BIG = 32  # columns; a game with more shows its screen without gaps between cells


def still_steps(film: Film, count: int) -> list[int]:
    """Return the steps of evenly spaced still frames, the first and the last included.

    Args:
        film: An episode.
        count: How many, >= 2; fewer are returned if the episode is shorter.

    Raises:
        ValueError: If ``count`` is less than 2.
    """
    if count < 2:
        raise ValueError(refusal("count >= 2", count, "show the start and the end"))
    return np.unique(np.linspace(0, film.steps, count).round().astype(int)).tolist()


def shown_channels(films: Iterable[Film]) -> dict[str, str]:
    """Return the colours of the channels that can be seen in some film, by name.

    Args:
        films: Of any games.
    """
    found: dict[str, str] = {}
    for film in films:
        names = GAMES.get(film.game).channels
        seen = np.unique(first_channel(film.cells))
        found |= {names[k]: CHANNEL_COLOURS[names[k]] for k in seen if k < len(names)}
    return found


def _picture(film: Film, step: int) -> NDArray[np.uint8]:
    """Return one board as a picture with gaps between its cells."""
    if not 0 <= step <= film.steps:
        needed = f"a step from 0 to {film.steps}"
        raise IndexError(refusal(needed, step, "choose one of the film"))
    cells = film.cells[step : step + 1]
    drawn = coloured_channels(cells, GAMES.get(film.game).channels)[0]
    if cells.shape[2] <= BIG:
        drawn[::PIXELS] = drawn[:, ::PIXELS] = 0
    return drawn


def frame_strip(axes: Sequence[Axes], film: Film, steps: Sequence[int]) -> None:
    """Draw still frames side by side, step and return so far under each.

    Args:
        axes: One a frame; what is left over stays empty.
        film: An episode.
        steps: Which frames, 0 to ``film.steps``.

    Raises:
        IndexError: If the film has no such step.
        ValueError: If there are more steps than axes.
    """
    if len(steps) > len(axes):
        needed = f"at most {len(axes)} steps, one an axes"
        raise ValueError(refusal(needed, len(steps), "draw fewer or make more axes"))
    for ax, step in zip(axes, steps, strict=False):
        ax.imshow(_picture(film, step), interpolation="none")
        over = film.ended and step == film.steps
        ax.set_xlabel(
            f"step {step}{', over' if over else ''}\nreturn {film.returns[step]:g}",
            fontsize=9,
        )
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)


def channel_legend(figure: Figure, films: Iterable[Film]) -> Figure:
    """Say under a figure which colour is what.

    Args:
        figure: Holds strips of these films.
        films: Those that are shown.

    Returns:
        ``figure``.
    """
    marks = [
        Patch(facecolor=colour, edgecolor="black", label=name)
        for name, colour in shown_channels(films).items()
    ]
    figure.legend(
        handles=marks, loc="outside lower center", ncols=min(len(marks), 5),
        handlelength=1.0, handleheight=1.0,
    )  # fmt: skip
    return figure


def draw_expectation(ax: Axes, film: Film, discount: float) -> Axes:
    """Draw what the critic expected at each step, and what followed.

    Args:
        ax: Where to draw.
        film: An episode.
        discount: gamma of the agent, in [0, 1].

    Returns:
        ``ax``, without a legend; its lines have names.
    """
    ax.plot(film.values[: _valued(film)], label="the critic's value")
    ax.plot(film.following(discount), label="what followed, discounted")
    ax.set_xlabel("step")
    ax.set_ylabel("return to come")
    return ax


def _valued(film: Film) -> int:
    """Return how many boards have something to come."""
    return film.steps + (not film.ended)
