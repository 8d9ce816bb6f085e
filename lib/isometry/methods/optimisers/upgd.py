"""UPGD: gradient descent with noise, each weight protected by its utility."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isometry.core.hooks import loss_of
from isometry.core.settings import require, setting
from isometry.methods.method import Method, register
from isometry.methods.optimisers.noise import normal
from isometry.methods.structure import per_member
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _UPGDSettings:
    """Settings of utility-based perturbed gradient descent.

    Source: Elsayed & Mahmood 2024; defaults of their code.
    """

    upgd_beta: float = setting(0.999, "Decay of the running utility, in [0, 1).")
    upgd_noise: float = setting(1e-3, "Standard deviation of the noise, >= 0.")
    upgd_weight_decay: float = setting(1e-3, "Decoupled decay a unit of lr, >= 0.")

    def __post_init__(self) -> None:
        beta, noise, decay = self.upgd_beta, self.upgd_noise, self.upgd_weight_decay
        require(0 <= beta < 1, "upgd_beta", "0 <= upgd_beta < 1", beta)
        require(noise >= 0, "upgd_noise", "upgd_noise >= 0", noise)
        needed = "upgd_weight_decay >= 0"
        require(decay >= 0, "upgd_weight_decay", needed, decay)


def _open(utility: Tensor, largest: Tensor) -> Tensor:
    """Return ``2 (1 - sigmoid(u / max u))`` of each weight, in (0, 2).

    A weight without utility moves as in plain gradient descent, one of the largest by
    half of that. Written with exp: torch.sigmoid rounds the last entries of a tensor,
    which do not fill a vector register, another way, so that a member would depend on
    how many others there are.
    """
    scaled = utility / per_member(largest, utility)
    return 2 / (1 + scaled.exp())


class UPGD(torch.optim.Optimizer):
    """Utility-based perturbed gradient descent over stacks, every member by itself.

    ``u <- beta u - (1 - beta) g theta``, and with s = sigmoid(u / max u), the maximum
    over all weights of the member, ``theta <- (1 - lr decay) theta - 2 lr (g + sigma
    xi) (1 - s)`` with xi standard normal. A bias correction of u would cancel. Groups
    with ``gated=False`` take plain gradient descent.

    Where no utility is above zero the public code divides by a maximum that is not
    positive, which protects the least useful weights, or by zero; here none of that
    member's weights is protected then. In the paper's text there is no factor 2; with
    it, as in the authors' code, a weight without utility has the step of gradient
    descent.

    Args:
        groups: Groups of parameters with a leading member dimension.
        lr: Learning rate, > 0.
        draws: ``(step) -> one generator a member`` for the noise of a step.
        step: Steps taken before, which name the draws.
        beta: Decay of the running utility.
        noise: sigma.
        weight_decay: Decoupled decay a unit of lr.

    Source: Elsayed & Mahmood, ICLR 2024, first-order utility with global scaling;
        mohmdelsayed/upgd.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        *,
        draws: Callable[[int], list[torch.Generator]],
        step: int = 0,
        beta: float = 0.999,
        noise: float = 1e-3,
        weight_decay: float = 1e-3,
    ) -> None:
        defaults = {"lr": lr, "beta": beta, "noise": noise}
        defaults |= {"weight_decay": weight_decay, "gated": True, "taken": step}
        super().__init__(groups, defaults)
        self._draws = draws

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
            own = [p for p in group["params"] if p.grad is not None]
            if group["gated"]:
                self._gated_step(own, group)
            else:
                for parameter in own:
                    parameter.sub_(parameter.grad, alpha=group["lr"])
        return loss

    def _gated_step(self, own: list[Tensor], group: dict[str, Any]) -> None:
        """Move the parameters of a group whose utilities count."""
        utilities = [self._observed(parameter, group["beta"]) for parameter in own]
        largest = torch.stack([u.flatten(1).amax(1) for u in utilities]).amax(0)
        largest = largest.where(~(largest <= 0), torch.inf)  # not a number stays so
        noise = normal(own, self._draws(group["taken"]))
        group["taken"] += 1
        for parameter, utility, drawn in zip(own, utilities, noise, strict=True):
            moved = parameter.grad.add(drawn, alpha=group["noise"])  # type: ignore[union-attr]
            moved.mul_(_open(utility, largest))
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.sub_(moved, alpha=group["lr"])

    def _observed(self, parameter: Tensor, beta: float) -> Tensor:
        """Return a parameter's running utility after this step's gradient."""
        state = self.state[parameter]
        if not state:
            state["utility"] = torch.zeros_like(parameter)
        product = parameter * parameter.grad  # type: ignore[operator]
        return state["utility"].mul_(beta).sub_(product, alpha=1 - beta)


def _upgd(training: Training) -> torch.optim.Optimizer:
    """Return UPGD over the stack; what methods leave alone takes gradient descent.

    Source: Elsayed & Mahmood, ICLR 2024.
    """
    settings: _UPGDSettings = training.settings
    spared = training.structure.named("spared")
    gated = [p for name, p in training.parameters.items() if name not in spared]
    groups: list[dict[str, Any]] = [{"params": gated}]
    if spared:
        plain = [training.parameters[name] for name in spared]
        groups.append({"params": plain, "gated": False})
    return UPGD(
        groups,
        training.lr,
        draws=lambda step: training.generators("upgd", step),
        step=training.step,
        beta=settings.upgd_beta,
        noise=settings.upgd_noise,
        weight_decay=settings.upgd_weight_decay,
    )


METHOD = register(
    Method(
        name="upgd",
        summary="Gradient descent with noise, useful weights protected from both",
        source="Elsayed & Mahmood, ICLR 2024",
        settings=_UPGDSettings(),
        search={
            "upgd_beta": (0.999, 0.9999),
            "upgd_noise": (1e-4, 1e-3, 1e-2, 1e-1),
            "upgd_weight_decay": (0.0, 1e-3, 1e-2, 1e-1),
        },
        optimizer=_upgd,
        trial_lr=0.1,
    )
)
