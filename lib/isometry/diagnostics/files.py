"""A look from the command line: a factory's model, a checkpoint, inputs, text.

Nothing that a file holds is run: checkpoints are read with ``weights_only=True`` and
arrays without pickles. The factory is code of the caller's own and is run.
"""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from isometry.core.messages import refusal, unknown
from isometry.diagnostics.batches import inputs_of
from isometry.diagnostics.checkpoints import filled, first_line, state_of
from isometry.diagnostics.health import diagnose
from isometry.ntk.arguments import Inputs, Pick


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported inside the block."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _made_model(name: str) -> nn.Module:
    """Return what a factory makes, e.g. ``"models.resnet:small"``."""
    place, _, path = name.partition(":")
    if not place or not path:
        do = "pass e.g. --model networks:small_resnet"
        raise ValueError(refusal("--model module:factory", repr(name), do))
    try:
        found: Any = importlib.import_module(place)
    except (Exception, SystemExit) as error:
        do = "run from the folder that holds it, or install it"
        needed = f"a module {place!r} that can be imported"
        raise ValueError(refusal(needed, first_line(error), do)) from error
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
        except (Exception, SystemExit) as error:
            do = "give it defaults for all its arguments"
            needed = f"{name!r} to make a model without arguments"
            raise ValueError(refusal(needed, first_line(error), do)) from error
    if not isinstance(found, nn.Module):
        kind = type(found).__name__
        raise ValueError(refusal(f"a torch module from {name!r}", kind, "return one"))
    return found


def loaded(checkpoint: Path, factory: str, inputs: Path) -> tuple[nn.Module, Inputs]:
    """Return a model with the weights of a checkpoint, and inputs of its dtype.

    Args:
        checkpoint: See :func:`state_of`.
        factory: See :func:`_made_model`; also looked for in the working folder.
        inputs: See :func:`inputs_of`.

    Raises:
        ImportError: If safetensors is needed and not there.
        OSError: If a file cannot be opened.
        ValueError: If a part is not what it should be.
        KeyError: If the factory's name is not known.
    """
    state = state_of(checkpoint)
    with _importing_from(Path.cwd()):
        model = filled(_made_model(factory), state)
    return model, inputs_of(inputs, model)


def picked(name: str) -> Pick:
    """Return what takes one of a model's outputs, by name or place.

    Args:
        name: An attribute or key of what the model returns, or a number.

    Example:
        >>> picked("logits")({"logits": 3}), picked("1")((4, 5))
        (3, 5)
    """

    def pick(outputs: Any) -> Any:
        parts = dict(getattr(outputs, "__dict__", {}))
        if isinstance(outputs, Mapping):
            parts = {str(key): value for key, value in outputs.items()}
        elif isinstance(outputs, tuple | list):
            parts = {str(place): value for place, value in enumerate(outputs)}
            parts |= getattr(outputs, "_asdict", dict)()
        if name not in parts:
            raise ValueError(unknown("output", name, parts))
        return parts[name]

    return pick


def diagnosis(
    checkpoint: Path,
    factory: str,
    inputs: Path,
    form: str = "table",
    *,
    outputs: str | None = None,
    **asked: Any,
) -> str:
    """Return what a look at the model of a checkpoint found, as text.

    Args:
        checkpoint: See :func:`state_of`.
        factory: See :func:`_made_model`.
        inputs: See :func:`inputs_of`.
        form: ``"table"``, ``"json"`` or ``"csv"``.
        outputs: Which of the model's outputs, see :func:`picked`; None: its only one.
        **asked: Other keywords of :func:`isometry.diagnostics.diagnose`.

    Raises:
        ImportError: If safetensors is needed and not there.
        OSError: If a file cannot be opened.
        ValueError: If a part is not what it should be, or cannot be looked at.
        KeyError: If the factory's name is not known.
    """
    model, batch = loaded(checkpoint, factory, inputs)
    pick = None if outputs is None else picked(outputs)
    try:
        found = diagnose(model, batch, outputs=pick, **asked)
    except TypeError as error:  # a refusal; for who typed the command, of a value
        raise ValueError(str(error)) from error
    if form == "json":
        return json.dumps(found.to_dict(), indent=2, allow_nan=False)
    if form == "csv":
        return found.to_frame().to_csv(index=False).rstrip()
    return str(found)
