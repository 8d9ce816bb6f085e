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

    On a CPU one member after the other, elsewhere all at once as groups. Where one row
    comes out, as in the layout ``columns``, the kernels' rows that only meet padding
    are left out: they are half of the first kernel and more of the others.

    Source: definition.
    """
    (top, bottom), (left, right) = (
        _same_padding(maps.shape[axis], weight.shape[axis], stride[axis - 3])
        for axis in (3, 4)
    )
    height = maps.shape[3]
    if ceil(height / stride[0]) == 1:
        weight = weight[:, :, :, top : top + height]
        top = bottom = 0
    maps = functional.pad(maps, (left, right, top, bottom))
    members, batch = maps.shape[:2]
    if maps.device.type == "cpu":
        own = [None] * members if bias is None else list(bias)
        return torch.stack(
            [
                functional.conv2d(maps[i], weight[i], own[i], stride)
                for i in range(members)
            ]
        )
    groups = functional.conv2d(
        maps.transpose(0, 1).flatten(1, 2),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        stride,
        groups=members,
    )
    return groups.view(batch, members, -1, *groups.shape[2:]).transpose(0, 1)


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
