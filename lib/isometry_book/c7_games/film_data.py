"""Boards as text that a page can hold: what changed from one to the next."""

from base64 import b64decode, b64encode

import numpy as np
from numpy.typing import NDArray


def packed_boards(boards: NDArray[np.bool_]) -> str:
    """Return boards as base64: for each, how many entries change, then which.

    Numbers are unsigned, of 16 bits, low byte first; the board before the first one is
    empty.

    Args:
        boards: bool ``(n, ...)``, of fewer than 65,536 entries each.

    Example:
        >>> board = np.eye(3, dtype=bool)[None]
        >>> bool((_unpacked_boards(packed_boards(board), (3, 3)) == board).all())
        True
    """
    flat = boards.reshape(len(boards), -1)
    changes = np.diff(flat, axis=0, prepend=np.zeros((1, flat.shape[1]), dtype=bool))
    numbers = [
        part
        for row in changes
        for part in ([row.sum()], np.flatnonzero(row))
    ]  # fmt: skip
    return b64encode(np.concatenate(numbers).astype("<u2").tobytes()).decode()


def _unpacked_boards(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the boards that :func:`packed_boards` made into text."""
    numbers = np.frombuffer(b64decode(text), dtype="<u2")
    found = []
    now = np.zeros(int(np.prod(shape)), dtype=np.bool_)
    at = 0
    while at < len(numbers):
        end = at + 1 + int(numbers[at])
        now = now.copy()
        now[numbers[at + 1 : end]] ^= True
        found.append(now.reshape(shape))
        at = end
    return np.stack(found)
