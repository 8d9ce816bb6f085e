"""An optimiser's step without what it asks itself before it calls its kernels."""

from collections.abc import Callable
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
    if _hooked(optimizer):
        return None
    if type(optimizer) is torch.optim.SGD:
        return _bare_sgd_step(optimizer)
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return None
    calls = []
    for group in optimizer.param_groups:
        modes = ("amsgrad", "maximize", "capturable", "differentiable")
        if not group["fused"] or any(group[mode] for mode in modes):
            return None
        states = [optimizer.state.get(p, {}) for p in group["params"]]
        if isinstance(group["lr"], Tensor) or not all("step" in s for s in states):
            return None
        lists = [group["params"], [p.grad for p in group["params"]]]
        lists += [[s[key] for s in states] for key in ("exp_avg", "exp_avg_sq")]
        lists += [[], [s["step"] for s in states]]
        keywords = {key: group[key] for key in ("weight_decay", "eps")}
        keywords["beta1"], keywords["beta2"] = group["betas"]
        if any(gradient is None for gradient in lists[1]):
            return None
        # A key of newer versions, in which AdamW is an Adam with this set.
        by_class = isinstance(optimizer, torch.optim.AdamW)
        decoupled = group.get("decoupled_weight_decay", by_class)
        kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        calls.append((kernel, lists, keywords, group))

    def step() -> None:
        for kernel, lists, keywords, group in calls:
            torch._foreach_add_(lists[-1], 1)
            kernel(
                *lists,
                **keywords,
                lr=group["lr"],
                amsgrad=False,
                maximize=False,
                grad_scale=None,
                found_inf=None,
            )

    return step


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
