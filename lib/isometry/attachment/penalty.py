"""A method's penalty as a term of the loss, with its gradient where it is written."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from isometry.attachment.stack import ModelStack
from isometry.methods import Method, State, Training


class _Gradients:
    """Where a method adds its penalty's gradient, as views of one tensor a parameter.

    They are used again in every step: while the weights stay, so does the gradient.

    Args:
        stack: The model.
    """

    def __init__(self, stack: ModelStack) -> None:
        self._stack = stack
        self._views: dict[str, Tensor] = {}
        self._used: list[Tensor] = []
        self.by_parameter: list[Tensor | None] = [None] * len(stack.trained)

    def of(self, name: str) -> Tensor:
        """Return the gradient of a weight or vector.

        Args:
            name: As the structure knows it.
        """
        view = self._views.get(name)
        if view is None:
            index = self._stack.index[name]
            whole = self.by_parameter[index]
            if whole is None:
                whole = torch.zeros_like(self._stack.trained[index])
                self.by_parameter[index] = whole
                self._used.append(whole)
            view = self._views[name] = self._stack.views[name].of(whole)
        return view

    def zero_(self) -> None:
        """Start again."""
        if self._used:
            torch._foreach_zero_(self._used)


class _Written(torch.autograd.Function):
    """One node of autograd, whose gradient the method has written out."""

    @staticmethod
    def forward(
        context: Any,
        method: Method,
        training: Training,
        gradients: _Gradients,
        *own: Tensor,
    ) -> Tensor:
        gradients.zero_()
        method.penalty_gradient_(training)  # type: ignore[misc]
        context.found = gradients.by_parameter
        return method.penalty(training).sum()  # type: ignore[misc]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        found: list[Tensor | None] = context.found
        if factor.device.type != "cpu" or float(factor) != 1:
            found = [None if g is None else g * factor for g in found]
        return None, None, None, *found


def penalty_of(
    method: Method, training: Training, stack: ModelStack
) -> Callable[[Training], Tensor]:
    """Return ``(training) -> penalty``, a scalar that reaches the model's parameters.

    Where the method has written the gradient of its penalty, it is used, and autograd
    has nothing to record. A penalty that moves what it carries along, such as the
    vector of a power iteration, must be computed once only: there autograd finds the
    gradient.

    Args:
        method: With a penalty.
        training: What it sees; its state is not changed.
        stack: The model.
    """
    assert method.penalty is not None
    recorded = method.penalty

    def by_autograd(training: Training) -> Tensor:
        return recorded(replace(training, parameters=stack.differentiable())).sum()

    if method.penalty_gradient_ is None:
        return by_autograd
    tried = deepcopy(training.state)
    with torch.no_grad():
        recorded(replace(training, state=tried))
    if not _same(tried, training.state):
        return by_autograd

    gradients = _Gradients(stack)

    def written(training: Training) -> Tensor:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return by_autograd(training)
        # Frozen for methods; making a new one takes as long as their arithmetic.
        vars(training)["gradient_of"] = gradients.of
        return _Written.apply(method, training, gradients, *stack.trained)

    return written


def _same(one: State, other: State) -> bool:
    """Return whether two states hold the same."""
    return one.keys() == other.keys() and all(
        _same(value, other[name])
        if isinstance(value, dict)
        else torch.equal(value, other[name])
        for name, value in one.items()
    )
