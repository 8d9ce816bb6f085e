"""A model and inputs from files, for a look from the command line.

Nothing that a file holds is run: checkpoints are read with ``weights_only=True`` and
arrays without pickles. The factory is code of the caller's own and is run.
"""

import importlib
import json
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from isometry.core.messages import refusal, unknown
from isometry.diagnostics.health import diagnose

STATE_KEYS = ("state_dict", "model")  # where a training's checkpoint keeps the weights
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
INPUT_KEYS = ("inputs", "x")
MOST_NAMES = 3  # that a refusal lists


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported inside the block."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _first_line(error: BaseException) -> str:
    """Return the first line of an error, with its type.

    Example:
        >>> _first_line(RuntimeError("mat1 and mat2"))
        'RuntimeError: mat1 and mat2'
    """
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _made_model(name: str) -> nn.Module:
    """Return what a factory makes, e.g. ``"models.resnet:small"``."""
    place, _, path = name.partition(":")
    if not place or not path:
        do = "pass e.g. --model networks:small_resnet"
        raise ValueError(refusal("--model module:factory", repr(name), do))
    try:
        found: Any = importlib.import_module(place)
    except Exception as error:
        do = "run from the folder that holds it, or install it"
        needed = f"a module {place!r} that can be imported"
        raise ValueError(refusal(needed, _first_line(error), do)) from error
    for part in path.split("."):
        if not hasattr(found, part):
            known = [n for n in dir(found) if not n.startswith("_")]
            raise KeyError(unknown(f"name in {place!r}", part, known))
        found = getattr(found, part)
    if not isinstance(found, nn.Module):
        if not callable(found):
            kind = type(found).__name__
            raise ValueError(
                refusal(f"a function or class {name!r}", kind, "name the factory")
            )
        try:
            found = found()
        except Exception as error:
            do = "give it defaults for all its arguments"
            needed = f"{name!r} to make a model without arguments"
            raise ValueError(refusal(needed, _first_line(error), do)) from error
    if not isinstance(found, nn.Module):
        kind = type(found).__name__
        raise ValueError(refusal(f"a torch module from {name!r}", kind, "return one"))
    return found


def unpickled(path: Path, kind: str, do: str) -> Any:
    """Return what a file of torch holds, on the CPU, tensors and containers only.

    Args:
        path: The file.
        kind: What is wanted, for the refusal.
        do: What the caller can do, for the refusal.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If torch cannot read it, or it holds more than tensors.
    """
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
            raise ValueError(
                refusal(f"{kind} at {path}", _first_line(error), do)
            ) from error


def _state_of(path: Path) -> dict[str, Tensor]:
    """Return the state of a model in a checkpoint: the file itself, or its part."""
    do = "save model.state_dict() with torch.save"
    held = unpickled(path, "a checkpoint of tensors", do)
    for key in STATE_KEYS:
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    names = isinstance(held, Mapping) and all(isinstance(key, str) for key in held)
    if not names or not any(isinstance(value, Tensor) for value in held.values()):
        found = f"keys {_listed(held)}" if names and held else type(held).__name__
        raise ValueError(refusal(f"a state_dict at {path}", found, do))
    return dict(held)


def _listed(names: Any) -> str:
    """Return the first names and how many more there are."""
    names = list(names)
    more = len(names) - MOST_NAMES
    shown = ", ".join(repr(name) for name in names[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def filled(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Put a state into a model and return it.

    A prefix that a wrapper put before all names is taken away.

    Args:
        model: Changed in place.
        state: Name to value.

    Raises:
        ValueError: If names or shapes are not the model's; says which.
    """
    own = model.state_dict()
    for prefix in PREFIXES:
        foreign = not own.keys() & state.keys()
        if foreign and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): v for name, v in state.items()}
    problems = []
    for label, names in (
        ("missing", [name for name in own if name not in state]),
        ("unexpected", [name for name in state if name not in own]),
    ):
        if names:
            problems.append(f"{label} {_listed(names)}")
    shapes = {name: tuple(getattr(v, "shape", ())) for name, v in state.items()}
    wrong = [
        f"{name!r} of shape {shapes[name]} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and isinstance(value, Tensor) and shapes[name] != value.shape
    ]
    problems += wrong[:MOST_NAMES]
    if problems:
        needed = f"a state that fits {type(model).__name__}"
        do = "name the factory that made this checkpoint"
        raise ValueError(refusal(needed, "; ".join(problems), do))
    model.load_state_dict(state)
    return model


def _inputs_of(path: Path) -> Tensor:
    """Return the inputs that a file holds."""
    do = "save one tensor or array of shape (n, ...)"
    if path.suffix not in (".pt", ".pth", ".npy", ".npz"):
        found = path.suffix or "no ending"
        raise ValueError(refusal("inputs in .pt, .npy or .npz", found, do))
    if path.suffix in (".pt", ".pth"):
        held = unpickled(path, "a tensor of inputs", do)
    else:
        held = _array(path, do)
    if isinstance(held, np.ndarray) and held.dtype.kind in "fiub":
        held = torch.from_numpy(held)
    if not isinstance(held, Tensor):
        found = getattr(held, "dtype", type(held).__name__)
        raise ValueError(refusal(f"a tensor of inputs at {path}", str(found), do))
    return held


def _array(path: Path, do: str) -> Any:
    """Return the array of a file of numpy."""
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
                refusal(f"an array at {path}", _first_line(error), do)
            ) from error
    found = f"{len(names)} arrays: {_listed(names)}"
    raise ValueError(refusal(f"one array at {path}, or one called inputs", found, do))


def loaded(checkpoint: Path, factory: str, inputs: Path) -> tuple[nn.Module, Tensor]:
    """Return a model with the weights of a checkpoint, and inputs of its dtype.

    Args:
        checkpoint: See :func:`_state_of`.
        factory: See :func:`_made_model`; also looked for in the working folder.
        inputs: See :func:`_inputs_of`; floating-point numbers are converted.

    Raises:
        OSError: If a file cannot be opened.
        ValueError: If a part is not what it should be.
        KeyError: If the factory's name is not known.
    """
    state, batch = _state_of(checkpoint), _inputs_of(inputs)
    with _importing_from(Path.cwd()):
        model = filled(_made_model(factory), state)
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if batch.is_floating_point() and len(kinds) == 1:
        batch = batch.to(kinds.pop())
    return model, batch


def diagnosis(
    checkpoint: Path, factory: str, inputs: Path, form: str = "table", **asked: Any
) -> str:
    """Return what a look at the model of a checkpoint found, as text.

    Args:
        checkpoint: See :func:`_state_of`.
        factory: See :func:`_made_model`.
        inputs: See :func:`_inputs_of`.
        form: ``"table"``, ``"json"`` or ``"csv"``.
        **asked: Keywords of :func:`isometry.diagnostics.diagnose`.

    Raises:
        OSError: If a file cannot be opened.
        ValueError: If a part is not what it should be, or cannot be looked at.
        KeyError: If the factory's name is not known.
    """
    model, batch = loaded(checkpoint, factory, inputs)
    try:
        found = diagnose(model, batch, **asked)
    except TypeError as error:  # a refusal; for who typed the command, of a value
        raise ValueError(str(error)) from error
    if form == "json":
        return json.dumps(found.to_dict(), indent=2, allow_nan=False)
    if form == "csv":
        return found.to_frame().to_csv(index=False).rstrip()
    return str(found)
