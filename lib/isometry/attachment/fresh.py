"""How a model's parameters are drawn anew, and how widely."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from inspect import signature
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from isometry.attachment.wiring import Initialise, View
from isometry.core.messages import refusal
from isometry.core.seeding import Label, derived_seed, generator
from isometry.core.stacking import Parameters

RESETS = ("reset_parameters", "_reset_parameters")


def reset_(model: nn.Module, draw: torch.Generator) -> None:
    """Draw a model anew, in place: each module by its own ``reset_parameters``.

    Inner modules come first, as in constructors; then ``_init_weights``, where a model
    has it, on each module inside, as transformers, timm and nanoGPT call it. torch's
    own draw from the global generator, which whoever calls this has to seed.

    Args:
        model: Any module.
        draw: Not used; what else would draw from.
    """
    for module in reversed(list(model.modules())):
        for name in RESETS:
            reset = getattr(module, name, None)
            if callable(reset):
                reset()
    for module in _with_own_law(model):
        module.apply(module._init_weights)  # type: ignore[arg-type]


def _with_own_law(model: nn.Module) -> list[nn.Module]:
    """Return the outermost modules that initialise all modules inside them."""
    found: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in model.modules():
        own = getattr(module, "_init_weights", None)
        if module in inside or not callable(own):
            continue
        if len(signature(own).parameters) == 1:
            found.append(module)
            inside.update(module.modules())
    return found


def _kept(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters that no ``reset_parameters`` draws anew."""
    drawn: set[str] = set()
    for path, module in model.named_modules():
        if any(callable(getattr(module, name, None)) for name in RESETS):
            prefix = f"{path}." if path else ""
            drawn |= {
                prefix + name for name, _ in module.named_parameters(recurse=False)
            }
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if name not in drawn
    }


def fresh_of(
    model: nn.Module, views: Mapping[str, View], initialise: Initialise | None
) -> Callable[..., Parameters]:
    """Return ``(seed, *labels) -> Parameters``: a model's parameters, drawn anew.

    Modules draw by :func:`reset_`, on a copy of the model. What nothing draws, such as
    a bare token, has the value that it has now. The model and all random states stay
    as they are.

    Args:
        model: The network.
        views: name -> how it lies in the model.
        initialise: Draws a model in place instead; the global generators are seeded
            alike, so it may use them as well.
    """
    kept = {} if initialise else _kept(model)
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}

    def fresh(seed: int, *labels: Label) -> Parameters:
        try:
            copy = deepcopy(model)
        except (RuntimeError, TypeError) as error:
            needed = "a model that can be copied, to draw a new one"
            raise ValueError(refusal(needed, str(error), "mend its copy")) from error
        with torch.random.fork_rng(sorted(devices, key=str)), torch.no_grad():
            torch.manual_seed(derived_seed(seed, "init", *labels))
            owned = dict(copy.named_parameters())
            for name, value in kept.items():
                owned[name].copy_(value)
            (initialise or reset_)(copy, generator(seed, "init", *labels))
        return {
            n: view.of(owned[view.parameter].detach())[0] for n, view in views.items()
        }

    return fresh


def spread_of(
    model: nn.Module,
    weights: Mapping[str, View],
    fresh: Callable[..., Parameters],
    initialise: Initialise | None,
) -> dict[str, float]:
    """Return the standard deviation of a freshly drawn entry of each weight.

    ``1 / sqrt(3 fan_in)`` for torch's linear layers and convolutions, which is their
    law, and for a weight that starts at zero; for all others the root mean square of
    one draw, or of the present values where the model cannot be copied.

    Args:
        model: The network.
        weights: name -> how it lies in the model.
        fresh: Draws a new one.
        initialise: What draws it, if not the modules.
    """
    modules = dict(model.named_modules())
    plain = initialise is None and not _with_own_law(model)
    found, measured = {}, []
    for name, view in weights.items():
        module = modules[view.parameter.rpartition(".")[0]]
        reset = getattr(type(module), "reset_parameters", None)
        known = reset in (nn.Linear.reset_parameters, _ConvNd.reset_parameters)
        if known and plain and view.parameter.endswith("weight"):
            shape = model.get_parameter(view.parameter).shape
            found[name] = 1 / sqrt(3 * prod(shape[1:]))
        else:
            measured.append(name)
    try:
        drawn = fresh(0, "spread") if measured else {}
    except ValueError:
        own = {n: model.get_parameter(weights[n].parameter) for n in measured}
        drawn = {n: weights[n].of(own[n].detach())[0] for n in measured}
    for name in measured:
        size = float(drawn[name].double().square().mean().sqrt())
        # A weight that starts at zero: new units of it would be dead for ever.
        found[name] = size or 1 / sqrt(3 * prod(drawn[name].shape[1:]))
    return found
