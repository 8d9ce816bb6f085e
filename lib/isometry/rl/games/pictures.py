"""Pictures of boards, for eyes; agents see the boards themselves.

Colours mean the same in every game: the player is blue, what it throws is white, what
it wants is orange, what it must avoid is red, and what has been left behind is grey.

Source: ours; colours after Okabe and Ito, "Color Universal Design" (2008), on black.
"""

from collections.abc import Sequence

from isometry.core.extras import extra

with extra("rl"):
    import numpy as np
    from numpy.typing import NDArray

PIXELS = 8  # of a cell, in each direction
BACKGROUND = "#000000"
WHITE, YELLOW, ORANGE, TAN = "#FFFFFF", "#F0E442", "#E69F00", "#A6761D"
SKY, BLUE, GREEN = "#56B4E9", "#2C7FB8", "#009E73"
VERMILION, PURPLE = "#E2601A", "#CC79A7"
GREYS = ("#8C8C8C", "#B0B0B0", "#9E9E9E", "#7C7C7C", "#6C6C6C", "#5C5C5C")
CHANNEL_COLOURS = {
    "screen": WHITE,
    **dict.fromkeys(("paddle", "player", "cannon", "chicken", "front"), SKY),
    "back": BLUE,
    **dict.fromkeys(("ball", "own bullet"), WHITE),
    **dict.fromkeys(("brick", "gold", "diver"), ORANGE),
    **dict.fromkeys(("enemy", "alien", "car", "fish"), VERMILION),
    "enemy submarine": PURPLE,
    "enemy bullet": YELLOW,
    "oxygen": GREEN,
    "divers aboard": TAN,
    "alien heading left": PURPLE,
    "alien heading right": TAN,
    "trail": GREYS[0],
    **{f"trail of speed {k}": GREYS[k] for k in range(1, len(GREYS))},
}


def first_channel(cells: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return which channel a picture shows in each cell: the first that is on.

    Args:
        cells: bool ``(..., rows, columns, channels)``.

    Returns:
        ``(..., rows, columns)``; the number of channels where none is on.

    Example:
        >>> first_channel(np.array([[[False, True, True], [False, False, False]]]))
        array([[1, 3]])
    """
    nothing = np.ones((*cells.shape[:-1], 1), dtype=np.bool_)
    return np.concatenate([cells, nothing], axis=-1).argmax(-1)


def coloured_channels(
    cells: NDArray[np.bool_], channels: Sequence[str]
) -> NDArray[np.uint8]:
    """Return pictures in which the first channel of a cell that is on has its colour.

    Args:
        cells: bool ``(n, rows, columns, channels)``.
        channels: Their names, known to :data:`CHANNEL_COLOURS`.

    Returns:
        uint8 ``(n, 8 * rows, 8 * columns, 3)``, black where nothing is.

    Example:
        >>> board = np.zeros((1, 10, 10, 2), dtype=bool)
        >>> coloured_channels(board, ("paddle", "ball")).shape
        (1, 80, 80, 3)
    """
    names = [*(CHANNEL_COLOURS[name] for name in channels), BACKGROUND]
    colours = np.array([list(bytes.fromhex(c[1:])) for c in names], dtype=np.uint8)
    pictures = colours[first_channel(cells)]
    return pictures.repeat(PIXELS, axis=1).repeat(PIXELS, axis=2)
