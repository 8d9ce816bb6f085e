"""Multilayer perceptrons, stacked, as functions of their parameters."""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal
from isometry.core.stacking import Parameters, stacked_linear
from isometry.methods import Structure
from isometry.methods.activations import (
    activate,
    activation_module,
    linear_module,
    norm_module,
    normalise,
)
from isometry.methods.initialisation import (
    Shapes,
    chain_structure,
    tapered,
)
from isometry.methods.stacked_network import StackedNetwork


@dataclass(frozen=True, kw_only=True)
class MLP(StackedNetwork):
    """Sizes of a multilayer perceptron: inputs, hidden layers, classes.

    Without a hidden layer it is logistic regression.

    Attributes:
        architecture: Width, depth, activation, initialisation.
        in_features: Length of an input vector.
        num_classes: Length of the logits.
    """

    in_features: int
    num_classes: int

    def _shapes(self, units: int, outputs: int) -> Shapes:
        """Return the shapes for so many units and outputs of each unit."""
        fan_in = self.in_features
        shapes: Shapes = {}
        for layer in range(self.architecture.depth):
            own = tapered(units, self.architecture, layer)
            shapes[f"hidden.{layer}.weight"] = (own, fan_in)
            if self.architecture.hidden_bias:
                shapes[f"hidden.{layer}.bias"] = (own,)
            for kind in self.architecture.unit_vectors:
                shapes[f"hidden.{layer}.{kind}"] = (own,)
            fan_in = own * outputs
        shapes["head.weight"] = (self.num_classes, fan_in)
        shapes["head.bias"] = (self.num_classes,)
        return shapes

    def structure(self) -> Structure:
        """Return the network as methods see it."""
        places = [1] * self.architecture.depth
        own = self.architecture, self.shapes(), self.initial, places
        return replace(chain_structure(*own), function=self.function)

    def watched(
        self,
        parameters: Parameters,
        inputs: Tensor,
        draws: list[torch.Generator] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and every hidden layer's activations, from one pass.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, in_features)``.
            draws: In training, one generator a member, see :func:`activate`.
        """
        activations = self.hidden_activations(parameters, inputs, draws)
        last = activations[-1] if activations else inputs
        return self.head(parameters, last), activations

    def head(self, parameters: Parameters, hidden: Tensor) -> Tensor:
        """Return the logits, ``(members, batch, num_classes)``, of the last layer.

        Args:
            parameters: name -> ``(members, ...)``.
            hidden: The last hidden layer's activations, ``(members, batch, width)``; of
                a network without one, the inputs.
        """
        return stacked_linear(
            hidden, parameters["head.weight"], parameters["head.bias"]
        )

    def hidden_activations(
        self,
        parameters: Parameters,
        inputs: Tensor,
        draws: list[torch.Generator] | None = None,
    ) -> list[Tensor]:
        """Return every hidden layer's activations, each ``(members, batch, width)``.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, in_features)``.
            draws: In training, one generator a member, see :func:`activate`.
        """
        hidden, activations = inputs, []
        for layer in range(self.architecture.depth):
            weight = parameters[f"hidden.{layer}.weight"]
            bias = parameters.get(f"hidden.{layer}.bias")
            hidden = stacked_linear(hidden, weight, bias)
            if self.architecture.normalised:
                gain = parameters.get(f"hidden.{layer}.gain")
                offset = parameters.get(f"hidden.{layer}.offset")
                hidden = normalise(hidden, gain, offset)
            alpha = parameters.get(f"hidden.{layer}.alpha")
            hidden = activate(hidden, self.architecture, draws=draws, alpha=alpha)
            activations.append(hidden)
        return activations


@singledispatch
def as_module(network: Any, parameters: Parameters, member: int) -> nn.Sequential:
    """Return one member as a module of its own, for whatever expects a module.

    Args:
        network: The network, of any kind.
        parameters: name -> ``(members, ...)``.
        member: Which one.

    Returns:
        torch's own layers in order, on flat inputs; parameters are copies.

    Raises:
        TypeError: If it is no stacked network.
    """
    found = type(network).__name__
    raise TypeError(refusal("a stacked network", found, "pass what network_of returns"))


@as_module.register
def _mlp_as_module(network: MLP, parameters: Parameters, member: int) -> nn.Sequential:
    """Return one member: linear layers, normalisations and activations in order."""
    architecture = network.architecture
    own = {name: tensor[member].detach() for name, tensor in parameters.items()}
    layers: list[nn.Module] = []
    for layer in range(architecture.depth):
        layers.append(linear_module(own, f"hidden.{layer}"))
        if architecture.normalised:
            layers.append(norm_module(own, f"hidden.{layer}"))
        layers.append(activation_module(own, f"hidden.{layer}", architecture))
    return nn.Sequential(*layers, linear_module(own, "head"))
