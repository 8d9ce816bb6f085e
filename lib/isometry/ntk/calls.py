"""Layers of others' classes, and bare parameters, seen by the functions they meet in.

A subclass of a known layer may compute anything before and after: timm's LayerNorm2d
moves the channels, its BatchNormAct2d goes on with an activation. What counts is that
its parameters take part in one call of one known function. Then that call is a layer
of torch's own.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from isometry.ntk.bare import Bare

# The layer's name, torch's layer for the call, its input and output; returns the output
# to go on with.
Report = Callable[[str, nn.Module, Tensor, Tensor], Tensor]


def _linear(input: Tensor, weight: Tensor, bias: Any = None):
    """Return the layer of a call of ``functional.linear``, with its input."""
    out, fan_in = weight.shape
    return nn.Linear(fan_in, out, device="meta"), input, weight, bias


def _convolution(
    kind: type[nn.Conv1d] | type[nn.Conv2d],
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
):
    """Return the layer of a call of ``functional.conv1d`` or 2d, with its input."""
    out, fan_in, *size = weight.shape
    layer = kind(
        fan_in * groups,
        out,
        tuple(size),  # type: ignore[arg-type]
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        device="meta",
    )
    return layer, input, weight, bias


def _layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
):
    """Return the layer of a call of ``functional.layer_norm``, with its input."""
    return nn.LayerNorm(normalized_shape, eps, device="meta"), input, weight, bias


def _rms_norm(
    input: Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None
):
    """Return the layer of a call of ``functional.rms_norm``, with its input."""
    return nn.RMSNorm(normalized_shape, eps, device="meta"), input, weight, None


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
):
    """Return the layer of a call of ``functional.group_norm``, with its input."""
    layer = nn.GroupNorm(num_groups, input.shape[1], eps, device="meta")
    return layer, input, weight, bias


def _batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
):
    """Return the layer of a call of ``functional.batch_norm``; None in training."""
    if training or running_mean is None:
        return None
    layer = nn.BatchNorm2d(input.shape[1], eps, device="meta")
    layer.running_mean, layer.running_var = running_mean, running_var
    return layer, input, weight, bias


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
):
    """Return the layer of a call of ``functional.embedding``, if its rows are plain."""
    rows, width = weight.shape
    layer = nn.Embedding(rows, width, padding_idx, device="meta")
    plain = max_norm is None and not scale_grad_by_freq
    return (layer, input, weight, None) if plain else None


_LAYERS: dict[Any, Callable[..., Any]] = {
    functional.linear: _linear,
    functional.conv1d: partial(_convolution, nn.Conv1d),
    functional.conv2d: partial(_convolution, nn.Conv2d),
    functional.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    functional.group_norm: _group_norm,
    functional.batch_norm: _batch_norm,
    functional.embedding: _embedding,
}


# Layers of torch that are known by their type, without a look at what they call.
OWN = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Embedding,
)


def is_conv1d(module: nn.Module) -> bool:
    """Return whether it is transformers' Conv1D, a linear layer at each position.

    Its weight lies the other way around, which a kernel does not see.

    Args:
        module: Any; transformers is not imported.
    """
    library: Any = sys.modules.get("transformers.pytorch_utils")
    return library is not None and type(module) is library.Conv1D


# torch asks for a subclass here.
class Calls(TorchFunctionMode):
    """Reports each call of a known function with parameters of one layer.

    Args:
        owners: Identity of a parameter to the name of its layer.
        bare: Identity of a parameter outside of such layers to its name.
        report: Where to.
    """

    def __init__(
        self, owners: dict[int, str], bare: dict[int, str], report: Report
    ) -> None:
        super().__init__()
        self.owners = owners
        self.bare = Bare(bare)
        self.report = report

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func not in _LAYERS:
            name = getattr(func, "__name__", "")
            use = None if kwargs else self.bare.used(name, args, output)
            return output if use is None else self.report(*use, output)
        found = _LAYERS[func](*args, **(kwargs or {}))
        if found is None:
            return output
        layer, seen, weight, bias = found
        used = [p for p in (weight, bias) if p is not None]
        names = {self.owners[id(p)] for p in used if id(p) in self.owners}
        whole = all(isinstance(p, nn.Parameter) for p in used)
        if len(names) != 1 or not whole:
            return output
        layer.weight, layer.bias = weight, bias
        return self.report(names.pop(), layer, seen, output)
