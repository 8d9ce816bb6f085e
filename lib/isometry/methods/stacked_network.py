"""What all networks over stacks share: sizes, roles, and how members are drawn."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from isometry.core.seeding import Label
from isometry.core.stacking import Parameters, stack
from isometry.methods.activations import as_samples
from isometry.methods.initialisation import (
    Shapes,
    check_pairs,
    fresh_member,
    outputs_of,
    role_of,
    units_of,
)
from isometry.methods.structure import Architecture, Roles, Structure


@dataclass(frozen=True, kw_only=True)
class StackedNetwork:
    """A network as functions of stacked parameters; each kind adds its own sizes.

    Attributes:
        architecture: Width, depth, activation, initialisation.
    """

    architecture: Architecture

    def __post_init__(self) -> None:
        check_pairs(self.architecture)

    @property
    def units(self) -> int:
        """Return the number of units of a hidden layer, see :class:`Architecture`.

        In a convolutional network those of its dense layer.
        """
        return units_of(self.architecture, self._shapes)

    def shapes(self) -> Shapes:
        """Return the shape of each parameter of one member, in forward order."""
        return self._shapes(self.units, outputs_of(self.architecture))

    def _shapes(self, units: int, outputs: int) -> Shapes:
        """Return the shapes for so many units and outputs of each unit."""
        raise NotImplementedError

    def roles(self) -> Roles:
        """Return what each parameter is, see :func:`role_of`."""
        return {name: role_of(name) for name in self.shapes()}

    def structure(self) -> Structure:
        """Return the network as methods see it."""
        raise NotImplementedError

    def initial(self, seed: int, *labels: Label) -> Parameters:
        """Return one member's parameters, see :func:`fresh_member`.

        Args:
            seed: The member's seed.
            *labels: Which network of that seed, e.g. the task for a fresh one.

        Returns:
            name -> a tensor of its shape, float32.
        """
        return fresh_member(self.shapes(), self.architecture, seed, *labels)

    def stacked(self, seeds: list[int], *labels: Label) -> Parameters:
        """Return the parameters of one member a seed, name -> ``(members, ...)``.

        Args:
            seeds: One a member.
            *labels: As for :meth:`initial`.
        """
        return stack([self.initial(seed, *labels) for seed in seeds])

    def watched(self, parameters: Parameters, inputs: Tensor) -> Any:
        """Return the outputs and, last, every hidden layer's activations, maps as maps.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``.
        """
        raise NotImplementedError

    def function(
        self, parameters: Parameters, inputs: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the activations, see :attr:`Structure.function`.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``.
        """
        logits, activations = self.watched(parameters, inputs)
        return logits, [as_samples(hidden) for hidden in activations]

    def forward(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits of every member on its own batch.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, features)``.

        Returns:
            ``(members, batch, num_classes)``.
        """
        logits: Tensor = self.watched(parameters, inputs)[0]
        return logits
