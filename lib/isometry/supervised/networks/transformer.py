"""Pre-LN transformers over patches of an image, stacked."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.stacking import Parameters, stacked_linear
from isometry.methods import Structure
from isometry.methods.activations import activate, normalise
from isometry.methods.initialisation import (
    Shapes,
    layer_of,
    spread_of,
)
from isometry.methods.stacked_network import StackedNetwork

HEADS = 4
TOKENS = 16  # at least so many, where the image has the pixels
PROJECTIONS = ("query", "key", "value", "output")


def _patch_side(height: int, width: int) -> int:
    """Return the side of a square patch, in pixels.

    The largest of 8, 4, 2 and 1 that divides both sides of the image and leaves at
    least :data:`TOKENS` patches; 1 where none does.

    Example:
        >>> [_patch_side(side, side) for side in (8, 28, 32)]
        [2, 4, 8]
    """
    for side in (8, 4, 2):
        divides = height % side == 0 and width % side == 0
        if divides and height * width >= TOKENS * side**2:
            return side
    return 1


def patches(images: Tensor, side: int) -> Tensor:
    """Return an image as a row of flat patches.

    Args:
        images: ``(..., channels, height, width)``.
        side: Of a patch, in pixels; divides height and width.

    Returns:
        ``(..., tokens, channels * side * side)``.

    Source: Dosovitskiy et al. 2021.

    Example:
        >>> patches(Tensor([0.0, 1.0, 2.0, 3.0]).view(1, 2, 2), 1).tolist()
        [[0.0], [1.0], [2.0], [3.0]]
    """
    *_, height, width = images.shape
    cut = images.unflatten(-1, (width // side, side))
    cut = cut.unflatten(-3, (height // side, side))
    # (..., channels, rows, side, columns, side)
    return cut.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return scaled dot-product attention of several heads.

    Args:
        query: ``(..., tokens, length)``; the heads share out the length.
        key: The same shape.
        value: The same shape.

    Returns:
        ``(..., tokens, length)``.

    Source: Vaswani et al. 2017.
    """
    parts = [
        t.unflatten(-1, (HEADS, -1)).transpose(-3, -2) for t in (query, key, value)
    ]
    scores = parts[0] @ parts[1].mT * parts[0].shape[-1] ** -0.5
    return (scores.softmax(-1) @ parts[2]).transpose(-3, -2).flatten(-2)


@dataclass(frozen=True, kw_only=True)
class Transformer(StackedNetwork):
    """Sizes of a pre-LN transformer: image, blocks, classes.

    A token is a patch, see :func:`_patch_side`, mapped to a vector of a quarter of the
    width, rounded down to a multiple of four, one part for each of the four heads; its
    position is learned. Each of ``depth`` blocks adds attention, without biases, and a
    perceptron of one hidden layer with the width as units, each on normalised vectors.
    The head reads the mean over tokens, normalised. There is no dropout.

    Attributes:
        architecture: Width, depth, activation, initialisation.
        image_shape: Channels, height and width of an image.
        num_classes: Length of the logits.

    Source: Vaswani et al. 2017; Xiong et al. 2020 for pre-LN; the details of that of
        arXiv 2606.09762 are not known, see ``book/departures.md``.
    """

    image_shape: tuple[int, int, int]
    num_classes: int

    @property
    def side(self) -> int:
        """Return the side of a patch, in pixels."""
        return _patch_side(*self.image_shape[1:])

    @property
    def tokens(self) -> int:
        """Return the number of tokens of an image."""
        _, height, width = self.image_shape
        return height * width // self.side**2

    def _shapes(self, units: int, outputs: int) -> Shapes:
        """Return the shapes for so many units and outputs of each unit."""
        length = HEADS * max(1, self.architecture.width // (4 * HEADS))
        shapes: Shapes = {
            "embed.weight": (length, self.image_shape[0] * self.side**2),
            "embed.bias": (length,),
            "embed.positions": (self.tokens, length),
        }

        def norm(
            name: str, size: int, kinds: tuple[str, ...] = ("gain", "offset")
        ) -> None:
            shapes.update({f"{name}.{kind}": (size,) for kind in kinds})

        for block in range(self.architecture.depth):
            norm(f"attention.{block}.norm", length)
            for kind in PROJECTIONS:
                shapes[f"attention.{block}.{kind}.weight"] = (length, length)
            norm(f"perceptron.{block}.norm", length)
            shapes[f"hidden.{block}.weight"] = (units, length)
            if self.architecture.hidden_bias:
                shapes[f"hidden.{block}.bias"] = (units,)
            norm(f"hidden.{block}", units, self.architecture.unit_vectors)
            shapes[f"perceptron.{block}.weight"] = (length, units * outputs)
            shapes[f"perceptron.{block}.bias"] = (length,)
        norm("head.norm", length)
        shapes["head.weight"] = (self.num_classes, length)
        shapes["head.bias"] = (self.num_classes,)
        return shapes

    def structure(self) -> Structure:
        """Return the network as methods see it.

        Units are those of the blocks' perceptrons. Attention and the maps back to
        the tokens are weights without units of their own.
        """
        shapes, blocks = self.shapes(), range(self.architecture.depth)
        inner = []
        for block in blocks:
            names = [f"attention.{block}.{kind}" for kind in PROJECTIONS]
            inner += [layer_of(name, shapes) for name in names]
            inner.append(layer_of(f"perceptron.{block}", shapes))
        weights = [name for name in shapes if name.endswith("weight")]
        return Structure(
            roles=self.roles(),
            layers=tuple(
                layer_of(f"hidden.{i}", shapes, [f"perceptron.{i}.weight"], self.tokens)
                for i in blocks
            ),
            inner=tuple(inner),
            heads=(layer_of("head", shapes),),
            activation=self.architecture.activation,
            spread={n: spread_of(n, shapes[n], self.architecture) for n in weights},
            fresh=self.initial,
            function=self.function,
        )

    def hidden_activations(
        self, parameters: Parameters, inputs: Tensor
    ) -> list[Tensor]:
        """Return the activations of every block's perceptron.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``, flat images.

        Returns:
            Each ``(members, batch * tokens, units)``: a token is a sample.
        """
        return self.watched(parameters, inputs)[1]

    def watched(
        self,
        parameters: Parameters,
        inputs: Tensor,
        draws: list[torch.Generator] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the hidden activations, from one pass.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``, flat images.
            draws: In training, one generator a member, see :func:`activate`.
        """
        members, batch, _ = inputs.shape

        def linear(hidden: Tensor, name: str) -> Tensor:
            weight, bias = parameters[f"{name}.weight"], f"{name}.bias"
            return stacked_linear(hidden, weight, parameters.get(bias))

        def norm(hidden: Tensor, name: str) -> Tensor:
            gain = parameters.get(f"{name}.gain")
            return normalise(hidden, gain, parameters.get(f"{name}.offset"))

        tokens = patches(inputs.unflatten(2, self.image_shape), self.side)
        stream = linear(tokens.flatten(1, 2), "embed").view(*tokens.shape[:3], -1)
        stream = (stream + parameters["embed.positions"].unsqueeze(1)).flatten(1, 2)
        found = []
        for block in range(self.architecture.depth):
            name = f"attention.{block}"
            seen = norm(stream, f"{name}.norm")
            parts = [
                linear(seen, f"{name}.{kind}").view(*tokens.shape[:3], -1)
                for kind in PROJECTIONS[:3]
            ]
            mixed = attention(parts[0], parts[1], parts[2]).flatten(1, 2)
            stream = stream + linear(mixed, f"{name}.output")
            seen = norm(stream, f"perceptron.{block}.norm")
            hidden = linear(seen, f"hidden.{block}")
            if self.architecture.normalised:
                hidden = norm(hidden, f"hidden.{block}")
            alpha = parameters.get(f"hidden.{block}.alpha")
            hidden = activate(hidden, self.architecture, draws=draws, alpha=alpha)
            found.append(hidden)
            stream = stream + linear(found[-1], f"perceptron.{block}")
        mean = stream.view(members, batch, tokens.shape[2], -1).mean(2)
        return linear(norm(mean, "head.norm"), "head"), found
