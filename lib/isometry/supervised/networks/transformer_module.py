"""A member of a stack of transformers as a module of its own."""

from torch import Tensor, nn

from isometry.core.stacking import Parameters
from isometry.methods.activations import (
    activation_module,
    linear_module,
    norm_module,
)
from isometry.supervised.networks.transformer import (
    PROJECTIONS,
    Transformer,
    attention,
    patches,
)


class _Embedding(nn.Module):
    """Patches of flat images as vectors, with what their positions add.

    Source: Dosovitskiy et al. 2021.
    """

    def __init__(self, network: Transformer, own: Parameters) -> None:
        super().__init__()
        self.image_shape, self.side = network.image_shape, network.side
        self.linear = linear_module(own, "embed")
        self.positions = nn.Parameter(own["embed.positions"].clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(n, tokens, length)`` for ``(n, features)``."""
        tokens = patches(inputs.unflatten(1, self.image_shape), self.side)
        return self.linear(tokens) + self.positions


class Block(nn.Module):
    """Attention and a perceptron, each added to what it reads, normalised.

    Args:
        network: Gives activation and normalisation.
        own: One member's parameters.
        block: Which block.

    Source: Xiong et al. 2020.
    """

    def __init__(self, network: Transformer, own: Parameters, block: int) -> None:
        super().__init__()
        architecture = network.architecture
        self.first = norm_module(own, f"attention.{block}.norm")
        self.projections = nn.ModuleList(
            linear_module(own, f"attention.{block}.{kind}") for kind in PROJECTIONS
        )
        layers: list[nn.Module] = [norm_module(own, f"perceptron.{block}.norm")]
        layers.append(linear_module(own, f"hidden.{block}"))
        if architecture.normalised:
            layers.append(norm_module(own, f"hidden.{block}"))
        layers.append(activation_module(own, f"hidden.{block}", architecture))
        layers.append(linear_module(own, f"perceptron.{block}"))
        self.perceptron = nn.Sequential(*layers)

    def forward(self, stream: Tensor) -> Tensor:
        """Return ``(n, tokens, length)`` for the same shape."""
        query, key, value, output = self.projections
        seen = self.first(stream)
        stream = stream + output(attention(query(seen), key(seen), value(seen)))
        return stream + self.perceptron(stream)


class _TokenMean(nn.Module):
    """The mean over tokens."""

    def forward(self, stream: Tensor) -> Tensor:
        """Return ``(n, length)`` for ``(n, tokens, length)``."""
        return stream.mean(1)


def transformer_as_module(
    network: Transformer, parameters: Parameters, member: int
) -> nn.Sequential:
    """Return one member as a module of its own, on flat images.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        member: Which one.
    """
    own = {name: tensor[member].detach() for name, tensor in parameters.items()}
    blocks = [Block(network, own, i) for i in range(network.architecture.depth)]
    end = [_TokenMean(), norm_module(own, "head.norm"), linear_module(own, "head")]
    return nn.Sequential(_Embedding(network, own), *blocks, *end)
