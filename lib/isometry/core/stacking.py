"""Stacked parameters: the leading axis of every tensor is the member.

A member is a seed, or a seed under one setting. Members never touch: the loss of a
stack is the sum of its members' losses, so each member's gradient is its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from isometry.core.messages import refusal

Parameters = dict[str, Tensor]  # name -> (members, ...)


def stack(members: Sequence[Parameters]) -> Parameters:
    """Return one stack made of single networks with the same names and shapes.

    Args:
        members: One dictionary a member, name -> ``(...)``.

    Returns:
        name -> ``(members, ...)``.

    Raises:
        ValueError: If there is no member or the names differ.
    """
    if not members:
        raise ValueError(refusal("at least one member", 0, "pass some parameters"))
    names = members[0].keys()
    for other in members[1:]:
        if other.keys() != names:
            raise ValueError(
                refusal(
                    f"the names {sorted(names)}",
                    str(sorted(other.keys())),
                    "stack networks of one architecture",
                )
            )
    return {name: torch.stack([m[name] for m in members]) for name in names}


def member(parameters: Parameters, index: int) -> Parameters:
    """Return one member of a stack as views without the member axis.

    Args:
        parameters: name -> ``(members, ...)``.
        index: Which member.
    """
    return {name: tensor[index] for name, tensor in parameters.items()}


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return :func:`stacked_linear` with what gradients torch gives it."""
    if bias is None:
        return torch.bmm(inputs, weight.mT)
    return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)


class _StackedLinear(torch.autograd.Function):
    """A linear layer for every member, whose weight gradient comes out contiguous.

    Autograd's own gradient of ``weight.mT`` is a transposed view, which is copied into
    place on every step; for the networks of the benchmarks the copy costs as much as
    the product itself.
    """

    @staticmethod
    def forward(
        context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        context.save_for_backward(inputs, weight)
        return _linear(inputs, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = context.saved_tensors
        to_inputs = to_weight = to_bias = None
        if context.needs_input_grad[0]:
            to_inputs = torch.bmm(gradient, weight)
        if context.needs_input_grad[1]:
            to_weight = torch.bmm(gradient.mT, inputs)
        if context.needs_input_grad[2]:
            to_bias = gradient.sum(1)
        return to_inputs, to_weight, to_bias


def stacked_linear(
    inputs: Tensor,  # (members, batch, in)
    weight: Tensor,  # (members, out, in)
    bias: Tensor | None = None,  # (members, out)
) -> Tensor:
    """Return ``inputs @ weight^T + bias`` for every member by itself.

    Args:
        inputs: The batch of each member.
        weight: The weight of each member.
        bias: The bias of each member, or none.

    Returns:
        ``(members, batch, out)``; differentiable once.
    """
    rounded = torch.is_autocast_enabled(inputs.device.type)  # autograd knows how
    if rounded or not torch.is_grad_enabled():
        return _linear(inputs, weight, bias)
    return _StackedLinear.apply(inputs, weight, bias)
