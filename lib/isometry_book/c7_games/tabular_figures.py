"""Drawings of chapter 7: where an agent is, and how its targets move."""

from collections.abc import Mapping

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from isometry.rl.tabular.gridworld import Gridworld, on_map
from isometry.rl.tabular.improvement import (
    Improvement,
    advantage_correlation,
    critic_error,
    state_shift,
)
from isometry_book import style


def draw_map(
    ax: Axes,
    world: Gridworld,
    quantity: torch.Tensor,  # (S,)
    vmax: float,
    title: str = "",
) -> Axes:
    """Draw a quantity of the states on the map: the darker, the larger.

    Args:
        ax: Where to draw.
        world: The grid.
        quantity: ``(S,)``, non-negative, any unit.
        vmax: The value that is darkest; the same for maps that are compared.
        title: Above the map.

    Returns:
        ``ax``; the image is ``ax.images[0]``, for a colour bar.
    """
    colours = mpl.colormaps["Blues"].with_extremes(bad=style.GREY)
    ax.imshow(on_map(world, quantity).numpy(), cmap=colours, vmin=0, vmax=vmax)
    for letter, (row, column) in zip(
        world.exits, world.exit_cells.tolist(), strict=True
    ):
        ax.text(
            column,
            row,
            letter,
            ha="center",
            va="center",
            color="white",
            fontweight="bold",
        )
    row, column = world.cells[int(world.mdp.start.argmax())].tolist()
    outline = [withStroke(linewidth=2.5, foreground="white")]
    ax.text(
        column,
        row,
        "S",
        ha="center",
        va="center",
        fontweight="bold",
        path_effects=outline,
    )
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax


def draw_values(ax: Axes, improvement: Improvement, places: Mapping[str, int]) -> Axes:
    """Draw what the critic must predict in some places, over improvement steps.

    Args:
        ax: Where to draw.
        improvement: The sequence of policies.
        places: State by name, in the order of the legend.
    """
    for name, state in places.items():
        ax.plot(improvement.values[:, state], label=name)
    ax.set_xlabel("improvement step")
    ax.set_ylabel("target of the critic (reward)")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def draw_changes(ax: Axes, improvement: Improvement, lag: int) -> Axes:
    """Draw how far the three parts of the problem are from ``lag`` steps before.

    The critic's target: relative error of a critic that was perfect then. The inputs:
    share of time now spent elsewhere. The actor's target: one minus the cosine.

    Args:
        ax: Where to draw.
        improvement: The sequence of policies.
        lag: Steps between the policies compared.
    """
    steps = range(lag, len(improvement.values))
    curves = {
        "critic's target": critic_error(improvement, lag),
        "inputs": state_shift(improvement, lag),
        "actor's target": 1 - advantage_correlation(improvement, lag),
    }
    for name, curve in curves.items():
        ax.plot(steps, curve, label=name)
    ax.set_xlabel("improvement step")
    ax.set_ylabel(f"change over {lag} steps")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax
