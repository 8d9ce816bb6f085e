"""What methods change of a network, done to a model that is there already."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from isometry.attachment.wiring import Point, Wiring
from isometry.core.messages import refusal
from isometry.methods import Layer, Method
from isometry.methods.activations import ACTIVATION_MODULES, NORMALISATION_EPS
from isometry.methods.combine import ANY
from isometry.methods.linearity import GATED, AdaLin, check_gated
from isometry.methods.structure import DOUBLED

NONLINEARITIES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
)
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)
Look = tuple[tuple[Any, ...], dict[str, Any]]  # arguments of a forward pass


def change_architecture(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    method: Method,
    settings: Any,
    look: Look | None,
    wired: Callable[..., Wiring],
) -> None:
    """Change a model as a method's architecture asks, in place, where that is exact.

    A nonlinearity that is a module becomes another one, and a LayerNorm comes before
    it; over channels and places for maps, as in this library's own networks. What is
    new and learns joins the optimiser as a group. Biases that a normalisation makes
    redundant stay.

    Args:
        model: The network.
        optimizer: Holds its parameters, or None.
        method: What is to be attached.
        settings: The method's own.
        look: Arguments of a forward pass, or None.
        wired: ``(args, kwargs) -> Wiring`` of the model as it is.

    Raises:
        ValueError: If the change is not possible, or nothing shows how units lie.
    """
    asked = method.architecture(ANY, settings)
    swapped = asked.activation != ANY.activation
    normalised = asked.normalisation != ANY.normalisation
    if not swapped and not normalised and asked.alpha is None:
        return
    if asked.activation in DOUBLED:
        needed = f"a network built with it for {method.name}, which doubles outputs"
        kind = type(ACTIVATION_MODULES[asked.activation](0.0, -1)).__name__
        do = f"use isometry.methods.activations.{kind} when you build it"
        raise ValueError(refusal(needed, "a model that is there", do))
    if look is None:
        needed = f"inputs= for {method.name}, which changes layers"
        raise ValueError(refusal(needed, "none", "pass a minibatch"))
    places = _nonlinearities(model, wired(*look), method.name)
    joined: list[nn.Module] = []  # with parameters of their own
    for module, layer, point in places:
        new = module
        if swapped:
            if asked.activation == "maxmin" and _units(model, layer) % 2:
                needed = "an even number of units for maxmin"
                found = f"{_units(model, layer)} in {layer.weight}"
                raise ValueError(refusal(needed, found, "change the width"))
            make = ACTIVATION_MODULES[asked.activation]
            new = make(asked.negative_slope, point.dim).train(module.training)
        if asked.alpha is not None:
            new = _adalin(model, layer, point, new, asked.alpha)
            joined.append(new)
        if normalised and layer.gain is None and not _follows_norm(model, module):
            affine = asked.normalisation == "layer"
            norm = _norm(model, layer, point, affine)
            joined.append(norm)
            new = nn.Sequential(OrderedDict(norm=norm, activation=new))
        _put(model, module, new)
    added = [parameter for new in joined for parameter in new.parameters()]
    if optimizer is not None and added:
        optimizer.add_param_group({"params": added})


def _nonlinearities(
    model: nn.Module, wiring: Wiring, method: str
) -> list[tuple[nn.Module, Layer, Point]]:
    """Return each nonlinearity with its layer; refuse what is not clear."""
    needed = f"nonlinearities that are modules, each of one layer, for {method}"
    do = "make them so, or build the network with it"
    own = {path: m for path, m in model.named_modules() if type(m) in NONLINEARITIES}
    found: dict[str, tuple[nn.Module, Layer, Point]] = {}
    for layer, point in zip(wiring.structure.layers, wiring.points, strict=True):
        module = own.get(point.module)
        if module is None or point.function is not None:
            raise ValueError(refusal(needed, f"that of {layer.weight} in code", do))
        if point.module in found:
            raise ValueError(refusal(needed, f"{point.module!r} of two", do))
        found[point.module] = (module, layer, point)
    other = sorted(set(own) - set(found))
    if other or not found:
        said = f"{other[0]!r}, whose layer is not clear" if other else "none"
        raise ValueError(refusal(needed, said, do))
    return list(found.values())


def _units(model: nn.Module, layer: Layer) -> int:
    """Return the number of units of a layer."""
    return len(model.get_parameter(layer.weight))


def _norm(model: nn.Module, layer: Layer, point: Point, affine: bool) -> nn.Module:
    """Return a LayerNorm of a layer's units."""
    weight = model.get_parameter(layer.weight)
    keywords: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    if weight.ndim > 2:
        return nn.GroupNorm(1, len(weight), NORMALISATION_EPS, affine, **keywords)
    if point.dim != -1:
        needed = "units along the last dimension for a LayerNorm"
        found = f"those of {layer.weight} along {point.dim}"
        raise ValueError(refusal(needed, found, "build the network with it"))
    return nn.LayerNorm(len(weight), NORMALISATION_EPS, affine, **keywords)


def _adalin(
    model: nn.Module, layer: Layer, point: Point, module: nn.Module, start: float
) -> AdaLin:
    """Return AdaLin round a nonlinearity, with an alpha for each unit of a layer."""
    kinds = {type(ACTIVATION_MODULES[kind](0.0, -1)): kind for kind in GATED}
    kind = kinds.get(type(module), type(module).__name__)
    if getattr(module, "approximate", "none") != "none":
        kind = "an approximate GELU"
    check_gated(kind)
    weight = model.get_parameter(layer.weight)
    new = AdaLin(
        kind,
        len(weight),
        start=start,
        dim=point.dim,
        negative_slope=getattr(module, "negative_slope", 0.01),
    )
    return new.to(weight)


def _follows_norm(model: nn.Module, module: nn.Module) -> bool:
    """Return whether a normalisation stands before a module in a sequence."""
    for parent in model.modules():
        if isinstance(parent, nn.Sequential):
            for before, after in pairwise(parent):
                if after is module and isinstance(before, NORMS):
                    return True
    return False


def _put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put one module in another's place, in the same mode."""
    new.train(old.training)
    for parent in list(model.modules()):
        for key, child in parent._modules.items():
            if child is old and parent is not new:
                parent._modules[key] = new
