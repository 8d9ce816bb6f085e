"""Optimisers: a method's own over views of a model, and AdamO's step beside others."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from isometry.adamo import AdamO
from isometry.adamo.decoupled import step_hooks
from isometry.adamo.pull import TABLE
from isometry.attachment.stack import COUNTERS, ModelStack


class IsometryStep:
    """The isometry step of a method on a user's optimiser, by hooks that come off.

    Args:
        pull: AdamO over the stack's views, as the method makes it. It says what is
            pulled and how far, and takes no step.
        optimizer: The user's; each weight follows the learning rate of its group.
        stack: The model.
    """

    def __init__(
        self, pull: AdamO, optimizer: torch.optim.Optimizer, stack: ModelStack
    ) -> None:
        self._pull, self._optimizer = pull, optimizer
        owners = {id(p): stack.owners[name] for name, p in stack.parameters.items()}
        whole = [group for group in pull.param_groups if group["isometry_strength"] > 0]
        pull.param_groups.clear()
        self._followed: list[tuple[dict[str, Any], dict[str, Any]]] = []
        # A stack of one is moved as the matrix that it is, which a CPU does faster.
        self._bare = {id(p): p.squeeze(0) for group in whole for p in group["params"]}
        names = {id(p): name for name, p in stack.parameters.items()}
        self._stack = stack
        self._named = [(names[key], bare) for key, bare in self._bare.items()]
        for followed in optimizer.param_groups:
            own = {id(p) for p in followed["params"]}
            for group in whole:
                pairs = zip(group["params"], group[TABLE], strict=True)
                kept = [(p, row) for p, row in pairs if id(owners[id(p)]) in own]
                part: dict[str, Any] = {TABLE: [row for _, row in kept]}
                part["params"] = [self._bare[id(p)] for p, _ in kept]
                part["isometry_dims"] = 0
                pull.param_groups.append({**group, **part})
                self._followed.append((pull.param_groups[-1], followed))
        before, after = step_hooks(pull, pull.defaults)
        self._handles = [
            optimizer.register_step_pre_hook(self._follow),
            optimizer.register_step_pre_hook(before),
            optimizer.register_step_post_hook(after),
        ]

    def bind_gradients_(self) -> None:
        """Let the weights that are pulled know whether they have gradients."""
        for name, bare in self._named:
            view, gradient = self._stack.views[name], self._stack.owners[name].grad
            bare.grad = None if gradient is None else view.of(gradient).squeeze(0)

    def _follow(self, *_: Any) -> None:
        """Take over learning rates and what a GradScaler has said."""
        for group, followed in self._followed:
            group["lr"] = followed.get("lr", group["lr"])
        self._pull.found_inf = getattr(self._optimizer, "found_inf", None)  # type: ignore[attr-defined]

    def state_dict(self) -> list[list[Any]]:
        """Return the counters of each group."""
        groups = self._pull.param_groups
        return [[group[key] for key in COUNTERS] for group in groups]

    def load_state_dict(self, state: list[list[Any]]) -> None:
        """Go on from these counters.

        Args:
            state: From :meth:`state_dict`.
        """
        for group, values in zip(self._pull.param_groups, state, strict=True):
            group.update(zip(COUNTERS, values, strict=True))

    def clear(self) -> None:
        """Count from the start."""
        for group in self._pull.param_groups:
            group.update(COUNTERS)

    def close(self) -> None:
        """Take the hooks off the optimiser."""
        for handle in self._handles:
            handle.remove()


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
