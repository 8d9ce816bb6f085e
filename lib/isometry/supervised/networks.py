"""Stacked networks as functions of their parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from isometry.core.messages import refusal, unknown
from isometry.core.seeding import Label, generator
from isometry.core.stacking import Parameters, stack, stacked_linear
from isometry.maxmin import MaxMin, group_sort
from isometry.methods import ACTIVATIONS, Architecture, Roles

ACTIVATION_MODULES: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda slope: nn.ReLU(),
    "leaky_relu": nn.LeakyReLU,
    "tanh": lambda slope: nn.Tanh(),
    "gelu": lambda slope: nn.GELU(),
    "maxmin": lambda slope: MaxMin(),
    "identity": lambda slope: nn.Identity(),
}


def activate(inputs: Tensor, architecture: Architecture) -> Tensor:
    """Return the activation of a hidden layer.

    Args:
        inputs: Pre-activations, ``(..., units)``.
        architecture: Names the activation.

    Returns:
        The same shape.

    Raises:
        KeyError: If the activation is not known.

    Source: definitions; MaxMin: Anil et al. 2019.
    """
    match architecture.activation:
        case "relu":
            return functional.relu(inputs)
        case "leaky_relu":
            return functional.leaky_relu(inputs, architecture.negative_slope)
        case "tanh":
            return torch.tanh(inputs)
        case "gelu":
            return functional.gelu(inputs)
        case "maxmin":
            return group_sort(inputs, 2)
        case "identity":
            return inputs
        case name:
            raise KeyError(unknown("activation", name, ACTIVATIONS))


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Sizes of a multilayer perceptron: inputs, hidden layers, classes.

    Attributes:
        architecture: Width, depth, activation, initialisation.
        in_features: Length of an input vector.
        num_classes: Length of the logits.

    Source: ours.
    """

    architecture: Architecture
    in_features: int
    num_classes: int

    def __post_init__(self) -> None:
        if self.architecture.activation == "maxmin" and self.architecture.width % 2:
            raise ValueError(
                refusal(
                    "an even width for maxmin",
                    self.architecture.width,
                    "change width or activation",
                )
            )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter of one member, in forward order."""
        sizes = [self.in_features, *[self.architecture.width] * self.architecture.depth]
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (fan_in, out) in enumerate(pairwise(sizes)):
            shapes[f"hidden.{layer}.weight"] = (out, fan_in)
            shapes[f"hidden.{layer}.bias"] = (out,)
        shapes["head.weight"] = (self.num_classes, sizes[-1])
        shapes["head.bias"] = (self.num_classes,)
        return shapes

    def roles(self) -> Roles:
        """Return what each parameter is: a hidden weight, the head, or a vector."""
        return {
            name: "vector"
            if len(shape) == 1
            else ("head" if name.startswith("head") else "hidden")
            for name, shape in self.shapes().items()
        }

    def initial(self, seed: int, *labels: Label) -> Parameters:
        """Return one member's parameters, drawn from its own generators.

        Orthogonal weights have the gain on hidden layers and gain 1 on the head, and
        zero biases; ``default`` is what ``torch.nn.Linear`` draws.

        Args:
            seed: The member's seed.
            *labels: Which network of that seed, e.g. the task for a fresh one.

        Returns:
            name -> ``(out, in)`` or ``(out,)``, float32.
        """
        parameters = {}
        for name, shape in self.shapes().items():
            draw = generator(seed, "init", name, *labels)
            tensor = torch.zeros(shape)
            fan_in = shape[-1] if len(shape) == 2 else parameters_fan_in(self, name)
            if self.architecture.init == "default":
                bound = fan_in**-0.5
                tensor.uniform_(-bound, bound, generator=draw)
            elif len(shape) == 2:
                hidden = name.startswith("hidden")
                gain = self.architecture.init_gain if hidden else 1.0
                torch.nn.init.orthogonal_(tensor, gain, generator=draw)
            parameters[name] = tensor
        return parameters

    def stacked(self, seeds: list[int], *labels: Label) -> Parameters:
        """Return the parameters of one member a seed, name -> ``(members, ...)``."""
        return stack([self.initial(seed, *labels) for seed in seeds])

    def forward(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits of every member on its own batch.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, in_features)``.

        Returns:
            ``(members, batch, num_classes)``.
        """
        hidden = self.hidden_activations(parameters, inputs)[-1]
        return stacked_linear(
            hidden, parameters["head.weight"], parameters["head.bias"]
        )

    def hidden_activations(
        self, parameters: Parameters, inputs: Tensor
    ) -> list[Tensor]:
        """Return every hidden layer's activations, each ``(members, batch, width)``.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, in_features)``.
        """
        hidden, activations = inputs, []
        for layer in range(self.architecture.depth):
            weight = parameters[f"hidden.{layer}.weight"]
            bias = parameters[f"hidden.{layer}.bias"]
            hidden = activate(stacked_linear(hidden, weight, bias), self.architecture)
            activations.append(hidden)
        return activations


def as_module(network: MLP, parameters: Parameters, member: int) -> nn.Sequential:
    """Return one member as a module of its own, for whatever expects a module.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        member: Which one.

    Returns:
        Linear layers and activations in order; parameters are copies.

    Source: ours.
    """
    activation = network.architecture.activation
    slope = network.architecture.negative_slope
    layers: list[nn.Module] = []
    names = [f"hidden.{layer}" for layer in range(network.architecture.depth)]
    for name in [*names, "head"]:
        weight = parameters[f"{name}.weight"][member].detach()
        out, fan_in = weight.shape
        # Nothing is drawn: torch's global generator stays as it is.
        linear = nn.utils.skip_init(nn.Linear, fan_in, out, device=weight.device)
        linear.load_state_dict(
            {"weight": weight, "bias": parameters[f"{name}.bias"][member].detach()}
        )
        layers.append(linear)
        if name != "head":
            layers.append(ACTIVATION_MODULES[activation](slope))
    return nn.Sequential(*layers)


def parameters_fan_in(network: MLP, bias: str) -> int:
    """Return the number of inputs of the layer that a bias belongs to.

    Args:
        network: The network.
        bias: The bias's name.

    Source: ours.
    """
    return network.shapes()[bias.replace("bias", "weight")][-1]
