"""An optimiser that a method brings itself, over the views of somebody's model."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from isometry.attachment.stack import ModelStack


class _Followed:
    """Hooks by which the views' gradients follow those of the model's parameters.

    Args:
        handles: Of the hooks.
    """

    def __init__(self, handles: list[Any]) -> None:
        self._handles = handles

    def close(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()


def follow_gradients(optimizer: torch.optim.Optimizer, stack: ModelStack) -> _Followed:
    """Let an optimiser over the views see the gradients that a backward pass leaves.

    They are bound in the backward pass already, so that a GradScaler finds them, and
    ``optimizer.zero_grad()`` clears those of the model.

    Args:
        optimizer: Holds the views; its ``zero_grad`` is changed.
        stack: The model.
    """
    lying: dict[Tensor, list[str]] = {}
    for name, owner in stack.owners.items():
        lying.setdefault(owner, []).append(name)

    def bind(names: list[str], owner: Tensor) -> None:
        for name in names:
            stack.parameters[name].grad = stack.views[name].of(owner.grad)  # type: ignore[arg-type]

    def zero_grad(set_to_none: bool = True) -> None:
        for owner in lying:
            if not set_to_none and owner.grad is not None:
                owner.grad.detach_().zero_()
            else:
                owner.grad = None
        stack.bind_gradients_()

    optimizer.zero_grad = zero_grad  # type: ignore[method-assign]
    return _Followed(
        [
            owner.register_post_accumulate_grad_hook(partial(bind, names))
            for owner, names in lying.items()
        ]
    )
