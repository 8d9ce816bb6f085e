"""Convolutional networks, stacked: 3x3 convolutions, a dense layer, and the head."""

from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.stacking import Parameters, stacked_linear
from isometry.methods import Structure
from isometry.methods.activations import (
    NORMALISATION_EPS,
    activate,
    as_samples,
    normalise,
)
from isometry.methods.initialisation import (
    Shapes,
    chain_structure,
)
from isometry.methods.stacked_network import StackedNetwork

KERNEL = 3  # pixels on a side, padded so that places are kept
SMALL = 4  # pixels on the longer side: a map this small is not made smaller


def _channels_of(units: int) -> int:
    """Return how many channels a convolution has beside a dense layer of units.

    Example:
        >>> [_channels_of(units) for units in (1, 100, 512)]
        [2, 24, 128]
    """
    return max(2, units // 8 * 2)


def _strides(height: int, width: int, count: int) -> list[tuple[int, int, int]]:
    """Return stride, height and width of the maps after each of some convolutions.

    A convolution has stride 2, which halves the sides, until the longer one is at most
    :data:`SMALL`, and stride 1 from then on.

    Example:
        >>> _strides(28, 28, 4)
        [(2, 14, 14), (2, 7, 7), (2, 4, 4), (1, 4, 4)]
    """
    found = []
    for _ in range(count):
        stride = 2 if max(height, width) > SMALL else 1
        height, width = ceil(height / stride), ceil(width / stride)
        found.append((stride, height, width))
    return found


def _stacked_convolution(
    inputs: Tensor,  # (members, batch, in, height, width)
    weight: Tensor,  # (members, out, in, k, k)
    bias: Tensor | None,  # (members, out)
    stride: int,
) -> Tensor:
    """Return the convolution of every member by itself, zeros around the maps.

    On a CPU one member after the other, elsewhere all at once as groups of one
    convolution. On one CPU thread both are equally fast, and 1.8 times as fast as a
    batched product over unfolded maps; one after the other, a member's rounding does
    not depend on the others.
    """
    members, batch = inputs.shape[:2]
    keywords = {"stride": stride, "padding": KERNEL // 2}
    if inputs.device.type == "cpu":
        return torch.stack(
            [
                functional.conv2d(
                    inputs[i], weight[i], None if bias is None else bias[i], **keywords
                )
                for i in range(members)
            ]
        )
    groups = functional.conv2d(
        inputs.transpose(0, 1).flatten(1, 2),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        groups=members,
        **keywords,
    )
    return groups.view(batch, members, -1, *groups.shape[2:]).transpose(0, 1)


def _normalise_maps(
    inputs: Tensor,  # (members, batch, channels, height, width)
    gain: Tensor | None,  # (members, channels)
    offset: Tensor | None,  # (members, channels)
) -> Tensor:
    """Return LayerNorm of every sample over channels and places together.

    Source: Ba, Kiros & Hinton 2016, all units of a layer; torch's GroupNorm of one
        group.
    """
    standard = functional.layer_norm(inputs, inputs.shape[2:], eps=NORMALISATION_EPS)
    if gain is None or offset is None:
        return standard
    by_channel = (slice(None), None, slice(None), None, None)
    return torch.addcmul(offset[by_channel], standard, gain[by_channel])


@dataclass(frozen=True, kw_only=True)
class CNN(StackedNetwork):
    """Sizes of a convolutional network: image, hidden layers, classes.

    All hidden layers but the last are convolutions, 3x3, with a quarter of the width
    as channels, see :func:`_channels_of` and :func:`_strides`; the last is dense, with
    the width as units. There is no pooling, and no dropout.

    Attributes:
        architecture: Width, depth, activation, initialisation.
        image_shape: Channels, height and width of an image.
        num_classes: Length of the logits.

    Source: ours; that of arXiv 2606.09762 is not known, see ``book/departures.md``.
    """

    image_shape: tuple[int, int, int]
    num_classes: int

    @property
    def maps(self) -> list[tuple[int, int, int]]:
        """Return stride, height and width of each convolution's maps."""
        _, height, width = self.image_shape
        return _strides(height, width, self.architecture.depth - 1)

    def _shapes(self, units: int, outputs: int) -> Shapes:
        """Return the shapes for so many units and outputs of each unit."""
        fan_in, *sides = self.image_shape
        shapes: Shapes = {}
        for layer in range(self.architecture.depth):
            dense = layer == self.architecture.depth - 1
            own = units if dense else _channels_of(units)
            if dense:
                shapes[f"hidden.{layer}.weight"] = (own, fan_in * sides[0] * sides[1])
            else:
                shapes[f"hidden.{layer}.weight"] = (own, fan_in, KERNEL, KERNEL)
                sides = list(self.maps[layer][1:])
            if self.architecture.hidden_bias:
                shapes[f"hidden.{layer}.bias"] = (own,)
            for kind in self.architecture.unit_vectors:
                shapes[f"hidden.{layer}.{kind}"] = (own,)
            fan_in = own * outputs
        shapes["head.weight"] = (self.num_classes, fan_in)
        shapes["head.bias"] = (self.num_classes,)
        return shapes

    def structure(self) -> Structure:
        """Return the network as methods see it; a channel is a unit."""
        places = [height * width for _, height, width in self.maps]
        own = self.architecture, self.shapes(), self.initial, [*places, 1]
        return replace(chain_structure(*own), function=self.function)

    def watched(
        self,
        parameters: Parameters,
        inputs: Tensor,
        draws: list[torch.Generator] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and every hidden layer's activations, maps as maps.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``, flat images.
            draws: In training, one generator a member, see :func:`activate`.
        """
        layers = self._layers(parameters, inputs, draws)
        return self._head(parameters, layers[-1]), layers

    def hidden_activations(
        self, parameters: Parameters, inputs: Tensor
    ) -> list[Tensor]:
        """Return every hidden layer's activations, each ``(members, samples, units)``.

        A channel is a unit, and each place of its map a sample.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``, flat images.
        """
        return [as_samples(h) for h in self._layers(parameters, inputs)]

    def _head(self, parameters: Parameters, hidden: Tensor) -> Tensor:
        """Return the logits, ``(members, batch, num_classes)``."""
        return stacked_linear(
            hidden, parameters["head.weight"], parameters["head.bias"]
        )

    def _layers(
        self,
        parameters: Parameters,
        inputs: Tensor,
        draws: list[torch.Generator] | None = None,
    ) -> list[Tensor]:
        """Return every hidden layer's activations, maps as maps."""
        hidden, found = inputs.unflatten(2, self.image_shape), []
        maps = self.maps
        for layer in range(self.architecture.depth):
            name, dense = f"hidden.{layer}", layer == len(maps)
            weight = parameters[f"{name}.weight"]
            bias = parameters.get(f"{name}.bias")
            if dense:
                hidden = stacked_linear(hidden.flatten(2), weight, bias)
            else:
                hidden = _stacked_convolution(hidden, weight, bias, maps[layer][0])
            if self.architecture.normalised:
                norm = normalise if dense else _normalise_maps
                gain = parameters.get(f"{name}.gain")
                hidden = norm(hidden, gain, parameters.get(f"{name}.offset"))
            alpha, dim = parameters.get(f"{name}.alpha"), -1 if dense else 2
            hidden = activate(hidden, self.architecture, dim, draws, alpha)
            found.append(hidden)
        return found
