"""The convolutions of Octax agents, stacked, shared by actor and critic.

The reference agent hands screens ``(frames, rows, columns)`` to a convolution that
takes the last axis for channels. It therefore slides over frames and rows, and each of
the 64 columns is a channel. Published curves come from this layout, ``columns``;
``frames`` slides over rows and columns.
"""

from math import ceil
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.stacking import Parameters
from isometry.methods import Architecture
from isometry.methods.activations import NORMALISATION_EPS, activate
from isometry.methods.initialisation import Shapes

Layout = Literal["columns", "frames"]
# Of the reference agent: channels, sides of the kernel, strides.
CONVOLUTIONS = ((32, (8, 4), (4, 2)), (64, (4, 4), (2, 2)), (64, (3, 3), (1, 1)))


def _arranged(screens: Tensor, layout: Layout) -> Tensor:
    """Return screens as maps.

    Source: see the module.
    """
    return screens.movedim(-1, -3) if layout == "columns" else screens


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after an axis that make its length ``size / stride``.

    The number of places is rounded up; where the zeros cannot be split evenly, one more
    comes after.

    Source: the rule ``SAME`` of TensorFlow and XLA.

    Example:
        >>> _same_padding(4, 8, 4), _same_padding(1, 4, 2)
        ((2, 2), (1, 2))
    """
    total = max((ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def features_of(
    observation: tuple[int, ...], layout: Layout
) -> list[tuple[int, int, int]]:
    """Return channels, height and width of the maps after each convolution.

    Args:
        observation: Frames, rows and columns of a screen.
        layout: Which axis holds the channels.

    Source: see the module.

    Example:
        >>> features_of((4, 32, 64), "columns")
        [(32, 1, 16), (64, 1, 8), (64, 1, 8)]
    """
    _, height, width = _arranged(torch.empty(observation), layout).shape
    found = []
    for channels, _, stride in CONVOLUTIONS:
        height, width = ceil(height / stride[0]), ceil(width / stride[1])
        found.append((channels, height, width))
    return found


def screen_shapes(
    observation: tuple[int, ...],
    layout: Layout,
    architecture: Architecture,
    outputs: int,
) -> tuple[Shapes, int]:
    """Return the shapes of the convolutions' parameters, and how many features follow.

    Args:
        observation: Frames, rows and columns of a screen.
        layout: Which axis holds the channels.
        architecture: Says whether there are biases and a normalisation.
        outputs: Of each channel: two for CReLU.

    Source: see the module.
    """
    shapes: Shapes = {}
    fan_in = _arranged(torch.empty(observation), layout).shape[0]
    for layer, (channels, kernel, _) in enumerate(CONVOLUTIONS):
        name = f"hidden.shared.{layer}"
        shapes[f"{name}.weight"] = (channels, fan_in, *kernel)
        if architecture.hidden_bias:
            shapes[f"{name}.bias"] = (channels,)
        for kind in architecture.unit_vectors:
            shapes[f"{name}.{kind}"] = (channels,)
        fan_in = channels * outputs
    _, height, width = features_of(observation, layout)[-1]
    return shapes, fan_in * height * width


def _convolved(
    maps: Tensor,  # (members, batch, in, height, width)
    weight: Tensor,  # (members, out, in, rows, columns)
    bias: Tensor | None,  # (members, out)
    stride: tuple[int, int],
) -> Tensor:
    """Return the convolution of every member by itself, padded by ``same_padding``.

    Where one row comes out, as in the layout ``columns``, the kernels' rows that only
    meet padding are left out, they are half of the first kernel and more of the others,
    and a CPU takes what is left as a product. Other convolutions it takes one member
    after the other, a GPU all at once as groups.

    Source: definition.
    """
    (top, bottom), sides = (
        _same_padding(maps.shape[axis], weight.shape[axis], stride[axis - 3])
        for axis in (3, 4)
    )
    members, batch, _, height, _ = maps.shape
    if ceil(height / stride[0]) == 1:
        weight = weight[:, :, :, top : top + height]
        if maps.device.type == "cpu" and weight.shape[-1] % stride[1] == 0:
            return _one_row(maps, weight, bias, stride[1], sides)
        top = bottom = 0
    maps = functional.pad(maps.to(weight.dtype), (*sides, top, bottom))
    if maps.device.type == "cpu":
        own = [None] * members if bias is None else list(bias)
        each = zip(maps, weight, own, strict=True)
        return torch.stack([functional.conv2d(*one, stride) for one in each])
    groups = functional.conv2d(
        maps.transpose(0, 1).flatten(1, 2),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        stride,
        groups=members,
    )
    return groups.view(batch, members, -1, *groups.shape[2:]).transpose(0, 1)


def _one_row(
    maps: Tensor,  # (members, batch, in, height, width)
    weight: Tensor,  # (members, out, in, height, columns)
    bias: Tensor | None,  # (members, out)
    stride: int,  # divides the kernel's columns
    sides: tuple[int, int],
) -> Tensor:  # (members, batch, out, 1, places)
    """Return a convolution whose kernel is as high as the maps, as one product.

    The maps are cut into pieces of ``stride`` columns, the kernel likewise. Each piece
    meets each part of the kernel once; places add up what their pieces gave.

    Source: definition; the order of the sums is ours.
    """
    members, out, channels, height, columns = weight.shape
    parts, row = columns // stride, stride * height * channels
    places = ceil(maps.shape[4] / stride)
    pieces = places + parts - 1
    before = sides[0]
    after = pieces * stride - before - maps.shape[4]
    columns_first = maps.permute(0, 1, 4, 3, 2).contiguous()
    lines = functional.pad(columns_first, (0, 0, 0, 0, before, after))
    lines = lines.to(weight.dtype).view(members, -1, row)
    kernel = weight.permute(0, 4, 3, 2, 1).reshape(members, parts, row, out)
    kernel = kernel.transpose(1, 2).flatten(2)
    found = (lines @ kernel).view(members, -1, pieces, parts, out)
    total = found[:, :, :places, 0]
    for part in range(1, parts):
        total = total + found[:, :, part : part + places, part]
    if bias is not None:
        total = total + bias[:, None, None]
    return total.transpose(2, 3).unsqueeze(3)


def screen_activations(
    parameters: Parameters, screens: Tensor, layout: Layout, architecture: Architecture
) -> tuple[Tensor, list[Tensor]]:
    """Return the features of screens, and every convolution's activations.

    Args:
        parameters: name -> ``(members, ...)``.
        screens: ``(members, batch, frames, rows, columns)``.
        layout: Which axis holds the channels.
        architecture: Activation and normalisation.

    Returns:
        ``(members, batch, features)``, channel by channel, and the maps ``(members,
        batch, channels, rows, columns)`` of each convolution.

    Source: see the module.
    """
    maps, found = _arranged(screens, layout), []
    for layer, (_, _, stride) in enumerate(CONVOLUTIONS):
        name = f"hidden.shared.{layer}"
        bias = parameters.get(f"{name}.bias")
        maps = _convolved(maps, parameters[f"{name}.weight"], bias, stride)
        if architecture.normalised:
            maps = functional.layer_norm(maps, maps.shape[2:], eps=NORMALISATION_EPS)
        if architecture.norm_vectors:
            gain, offset = (
                parameters[f"{name}.{kind}"][:, None, :, None, None]
                for kind in architecture.norm_vectors
            )
            maps = torch.addcmul(offset, maps, gain)
        maps = activate(maps, architecture, 2, alpha=parameters.get(f"{name}.alpha"))
        found.append(maps)
    return maps.flatten(2), found
