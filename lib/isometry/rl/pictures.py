"""Pictures of boards, for eyes; agents see the boards themselves.

Source: ours.
"""

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

PIXELS = 8  # of a cell, in each direction


def coloured_channels(boards: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return pictures in which the first channel of a cell that is on has its colour.

    Args:
        boards: bool ``(n, rows, columns, channels)``.

    Returns:
        uint8 ``(n, 8 * rows, 8 * columns, 3)``.

    Example:
        >>> board = np.zeros((1, 10, 10, 4), dtype=bool)
        >>> coloured_channels(board).shape
        (1, 80, 80, 3)
    """
    palette = mpl.colormaps["tab10"](np.arange(boards.shape[-1]))[:, :3]
    colours = np.vstack([palette, np.zeros(3)])
    nothing = np.ones((*boards.shape[:-1], 1), dtype=np.bool_)
    first = np.concatenate([boards, nothing], axis=-1).argmax(-1)
    return _enlarged((255 * colours[first]).astype(np.uint8))


def last_frame(boards: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return pictures of the last frames, white on black.

    Args:
        boards: bool ``(n, frames, rows, columns)``.

    Returns:
        uint8 ``(n, 8 * rows, 8 * columns, 3)``.

    Example:
        >>> last_frame(np.ones((1, 4, 32, 64), dtype=bool)).shape
        (1, 256, 512, 3)
    """
    grey = 255 * boards[:, -1].astype(np.uint8)
    return _enlarged(np.repeat(grey[..., None], 3, axis=-1))


def _enlarged(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cells.repeat(PIXELS, axis=1).repeat(PIXELS, axis=2)
