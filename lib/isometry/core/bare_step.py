"""A fused optimiser's step without what it asks itself before it calls its kernel."""

from collections.abc import Callable

import torch
from torch import Tensor


def bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], None] | None:
    """Return a fused Adam's or AdamW's step without what surrounds its kernel.

    The state stays the optimiser's own, changed in place as by ``optimizer.step()``.
    Of its groups, only the learning rates may change meanwhile; gradients keep their
    places.

    Args:
        optimizer: Has taken a step, so that its state is there.

    Returns:
        The step, or None if the optimiser is another one, not fused, has hooks, a mode
        of its own, or parameters without gradients.

    Source: ours; ``torch.optim.adam``.
    """
    hooks = (
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
    )
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW) or any(hooks):
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
