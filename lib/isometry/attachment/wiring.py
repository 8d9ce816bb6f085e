"""What a method needs to know of somebody's model: layers, who reads them, where."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from isometry.methods.structure import Structure


@dataclass(frozen=True, kw_only=True)
class View:
    """How a method's weight lies in a parameter of the model.

    Attributes:
        parameter: Name of the parameter, as ``named_parameters`` gives it.
        member: Which member of leading dimensions that count members; empty: none.
        axis: Along which axis the part lies, 0 or 1.
        start: Where it starts along this axis.
        size: How long it is there, or None: the whole parameter.
        transposed: Whether the parameter is ``(in, out, ...)``.
    """

    parameter: str
    member: tuple[int, ...] = ()
    axis: int = 0
    start: int = 0
    size: int | None = None
    transposed: bool = False

    def of(self, tensor: Tensor) -> Tensor:
        """Return the part as a stack of one member, a view ``(1, out, in, ...)``.

        Args:
            tensor: The parameter, its gradient, or memory of its shape.
        """
        part = tensor[self.member] if self.member else tensor
        if self.size is not None:
            part = part.narrow(self.axis, self.start, self.size)
        return (part.transpose(0, 1) if self.transposed else part).unsqueeze(0)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where the activations of a hidden layer can be seen in a forward pass.

    Attributes:
        module: Path of the module whose output is looked at, at each of its calls.
        dim: The dimension of that output along which the units lie.
        function: From that output to the activations, or None where it is them already.
    """

    module: str
    dim: int = -1
    function: Callable[[Tensor], Tensor] | None = None

    def activations(self, output: Tensor) -> Tensor:
        """Return the activations of one call, ``(1, samples, units)``.

        Args:
            output: Of the module; places of an image or a sequence become samples.
        """
        seen = output if self.function is None else self.function(output)
        return self.lying(seen)

    def lying(self, seen: Tensor) -> Tensor:
        """Return activations, or gradients by them, as ``(1, samples, units)``.

        Args:
            seen: As the module has them.
        """
        if seen.ndim != 2 or self.dim not in (-1, 1):
            seen = seen.movedim(self.dim, -1).flatten(0, -2)
        return seen.unsqueeze(0)


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """A model as methods see it.

    A name is that of a parameter; ``weight[i]`` one of several matrices in it, and
    ``weight[:, i:j]``, which is spared, columns that read one of several layers.

    Attributes:
        structure: Roles, layers, heads; each name is one of ``views``.
        views: How each of these weights and vectors lies in the model.
        points: Where the activations of ``structure.layers`` are seen, in their order.
        refused: Weight of a layer whose units cannot be replaced -> why not.
        running: Weight of a layer -> paths of the norms that keep running statistics of
            its units.
    """

    structure: Structure
    views: Mapping[str, View]
    points: tuple[Point, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# (model, generator) -> None: draws the model's parameters anew, in place.
Initialise = Callable[[torch.nn.Module, torch.Generator], None]
