"""What a kernel can be taken of: the checks that both methods share.

A kernel is a statement about a deterministic network whose outputs each depend on
their own input alone. Whatever breaks that is refused here, in one line.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from isometry.core.messages import refusal
from isometry.ntk.arguments import Indexed

FIRST_LAYER = "check the shape the first layer needs"
NOT_ALONE = "pass inputs that do not hang on each other, as the nodes of a graph do"


def unwrapped(model: Any) -> Any:
    """Return the module inside wrappers that only speed it up or spread it.

    Args:
        model: One of ``torch.compile`` or of a data parallel class, or any other.

    Example:
        >>> type(unwrapped(nn.DataParallel(nn.Linear(2, 1)))).__name__
        'Linear'
    """
    while True:
        if isinstance(model, nn.DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod
        else:
            return model


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters the kernel is taken over: those that require a gradient.

    Args:
        model: Any module.

    Returns:
        Name to parameter; a parameter under two names is listed once.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If nothing is trainable.

    Example:
        >>> list(trainable_parameters(nn.Linear(2, 1)))
        ['weight', 'bias']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(refusal("a torch module", type(model).__name__, "pass one"))
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(
            refusal(
                "at least one parameter that requires a gradient",
                "none",
                "unfreeze the model with requires_grad_(True)",
            )
        )
    return parameters


def check_recordable(name: str, parameter: Tensor) -> None:
    """Refuse a parameter that was made in inference mode: torch takes no derivative.

    Args:
        name: Of the parameter.
        parameter: Any.

    Raises:
        ValueError: Says what to do.
    """
    if parameter.is_inference():
        raise ValueError(
            refusal(
                "parameters made outside inference mode",
                f"{name!r}, made inside",
                "pass copy.deepcopy(model), copied outside of it",
            )
        )


def _before_forward(module: nn.Module) -> list[object]:
    """Return the hooks that run before a module's forward."""
    return list(module._forward_pre_hooks.values())


def check_model(model: nn.Module) -> nn.Parameter:
    """Refuse a model without a kernel, and return one of its trainable parameters.

    Args:
        model: Any module.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If nothing is trainable, a parameter is not finite, the parameters
            have several types or devices or were made in inference mode, or a dropout
            with p > 0, a batch norm, a spectral norm or an RReLU is in training mode.
    """
    parameters = trainable_parameters(model)
    for name, parameter in model.named_parameters():
        check_recordable(name, parameter)
        # The sum is finite only if all entries are; the full look is for overflow.
        if not torch.isfinite(parameter.sum()) and not parameter.isfinite().all():
            raise ValueError(
                refusal(
                    "finite weights",
                    f"NaN or infinity in {name!r}",
                    "look at where training diverged",
                )
            )
    kinds = {(p.dtype, p.device) for p in parameters.values()}
    if len(kinds) > 1:
        raise ValueError(
            refusal(
                "parameters of one dtype on one device",
                ", ".join(sorted(f"{d} on {v}" for d, v in kinds)),
                "move the model with .to(device, dtype)",
            )
        )
    for name, module in model.named_modules():
        random = isinstance(module, _DropoutNd) and module.p > 0
        tied = isinstance(module, _BatchNorm | nn.RReLU | _SpectralNorm)
        tied |= any(isinstance(h, SpectralNorm) for h in _before_forward(module))
        if module.training and (random or tied):
            raise ValueError(
                refusal(
                    "a deterministic network",
                    f"{type(module).__name__} {name!r} in training mode",
                    "call model.eval() first",
                )
            )
    return next(iter(parameters.values()))


def check_inputs(inputs: Tensor, parameter: Tensor, name: str = "inputs") -> None:
    """Refuse inputs that no kernel can be taken at.

    Args:
        inputs: Should be ``(n, ...)`` with n >= 1, floating point and finite.
        parameter: A parameter of the model, for its dtype and device.
        name: What to call the inputs in the message.

    Raises:
        TypeError: If they are not a floating-point tensor, or not of the model's dtype.
        ValueError: If rank, size, device or values do not fit.
    """
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        found = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(
            refusal(
                f"a floating-point tensor as {name}", str(found), "convert with .to()"
            )
        )
    if inputs.ndim < 2 or 0 in inputs.shape:
        raise ValueError(
            refusal(
                f"a non-empty batch as {name}, (n, ...)",
                str(tuple(inputs.shape)),
                "add a batch dimension, or pass at least one input",
            )
        )
    check_main(inputs, parameter, name)


def check_main(inputs: Tensor, parameter: Tensor, name: str = "inputs") -> None:
    """Refuse inputs of another dtype or device, or that are none.

    Args:
        inputs: Of any rank; of floating point, or whole numbers.
        parameter: A parameter of the model.
        name: What to call the inputs in the message.

    Raises:
        TypeError: If they are floating-point numbers of another dtype.
        ValueError: If they are empty, not finite, or on another device.
    """
    floating = inputs.is_floating_point()
    if floating and inputs.dtype != parameter.dtype:
        raise TypeError(
            refusal(
                f"{name} of the model's dtype {parameter.dtype}",
                str(inputs.dtype),
                "convert one of them with .to()",
            )
        )
    if inputs.numel() == 0:
        do = "pass at least one input"
        raise ValueError(
            refusal(f"a non-empty batch as {name}", str(tuple(inputs.shape)), do)
        )
    if inputs.device != parameter.device:
        raise ValueError(
            refusal(
                f"{name} on the model's device {parameter.device}",
                str(inputs.device),
                "move one of them with .to()",
            )
        )
    if floating and not bool(torch.isfinite(inputs).all()):
        raise ValueError(
            refusal(f"finite {name}", "NaN or infinity", "clean the data first")
        )


def plain(inputs: Tensor) -> Tensor:
    """Return inputs that can take part in derivatives: a copy, if from inference mode.

    Args:
        inputs: Any tensor; the copy is made outside inference mode.
    """
    return inputs.clone() if inputs.is_inference() else inputs


@torch.no_grad()
def _called(model: nn.Module, inputs: Tensor, needed: str, do: str) -> Tensor:
    """Return what the model says to inputs, or refuse them with its own words."""
    try:
        return model(inputs)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        found = f"{_shapes(model, inputs)}, and the model said: {reason}"
        raise ValueError(refusal(needed, found, do)) from error


def _shapes(model: nn.Module, inputs: Tensor) -> str:
    """Return the shapes of what a model is called with at inputs."""
    if not isinstance(model, Indexed):
        return str(tuple(inputs.shape))
    held = model.arguments.at(inputs)
    shapes = (f"{key!r} {tuple(held.values[key].shape)}" for key in held.batched)
    return ", ".join(shapes)


def check_outputs(model: nn.Module, inputs: Tensor, name: str = "inputs") -> int:
    """Run the model once, refuse outputs without a kernel, and return their number.

    The first input is evaluated a second time, alone. If its outputs differ then, the
    network mixes the inputs of a batch or draws random numbers.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: ``(n, ...)``, checked.
        name: What to call the inputs in the message.

    Returns:
        m, the number of outputs.

    Raises:
        ValueError: If the model fails on the inputs, or its outputs have another
            shape, are not finite, or depend on more than their own input.
    """
    outputs = _called(model, inputs, f"{name} that the model accepts", FIRST_LAYER)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else None
    if shape is None or len(shape) != 2 or shape[0] != len(inputs) or shape[1] == 0:
        raise ValueError(
            refusal(
                f"model outputs of shape ({len(inputs)}, m)",
                str(shape or type(outputs).__name__),
                "flatten the outputs of each input, with outputs= if need be",
            )
        )
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError(
            refusal("finite outputs", "NaN or infinity", "look at the weights' scale")
        )
    needed = f"{name} of which the model takes each alone"
    alone = _called(model, inputs[:1], needed, NOT_ALONE)
    tolerance = 1e3 * torch.finfo(outputs.dtype).eps
    if alone.shape != outputs[:1].shape or not torch.allclose(
        outputs[:1], alone, rtol=tolerance, atol=tolerance * float(outputs.abs().max())
    ):
        raise ValueError(
            refusal(
                "outputs that depend on their own input alone",
                "outputs that change with the rest of the batch, or at random",
                "call model.eval(), and remove batch statistics and noise",
            )
        )
    return shape[1]
