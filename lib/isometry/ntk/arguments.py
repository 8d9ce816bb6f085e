"""Models that take several inputs, or keywords, or do not return one tensor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal

Inputs = Tensor | Sequence[Any] | Mapping[str, Any]
Pick = Callable[[Any], Tensor]  # from what a model returns to one tensor (n, ...)
GRAPH = "a graph, whose nodes hang on each other"
VALUES = (bool, int, float, str, type(None))


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What a model is called with, for n inputs.

    Args:
        values: By place (a number) or keyword.
        batched: The places of tensors ``(n, ...)``; the first is the main one. All
            other values are the same for every input.
    """

    values: Mapping[int | str, Any]
    batched: tuple[int | str, ...]

    @property
    def main(self) -> Tensor:
        """The first tensor, ``(n, ...)``."""
        return self.values[self.batched[0]]

    def at(self, index: Tensor | slice) -> "Arguments":
        """Return the arguments of some inputs.

        Args:
            index: Which, ``(c,)`` or a slice.
        """
        chosen = {key: self.values[key][index] for key in self.batched}
        return replace(self, values={**self.values, **chosen})

    def with_main(self, main: Tensor) -> "Arguments":
        """Return the arguments of the first inputs, with another main tensor.

        Args:
            main: ``(c, ...)``, c at most n.
        """
        first = self.at(slice(len(main)))
        return replace(first, values={**first.values, self.batched[0]: main})

    def call(self, model: Callable[..., Any]) -> Any:
        """Return what a model says to the arguments.

        Args:
            model: Called with them.
        """
        places = [v for key, v in self.values.items() if isinstance(key, int)]
        keywords = {k: v for k, v in self.values.items() if isinstance(k, str)}
        return model(*places, **keywords)


def arguments_of(inputs: Inputs, name: str = "inputs") -> Arguments:
    """Return inputs as arguments.

    Args:
        inputs: A tensor ``(n, ...)``, a tuple of positional or a dict of keyword
            arguments. Among them are tensors ``(n, ...)``, the first of which says what
            n is; tensors of one or no entry along the batch, numbers, strings and None
            are the same for every input.
        name: What to call them in the message.

    Raises:
        TypeError: If they are something else, or hold no tensor.
        ValueError: If a tensor has another number of entries than the first, or a
            single one no batch dimension.

    Example:
        >>> found = arguments_of((torch.zeros(3, 2), torch.ones(3), True))
        >>> found.batched, len(found.main)
        ((0, 1), 3)
    """
    values: dict[int | str, Any]
    if isinstance(inputs, Tensor):
        values = {0: inputs}
    elif isinstance(inputs, Mapping):
        values = {key: inputs[key] for key in inputs}
    elif isinstance(inputs, tuple | list):
        values = dict(enumerate(inputs))
    else:
        kind = type(inputs).__name__
        found = f"{kind}, {GRAPH}" if hasattr(inputs, "edge_index") else kind
        raise TypeError(_refused(name, found))
    for key, value in values.items():
        if not isinstance(value, (Tensor, *VALUES)):
            raise TypeError(_refused(name, f"{type(value).__name__} as {key!r}"))
    tensors = {k: v for k, v in values.items() if isinstance(v, Tensor) and v.ndim > 0}
    if not tensors and isinstance(inputs, Tensor):
        do = "pass at least one input, with a batch dimension"
        raise ValueError(refusal(f"a non-empty batch as {name}, (n, ...)", "()", do))
    if not tensors:
        raise TypeError(_refused(name, f"{type(inputs).__name__} without any"))
    count = len(next(iter(tensors.values())))
    for key, value in tensors.items():
        if len(value) not in (count, 1):
            found = f"{key!r} of shape {tuple(value.shape)}"
            do = "give what all share in the model; nodes of a graph have no look each"
            raise ValueError(refusal(f"{count} entries in all {name}", found, do))
    batched = tuple(key for key, value in tensors.items() if len(value) == count)
    return Arguments(values=values, batched=batched)


def _refused(name: str, found: str) -> str:
    """Return the line for inputs that are no tensors."""
    do = "pass a tensor, a tuple of arguments or a dict of keywords"
    if GRAPH in found:
        do = "wrap the model so that an input is a whole graph"
    return refusal(f"tensors as {name}", found, do)


def joined(first: Arguments, second: Arguments) -> Arguments:
    """Return the arguments of both batches in a row.

    Args:
        first: Of n inputs.
        second: Of n2 inputs, with the same places and shapes.

    Raises:
        ValueError: If places or shapes differ.
    """
    shapes = [
        {key: tuple(each.values[key].shape[1:]) for key in each.batched}
        for each in (first, second)
    ]
    if shapes[0] != shapes[1]:
        do = "give both the same arguments, padded to one length"
        raise ValueError(refusal(f"other like inputs, {shapes[0]}", f"{shapes[1]}", do))
    both = {
        key: torch.cat([first.values[key], second.values[key]]) for key in shapes[0]
    }
    return replace(first, values={**first.values, **both})


# torch asks for a subclass here.
class Indexed(nn.Module):
    """A model as a map of one tensor: the indices of inputs that it holds."""

    def __init__(self, model: nn.Module, arguments: Arguments, pick: Pick) -> None:
        super().__init__()
        self.model = model
        self.arguments = arguments
        self.pick = pick
        self.training = model.training

    def forward(self, index: Tensor) -> Tensor:
        """Return the outputs of some inputs, ``(c, m)``; ``index`` is ``(c,)``."""
        return self.pick(self.arguments.at(index).call(self.model))
