"""The weights in a checkpoint, in the forms that trainings write.

Nothing that a file holds is run: ``weights_only=True``, and beside tensors only classes
that hold values.
"""

import argparse
import re
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal

# Where a training's checkpoint keeps the weights; averages only where they are alone.
STATE_KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network"),
    *("module", "params", "weights", "policy", "state", "ema", "ema_state_dict"),
    *("model_ema", "state_dict_ema", "ema_model", "shadow"),
)
OTHERS = re.compile("optim|sched|scaler|loop|callback|hyper|rng|config|args")
# Put into names by torch.compile, FSDP and activation checkpoints, also in the middle.
WRAPPERS = re.compile(
    r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\."
)
USUAL = {"module", "model", "net", "network"}  # attributes that hold the network
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MOST_NAMES = 3  # that a refusal lists


def _harmless() -> list[Any]:
    """Return what may lie beside tensors: classes that hold values and run nothing."""
    values: list[Any] = [argparse.Namespace, type(Path())]
    try:
        import numpy as np
    except ModuleNotFoundError:
        return values
    core: Any = np.core if not hasattr(np, "_core") else np._core
    types = (np.dtype(code) for code in np.typecodes["AllInteger"] + "?efdg")
    made = ("scalar", "_reconstruct")
    return [
        *values,
        np.ndarray,
        np.dtype,
        *{type(dtype) for dtype in types},
        *(
            (getattr(core.multiarray, name), f"{home}.multiarray.{name}")
            for name in made
            for home in ("numpy.core", "numpy._core")
        ),
    ]


def first_line(error: BaseException) -> str:
    """Return the first line of an error, with its type.

    Example:
        >>> first_line(RuntimeError("mat1 and mat2"))
        'RuntimeError: mat1 and mat2'
    """
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def unpickled(path: Path, kind: str, do: str) -> Any:
    """Return what a file of torch holds, on the CPU: tensors, containers, values.

    Args:
        path: The file.
        kind: What is wanted, for the refusal.
        do: What the caller can do, for the refusal.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If torch cannot read it, or it holds objects of other classes.
    """
    known = torch.serialization.safe_globals(_harmless())
    with path.open("rb") as file, known, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what damaged bytes seem to ask for
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes can raise nearly anything
            found = re.search(r"GLOBAL (\S+) was not", str(error))
            line = f"an object of {found[1]}" if found else first_line(error)
            needed = f"{kind} at {path}"
            raise ValueError(refusal(needed, COLOURS.sub("", line), do)) from error


def safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of safetensors, by name.

    Args:
        path: The file.

    Raises:
        ImportError: If the package is not there.
        OSError: If the file cannot be opened.
        ValueError: If it is no such file.
    """
    try:
        package = import_module("safetensors.torch")
    except ModuleNotFoundError as error:
        do = "pip install safetensors, or save with torch.save"
        needed = f"the package safetensors for {path}"
        raise ImportError(refusal(needed, "none", do)) from error
    held = path.read_bytes()
    try:
        return package.load(held)
    except Exception as error:  # of a class of its own
        do = "write it anew with safetensors.torch.save_file"
        needed = f"tensors at {path}"
        raise ValueError(refusal(needed, first_line(error), do)) from error


def state_of(path: Path) -> dict[str, Any]:
    """Return the state of a model in a checkpoint: the file itself, or its part.

    The part under a usual name (``state_dict``, ``model_state_dict``, ``model``, ...),
    or else the only part with tensors.

    Args:
        path: Written by ``torch.save``, or ends with .safetensors.

    Raises:
        ImportError: If safetensors is needed and not there.
        OSError: If it cannot be opened.
        ValueError: If it holds no state, or several that nothing tells apart.
    """
    do = "save model.state_dict() with torch.save"
    held: Any
    if path.suffix == ".safetensors":
        held = safetensors(path)
    else:
        held = unpickled(path, "a checkpoint of tensors", do)
    while isinstance(held, Mapping):
        inner = _inner(held)
        if inner is None:
            break
        held = inner
    names = isinstance(held, Mapping) and all(isinstance(key, str) for key in held)
    if not names or not any(isinstance(value, Tensor) for value in held.values()):
        found = f"keys {listed(held)}" if names and held else type(held).__name__
        raise ValueError(refusal(f"a state_dict at {path}", found, do))
    return dict(held)


def _inner(held: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    """Return the part of a checkpoint that leads to the weights, or None at them."""
    parts = {k: v for k, v in held.items() if isinstance(v, Mapping) and _tensors(v)}
    for key in STATE_KEYS:
        if key in parts:
            return parts[key]
    if any(isinstance(value, Tensor) for value in held.values()):
        return None
    left = [v for k, v in parts.items() if not OTHERS.search(str(k).lower())]
    return left[0] if len(left) == 1 else None


def _tensors(held: Mapping[Any, Any]) -> bool:
    """Return whether a mapping of names holds tensors, or a mapping that does."""
    return all(isinstance(key, str) for key in held) and any(
        isinstance(value, Tensor) or (isinstance(value, Mapping) and _tensors(value))
        for value in held.values()
    )


def listed(names: Any) -> str:
    """Return the first names and how many more there are."""
    names = list(names)
    more = len(names) - MOST_NAMES
    shown = ", ".join(repr(name) for name in names[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def filled(model: nn.Module, state: Mapping[str, Any]) -> nn.Module:
    """Put a state into a model and return it.

    What wrappers wrote into the names is taken away: ``module.`` of data parallel
    models, ``_orig_mod.`` of compiled ones, the attribute of a Lightning module that
    holds the network; what lies beside the network, such as a loss, is left. Of tied
    weights one name is enough, as safetensors keeps them.

    Args:
        model: Changed in place.
        state: Name to value.

    Raises:
        ValueError: If names or shapes are not the model's, or several parts of the
            state fit; says which.
    """
    own = model.state_dict()
    shapes = {name: tuple(getattr(v, "shape", ())) for name, v in own.items()}
    needed = f"a state that fits {type(model).__name__}"
    if not any(WRAPPERS.search(name) for name in own):
        state = {WRAPPERS.sub("", name): value for name, value in state.items()}
    if not own.keys() & state.keys():
        prefixes = _prefixes(shapes, state)
        if len(prefixes) > 1:
            do = "name the factory of the whole, or save one of them"
            raise ValueError(refusal(needed, f"several: {listed(prefixes)}", do))
        for prefix in prefixes:
            inside = {n: v for n, v in state.items() if n.startswith(prefix)}
            state = {n.removeprefix(prefix): v for n, v in inside.items()}
    state = _with_ties(own, state)
    problems = []
    for label, names in (
        ("missing", [name for name in own if name not in state]),
        ("unexpected", [name for name in state if name not in own]),
    ):
        if names:
            problems.append(f"{label} {listed(names)}")
    found = {name: tuple(getattr(v, "shape", ())) for name, v in state.items()}
    wrong = [
        f"{name!r} of shape {found[name]} instead of {shape}"
        for name, shape in shapes.items()
        if name in found and isinstance(own[name], Tensor) and found[name] != shape
    ]
    problems += wrong[:MOST_NAMES]
    if problems:
        do = "name the factory that made this checkpoint"
        raise ValueError(refusal(needed, "; ".join(problems), do))
    model.load_state_dict(dict(state))
    return model


def _with_ties(own: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with the weights that the model ties to one that is there.

    Example:
        >>> weight = torch.ones(2)
        >>> sorted(_with_ties({"a": weight, "b": weight}, {"a": 3}))
        ['a', 'b']
    """
    places = {
        (own[n].data_ptr(), own[n].shape): value
        for n, value in state.items()
        if isinstance(own.get(n), Tensor) and own[n].numel()
    }
    tied = {
        name: places[(value.data_ptr(), value.shape)]
        for name, value in own.items()
        if isinstance(value, Tensor) and (value.data_ptr(), value.shape) in places
    }
    return {**tied, **state}


def _prefixes(
    shapes: Mapping[str, tuple[int, ...]], state: Mapping[str, Any]
) -> list[str]:
    """Return what stands before all the model's names; the usual, if any is usual.

    Those whose shapes fit go first. A number is the place of a layer, whose network is
    more than it.
    """
    last = next(iter(shapes), "")
    names = [n for n in state if n.endswith(f".{last}")]
    prefixes = [n[: len(n) - len(last)] for n in names]
    fits = [p for p in prefixes if all(p + n in state for n in shapes)]
    fits = [p for p in fits if not any(part.isdigit() for part in p.split("."))]
    exact = [
        p
        for p in fits
        if all(tuple(getattr(state[p + n], "shape", ())) == shapes[n] for n in shapes)
    ]
    fits = exact or fits
    usual = [p for p in fits if set(p.split(".")[:-1]) <= USUAL]
    return usual or fits
