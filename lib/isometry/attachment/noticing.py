"""Noticing what a training loop does: backward passes, steps, changes of the model."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.hooks import Outermost
from isometry.core.messages import refusal


class Steps:
    """Notices whether an optimiser has taken a step since it was last asked.

    A GradScaler leaves steps out: by not calling the optimiser, or, where its kernels
    are fused, by telling it so.

    Args:
        optimizer: Any of torch's.
        parameters: Of the model, those that are trained.
        before: Called without autograd between each backward pass and the step, unless
            the step is left out.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Iterable[nn.Parameter],
        before: Callable[[], None] | None,
    ) -> None:
        self._parameters = list(parameters)
        self._before, self._nested = before, Outermost()
        self._called = self._left_out = self._passed = False
        self._handles: list[Any] = [optimizer.register_step_post_hook(self._after)]
        if before is not None:
            self._handles.append(optimizer.register_step_pre_hook(self._first))
        self._listening = {
            id(p): p.register_post_accumulate_grad_hook(self._listen)
            for p in self._parameters
        }

    def _listen(self, parameter: Tensor) -> None:
        """Note a backward pass; one parameter that has a gradient is enough."""
        self._passed = True
        if len(self._listening) > 1:
            for key in [k for k in self._listening if k != id(parameter)]:
                self._listening.pop(key).remove()

    def _first(self, optimizer: Any, args: Any, kwargs: Any) -> Any:
        """Let the method act before a step, or after each evaluation of a closure."""
        if not self._nested.enter(optimizer):
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._act(optimizer)
            return None

        def evaluated() -> Any:
            loss = closure()
            self._act(optimizer)
            return loss

        if len(args) > 1:
            return (args[0], evaluated, *args[2:]), kwargs
        return args, {**kwargs, "closure": evaluated}

    @torch.no_grad()
    def _act(self, optimizer: Any) -> None:
        """Act on gradients that are those of the loss, not of the scaled loss."""
        if _left_out(optimizer):
            return
        scale = getattr(optimizer, "grad_scale", None)
        if scale is not None:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(scale.to(parameter.grad.device))
            optimizer.grad_scale = None
        self._before()  # type: ignore[misc]

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Note a step."""
        if self._nested.leave():
            self._called, self._left_out = True, _left_out(optimizer)

    def taken(self) -> bool:
        """Return whether a step was taken since the last question, or was left out.

        Raises:
            ValueError: If there was no backward pass, or no step.
        """
        called, left_out, passed = self._called, self._left_out, self._passed
        self._called = self._left_out = self._passed = False
        self._nested.clear()
        if called and passed:
            return not left_out
        graded = [p.grad for p in self._parameters if p.grad is not None]
        if not passed and not (called and graded):
            needed = "loss.backward() and optimizer.step() before plastic.step()"
            found = "no backward pass since the last one"
            raise ValueError(refusal(needed, found, "call them in this order"))
        if called:
            return not left_out
        if not graded or not all(bool(g.isfinite().all()) for g in graded):
            return False  # a GradScaler's doing, the gradients perhaps gone by now
        if not any(bool(g.any()) for g in graded):
            return False
        needed = "optimizer.step() before plastic.step()"
        found = "gradients that no step has used"
        raise ValueError(refusal(needed, found, "call the optimiser first"))

    def close(self) -> None:
        """Take the hooks off the optimiser and the parameters."""
        for handle in (*self._handles, *self._listening.values()):
            handle.remove()


def _left_out(optimizer: Any) -> bool:
    """Return whether a GradScaler tells the optimiser to leave this step out."""
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf)


class Unchanged:
    """Notices whether a model's modules and parameters are still those of before.

    Args:
        model: The network.
    """

    def __init__(self, model: nn.Module) -> None:
        self._links: list[tuple[dict[str, Any], str, Any, str]] = []
        self._memory: list[tuple[nn.Parameter, int, str]] = []
        for path, module in model.named_modules():
            for key, child in module._modules.items():
                self._links.append((module._modules, key, child, f"{path}.{key}"))
            for key, parameter in module._parameters.items():
                name = f"{path}.{key}"
                self._links.append((module._parameters, key, parameter, name))
                if parameter is not None:
                    self._memory.append((parameter, parameter.data_ptr(), name))

    def check(self) -> None:
        """Refuse a model that was changed.

        Raises:
            ValueError: Names what is another one, or has moved.
        """
        for where, key, one, name in self._links:
            if where.get(key) is not one:
                self._refuse(f"another {name.lstrip('.')!r}")
        for parameter, pointer, name in self._memory:
            if parameter.data_ptr() != pointer:
                self._refuse(f"{name.lstrip('.')!r} in other memory")

    def _refuse(self, found: str) -> None:
        needed = "the model as it was attached"
        do = "change or move the model first, then attach; detach() before"
        raise ValueError(refusal(needed, found, do))
