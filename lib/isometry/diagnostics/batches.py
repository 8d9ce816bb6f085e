"""Inputs from files of torch, NumPy and safetensors."""

import inspect
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.diagnostics.checkpoints import first_line, safetensors, unpickled
from isometry.ntk.arguments import VALUES, Inputs

INPUT_KEYS = ("inputs", "x")
ENDINGS = (".pt", ".pth", ".npy", ".npz", ".safetensors")
DO = "save a tensor (n, ...), several, or a dict of keywords"


def inputs_of(path: Path, model: nn.Module | None = None) -> Inputs:
    """Return the inputs that a file holds: one tensor, or several, or by keywords.

    Several under names are keywords of the model, unless one of them is called inputs
    or x and the model's ``forward`` has no keyword of another's name (such as labels,
    which lie beside). They come in the order of ``forward``.

    Args:
        path: Ends with .pt, .pth, .npy, .npz or .safetensors. Numbers of the other byte
            order, and those longer than torch's, are converted.
        model: Whose inputs they are; floating-point numbers become its type, if it has
            one alone. None: one of any type.

    Raises:
        ImportError: If safetensors or numpy is needed and not there.
        OSError: If it cannot be opened.
        ValueError: If it holds anything else than tensors and arrays of numbers, and,
            among several of them, plain values.
    """
    if path.suffix not in ENDINGS:
        needed = f"inputs in one of {', '.join(ENDINGS)}"
        raise ValueError(refusal(needed, path.suffix or "no ending", DO))
    if path.suffix in (".pt", ".pth"):
        held = unpickled(path, "a tensor of inputs", DO)
    elif path.suffix == ".safetensors":
        held = safetensors(path)
    else:
        held = _arrays(path)
    weights = () if model is None else model.parameters()
    kinds = {p.dtype for p in weights if p.is_floating_point()}
    dtype = kinds.pop() if len(kinds) == 1 else None
    if isinstance(held, Mapping):
        held = _chosen(held, model)
    if isinstance(held, Mapping):
        return {str(k): _value(v, path, dtype, alone=False) for k, v in held.items()}
    if isinstance(held, tuple | list):
        return tuple(_value(v, path, dtype, alone=False) for v in held)
    return _value(held, path, dtype, alone=True)


def _chosen(held: Mapping[str, Any], model: nn.Module | None) -> Any:
    """Return all of a file's values, or the one that is meant."""
    if len(held) == 1:
        return next(iter(held.values()))
    main = next((key for key in INPUT_KEYS if key in held), None)
    forward = None if model is None else inspect.signature(model.forward)
    keywords = list(forward.parameters) if forward is not None else []
    if main is not None and not (set(keywords) - {main}) & set(held):
        return held[main]
    known = {key: held[key] for key in keywords if key in held}
    return {**known, **held}


def _value(held: Any, path: Path, dtype: torch.dtype | None, alone: bool) -> Any:
    """Return an array as a tensor of the model's type; others as they are."""
    np: Any = sys.modules.get("numpy")  # an array has brought it
    if np and isinstance(held, np.ndarray) and held.dtype.kind in "fiub":
        longest = np.float64 if held.dtype.itemsize > 8 else held.dtype
        held = torch.from_numpy(held.astype(np.dtype(longest).newbyteorder("=")))
    if isinstance(held, Tensor):
        return held.to(dtype) if held.is_floating_point() else held
    if alone or not isinstance(held, VALUES):
        found = getattr(held, "dtype", type(held).__name__)
        raise ValueError(refusal(f"a tensor of inputs at {path}", str(found), DO))
    return held


def _arrays(path: Path) -> Any:
    """Return the array of a file of numpy, or its arrays by name."""
    with extra("bench"):
        import numpy as np

    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a damaged header
        try:
            held = np.load(file, allow_pickle=False)
            if isinstance(held, np.lib.npyio.NpzFile):
                return {name: held[name] for name in held.files}
        except Exception as error:  # damaged bytes can raise nearly anything
            found = first_line(error)
            raise ValueError(refusal(f"an array at {path}", found, DO)) from error
    return held
