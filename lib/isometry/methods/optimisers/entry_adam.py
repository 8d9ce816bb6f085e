"""Adam with a count of steps for every entry, so that a new unit starts anew."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from isometry.core.hooks import loss_of
from isometry.methods.method import adam_keywords
from isometry.methods.training import Training


def _entry_adam_step_(
    parameter: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Take one step of Adam with bias corrections of each entry's own.

    A correction ``1 - beta^t`` is the moment of a gradient of ones, and is kept as
    such: an entry whose state is set to zero starts again at t = 0.

    Source: Kingma & Ba 2015; entry by entry: Dohare et al. 2024 (their AdamGnT).
    """
    beta1, beta2 = betas
    state["exp_avg"].lerp_(gradient, 1 - beta1)
    state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    state["corrections"].mul_(beta1).add_(1 - beta1)
    state["corrections_sq"].mul_(beta2).add_(1 - beta2)
    denominator = (state["exp_avg_sq"] / state["corrections_sq"]).sqrt_().add_(eps)
    denominator.mul_(state["corrections"])
    parameter.addcdiv_(state["exp_avg"], denominator, value=-lr)


class _EntryAdam(torch.optim.Optimizer):
    """Adam in which every entry of a parameter counts its own steps.

    Where no state is ever set to zero it is ``torch.optim.Adam``, up to rounding.

    Args:
        params: Parameters or groups.
        lr: Learning rate, >= 0.
        betas: Decays of the two moments, each in [0, 1).
        eps: Added to the denominator, > 0.

    Source: Dohare et al., Nature 2024 (their AdamGnT).
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = loss_of(closure)
        for group in self.param_groups:
            keywords = {key: group[key] for key in ("lr", "betas", "eps")}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    for key in MEMORY:
                        state[key] = torch.zeros_like(parameter)
                _entry_adam_step_(parameter, parameter.grad, state, **keywords)
        return loss


MEMORY = ("exp_avg", "exp_avg_sq", "corrections", "corrections_sq")


def entry_adam(training: Training) -> torch.optim.Optimizer:
    """Return :class:`_EntryAdam` over the stack.

    Args:
        training: Its settings have Adam's own.

    Source: Dohare et al., Nature 2024.
    """
    keywords = adam_keywords(training.settings)
    return _EntryAdam(training.parameters.values(), lr=training.lr, **keywords)
