"""Inputs from files of torch and NumPy."""

import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.diagnostics.checkpoints import first_line, listed, unpickled

INPUT_KEYS = ("inputs", "x")


def inputs_of(path: Path) -> Tensor:
    """Return the inputs that a file holds.

    Args:
        path: Ends with .pt, .pth, .npy or .npz; of an .npz the array called inputs or
            x, or the only one. Numbers of the other byte order, and those longer than
            torch's, are converted.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it holds no one tensor or array of numbers.
    """
    do = "save one tensor or array of shape (n, ...)"
    if path.suffix not in (".pt", ".pth", ".npy", ".npz"):
        found = path.suffix or "no ending"
        raise ValueError(refusal("inputs in .pt, .npy or .npz", found, do))
    if path.suffix in (".pt", ".pth"):
        held = unpickled(path, "a tensor of inputs", do)
    else:
        held = _array(path, do)
    np: Any = sys.modules.get("numpy")  # an array has brought it
    if np and isinstance(held, np.ndarray) and held.dtype.kind in "fiub":
        longest = np.float64 if held.dtype.itemsize > 8 else held.dtype
        held = torch.from_numpy(held.astype(np.dtype(longest).newbyteorder("=")))
    if not isinstance(held, Tensor):
        found = getattr(held, "dtype", type(held).__name__)
        raise ValueError(refusal(f"a tensor of inputs at {path}", str(found), do))
    return held


def _array(path: Path, do: str) -> Any:
    """Return the array of a file of numpy."""
    with extra("bench"):
        import numpy as np

    with path.open("rb") as file:
        try:
            held = np.load(file, allow_pickle=False)
            if not isinstance(held, np.lib.npyio.NpzFile):
                return held
            names = [key for key in INPUT_KEYS if key in held.files] or held.files
            if len(names) == 1 or names[0] in INPUT_KEYS:
                return held[names[0]]
        except (ValueError, BadZipFile, EOFError, OSError) as error:
            raise ValueError(
                refusal(f"an array at {path}", first_line(error), do)
            ) from error
    found = f"{len(names)} arrays: {listed(names)}"
    raise ValueError(refusal(f"one array at {path}, or one called inputs", found, do))
