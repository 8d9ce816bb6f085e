"""An optimiser's step without what it asks itself before it calls its kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], None] | None:
    """Return a fused Adam's or AdamW's, or SGD's step without what surrounds it.

    The state stays the optimiser's own, changed in place as by ``optimizer.step()``.
    Of its groups, only the learning rates may change meanwhile; gradients keep their
    places.

    Args:
        optimizer: Has taken a step, so that its state is there.

    Returns:
        The step, to be called without autograd, or None if the optimiser is another
        one, has hooks, a mode of its own, or parameters without gradients; if an Adam
        is not fused; or if an SGD is.

    Source: ours; ``torch.optim.adam`` and ``torch.optim.sgd``.
    """
    if type(optimizer) is torch.optim.SGD:
        return None if _hooked(optimizer) else _bare_sgd_step(optimizer)
    calls = fused_calls(optimizer)
    if calls is None:
        return None

    def step() -> None:
        for call in calls:
            torch._foreach_add_(call.steps, 1)
            call(call.parameters, call.gradients, call.means, call.squares, call.steps)

    return step


@dataclass(frozen=True, kw_only=True)
class FusedCall:
    """A group of a fused Adam or AdamW: what its kernel reads and changes.

    Attributes:
        kernel: Torch's own, of this optimiser.
        parameters: Those of the group.
        gradients: Their gradients.
        means: Adam's first moments.
        squares: Its second moments.
        steps: How many steps each parameter has taken.
        keywords: The group's constants.
        group: Where its learning rate stands.
    """

    kernel: Callable[..., None]
    parameters: list[Tensor]
    gradients: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    keywords: dict[str, float]
    group: dict[str, Any]

    def __call__(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        means: list[Tensor],
        squares: list[Tensor],
        steps: list[Tensor],
    ) -> None:
        """Update parameters, the group's own or parts of them, with its constants.

        Args:
            parameters: Are changed.
            gradients: Of the parameters' shapes, as are the next two.
            means: Are changed.
            squares: Are changed.
            steps: With this one.
        """
        self.kernel(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            **self.keywords,
            lr=self.group["lr"],
            amsgrad=False,
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )


def fused_calls(optimizer: torch.optim.Optimizer) -> list[FusedCall] | None:
    """Return what a fused Adam's or AdamW's step calls, one call a group.

    Args:
        optimizer: Has taken a step; see :func:`bare_step`, also for when it is None.
    """
    plain = type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)
    if not plain or _hooked(optimizer):
        return None
    calls = []
    for group in optimizer.param_groups:
        modes = ("amsgrad", "maximize", "capturable", "differentiable")
        if not group["fused"] or any(group[mode] for mode in modes):
            return None
        states = [optimizer.state.get(p, {}) for p in group["params"]]
        if isinstance(group["lr"], Tensor) or not all("step" in s for s in states):
            return None
        gradients = [p.grad for p in group["params"]]
        if any(gradient is None for gradient in gradients):
            return None
        # A key of newer versions, in which AdamW is an Adam with this set.
        by_class = isinstance(optimizer, torch.optim.AdamW)
        decoupled = group.get("decoupled_weight_decay", by_class)
        call = FusedCall(
            kernel=torch._fused_adamw_ if decoupled else torch._fused_adam_,
            parameters=group["params"],
            gradients=gradients,
            means=[s["exp_avg"] for s in states],
            squares=[s["exp_avg_sq"] for s in states],
            steps=[s["step"] for s in states],
            keywords={key: group[key] for key in ("weight_decay", "eps")}
            | dict(zip(("beta1", "beta2"), group["betas"], strict=True)),
            group=group,
        )
        calls.append(call)
    return calls


def _hooked(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether something is called before or after the optimiser's step."""
    before, after = "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"
    return bool(getattr(optimizer, before) or getattr(optimizer, after))


def _bare_sgd_step(optimizer: torch.optim.SGD) -> Callable[[], None] | None:
    """Return SGD's step, with momentum or without, see :func:`bare_step`.

    Its products and sums are those of ``torch.optim.SGD``, one kernel for each, in the
    same order: the same bits.
    """
    calls = []
    for group in optimizer.param_groups:
        if not _is_bare_sgd(group):
            return None
        gradients = [p.grad for p in group["params"]]
        moving = gradients
        if group["momentum"]:
            states = [optimizer.state.get(p, {}) for p in group["params"]]
            moving = [state.get("momentum_buffer") for state in states]
        if any(tensor is None for tensor in (*gradients, *moving)):
            return None
        calls.append((group, gradients, moving))

    def step() -> None:
        for group, gradients, moving in calls:
            if group["momentum"]:
                torch._foreach_mul_(moving, group["momentum"])
                torch._foreach_add_(moving, gradients)
            torch._foreach_add_(group["params"], moving, alpha=-group["lr"])

    return step


def _is_bare_sgd(group: dict[str, Any]) -> bool:
    """Return whether a group of an SGD has no mode but, perhaps, a momentum."""
    modes = ("fused", "nesterov", "maximize", "differentiable")
    other = any(group[key] for key in (*modes, "weight_decay", "dampening"))
    return not other and not isinstance(group["lr"], Tensor)


def descent_rate(optimizer: torch.optim.Optimizer) -> float | None:
    """Return the learning rate of an SGD whose whole step is ``W <- W - lr g``.

    Args:
        optimizer: Of any kind.

    Returns:
        The rate, or None if the optimiser is another one, has hooks, momentum, a mode
        of its own, or several groups.
    """
    if type(optimizer) is not torch.optim.SGD or len(optimizer.param_groups) > 1:
        return None
    group = optimizer.param_groups[0]
    if _hooked(optimizer) or group["momentum"] or not _is_bare_sgd(group):
        return None
    return float(group["lr"])
