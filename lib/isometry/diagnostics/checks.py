"""What can be looked at: refusals in one line, before any work is done."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal
from isometry.diagnostics.call import Call
from isometry.ntk.arguments import Arguments, arguments_of
from isometry.ntk.checks import check_recordable, unwrapped


def check_model(model: Any) -> nn.Module:
    """Return the module to look at; it is taken out of wrappers.

    Args:
        model: What was passed.

    Raises:
        TypeError: If it is no module.
        ValueError: If it has no parameters, one of them is not finite, or has no data.
    """
    model = unwrapped(model)
    if not isinstance(model, nn.Module):
        raise TypeError(refusal("a torch module", type(model).__name__, "pass one"))
    for name, parameter in model.named_parameters():
        if parameter.is_meta or isinstance(parameter, nn.UninitializedParameter):
            raise ValueError(
                refusal(
                    "parameters with values",
                    f"none in {name!r}",
                    "load the weights, or run a lazy model once, first",
                )
            )
        check_recordable(name, parameter)
        if not bool(torch.isfinite(parameter).all()):
            raise ValueError(
                refusal(
                    "finite weights",
                    f"NaN or infinity in {name!r}",
                    "look at where training diverged",
                )
            )
    return model


def checked_inputs(given: Any, model: nn.Module) -> Arguments:
    """Return inputs as arguments, or refuse what cannot be a batch for this model.

    Args:
        given: See :func:`isometry.ntk.arguments.arguments_of`. The main tensor should
            be ``(n, ...)``, n >= 1, finite, on the model's device; if of floating
            point, of the model's dtype.
        model: Checked.

    Raises:
        TypeError: If they are no tensors, or of another dtype.
        ValueError: If they are empty, not finite, or on another device.
    """
    arguments = arguments_of(given)
    inputs = arguments.main
    if inputs.numel() == 0:
        raise ValueError(
            refusal(
                "a non-empty batch as inputs, (n, ...)",
                str(tuple(inputs.shape)),
                "pass at least one input, with a batch dimension",
            )
        )
    devices = {p.device for p in model.parameters()}
    if devices and inputs.device not in devices:
        raise ValueError(
            refusal(
                f"inputs on the model's device {', '.join(sorted(map(str, devices)))}",
                str(inputs.device),
                "move one of them with .to()",
            )
        )
    dtypes = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if inputs.is_floating_point() and dtypes and inputs.dtype not in dtypes:
        raise TypeError(
            refusal(
                f"inputs of the model's dtype {', '.join(sorted(map(str, dtypes)))}",
                str(inputs.dtype),
                "convert one of them with .to()",
            )
        )
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        raise ValueError(
            refusal("finite inputs", "NaN or infinity", "clean the data first")
        )
    return arguments


def check_caps(**caps: int) -> None:
    """Refuse a cap that is no whole number of at least one.

    Args:
        **caps: By name.

    Raises:
        ValueError: Names the first such cap.
    """
    for name, cap in caps.items():
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise ValueError(refusal(f"a whole {name} >= 1", cap, f"change {name}"))


def check_thresholds(thresholds: Iterable[float]) -> None:
    """Refuse a threshold of dormancy below zero.

    Args:
        thresholds: Each should be >= 0.

    Raises:
        ValueError: Names the first that is not.
    """
    for threshold in thresholds:
        if not threshold >= 0:
            raise ValueError(refusal("thresholds >= 0", threshold, "pass e.g. (0.1,)"))


def checked_outputs(call: Call, inputs: Tensor) -> Tensor:
    """Run the model once and return its outputs, ``(n, ...)``.

    Args:
        call: The model with its arguments.
        inputs: The main one, checked.

    Raises:
        TypeError: If the outputs are not one tensor of floating point.
        ValueError: If the model fails on the inputs, what ``outputs=`` does fails on
            what it returns, or the outputs are not finite or not one for each input.
    """
    try:
        said = call.arguments.with_main(inputs).call(call.model)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        kind = str(inputs.dtype).removeprefix("torch.")
        raise ValueError(
            refusal(
                "inputs that the model accepts",
                f"{kind} of shape {tuple(inputs.shape)}, and the model said: {reason}",
                "check the shape and the dtype that the first layer needs",
            )
        ) from error
    try:
        outputs = call.pick(said)
    except Exception as error:
        which = f"{type(said).__name__}, of which {type(error).__name__}: {error}"
        do = "look at what the model returns"
        raise ValueError(refusal("what outputs= can take", which, do)) from error
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        found = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(
            refusal(
                "one floating-point tensor as the model's output",
                str(found),
                "pass outputs=, e.g. lambda o: o.logits",
            )
        )
    if outputs.ndim == 0 or len(outputs) != len(inputs) or outputs.numel() == 0:
        raise ValueError(
            refusal(
                f"outputs of shape ({len(inputs)}, ...), one for each input",
                str(tuple(outputs.shape)),
                "pass outputs= so that the batch comes first",
            )
        )
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError(
            refusal("finite outputs", "NaN or infinity", "look at the weights' scale")
        )
    return outputs


def mixes_inputs(call: Call, inputs: Tensor, outputs: Tensor) -> bool:
    """Return whether an output hangs on more than its own input.

    Args:
        call: The model with its arguments.
        inputs: The main one, ``(n, ...)``.
        outputs: The model's, ``(n, ...)``.

    Source: ours; the same test as for the kernel.
    """
    tolerance = 1e3 * torch.finfo(outputs.dtype).eps
    scale = float(outputs.abs().max())
    try:
        alone = call(inputs[:1])
    except Exception as error:  # as batch statistics of one input, or graphs, do
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return True
    return alone.shape != outputs[:1].shape or not torch.allclose(
        alone, outputs[:1], rtol=tolerance, atol=tolerance * scale
    )
