"""Muon: orthogonalised momentum for hidden weights, Adam for all else."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from isometry.core.hooks import loss_of, unhooked
from isometry.core.matrices import as_matrix
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, adam_keywords, register
from isometry.methods.structure import acted_on
from isometry.methods.training import Training

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: the steepest at zero
ITERATIONS = 5
LEAST_NORM = 1e-7


@dataclass(frozen=True, kw_only=True)
class _MuonSettings(AdamSettings):
    """Settings of Muon.

    Source: Jordan et al. 2024.
    """

    muon_lr: float | None = setting(0.02, "Of hidden weights, > 0; none: lr.")
    muon_momentum: float = setting(0.95, "Decay of the momentum, in [0, 1).")

    def __post_init__(self) -> None:
        super().__post_init__()
        rate, momentum = self.muon_lr, self.muon_momentum
        require(rate is None or rate > 0, "muon_lr", "muon_lr > 0", rate)
        needed = "0 <= muon_momentum < 1"
        require(0 <= momentum < 1, "muon_momentum", needed, momentum)


def _orthogonalised(update: Tensor) -> Tensor:
    """Return each matrix with its singular values near one, by five quintic steps.

    Each step maps a singular value s to ``a s + b s^3 + c s^5``. It does not converge:
    what it returns lies between about 0.7 and 1.2, for s from about 0.01 on after the
    division by the Frobenius norm. The published code works in bfloat16; this one, in
    the update's own precision.

    Source: Jordan et al. 2024, KellerJordan/Muon.

    Example:
        >>> _orthogonalised(torch.diag(torch.tensor([1.0, 3.0]))[None]).shape
        torch.Size([1, 2, 2])
    """
    a, b, c = QUINTIC
    tall = update.shape[-2] > update.shape[-1]
    matrix = update.mT if tall else update
    norm = torch.linalg.vector_norm(matrix.flatten(1), dim=1).clamp(min=LEAST_NORM)
    matrix = matrix / norm.view(-1, 1, 1)
    for _ in range(ITERATIONS):
        gram = torch.bmm(matrix, matrix.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        matrix = torch.baddbmm(matrix, polynomial, matrix, beta=a)
    return matrix.mT if tall else matrix


_ADAM_STEP = unhooked(torch.optim.Adam.step)


class Muon(torch.optim.Adam):
    """Muon on the groups with ``muon=True``, Adam on the others, over stacks.

    With g the gradient, ``m <- mu m + (1 - mu) g``, the update is
    ``(1 - mu) g + mu m`` orthogonalised, times ``sqrt(max(1, out / in))`` and
    ``muon_lr``. The update is orthogonalised, not the weight. No weight decay.

    Args:
        groups: Groups of parameters with a leading member dimension; ``muon`` says
            which are hidden weights.
        lr: Learning rate of Adam, and of Muon where ``muon_lr`` is None.
        muon_lr: Learning rate of hidden weights.
        momentum: mu, in [0, 1).
        betas: Adam's.
        eps: Adam's.

    Source: Jordan et al. 2024.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        *,
        muon_lr: float | None = None,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        for group in groups:
            group.setdefault("muon", False)
            group |= {"muon_lr": muon_lr, "momentum": momentum}
        super().__init__(groups, lr=lr, betas=betas, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = loss_of(closure)
        aside = []
        for group in self.param_groups:
            for weight in group["params"] if group["muon"] else ():
                if weight.grad is not None:
                    self._muon_step(weight, group)
                    aside.append((weight, weight.grad))
                    weight.grad = None  # so that Adam leaves it alone
        _ADAM_STEP(self)
        for weight, gradient in aside:
            weight.grad = gradient
        return loss

    def _muon_step(self, weight: Tensor, group: dict[str, Any]) -> None:
        """Move one stacked weight."""
        state, momentum = self.state[weight], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # Adam looks for it in a loaded state
        state["step"] += 1
        buffer = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
        update = as_matrix(weight.grad.lerp(buffer, momentum), 1)  # type: ignore[union-attr]
        _, out, fan_in = update.shape
        rate = group["lr"] if group["muon_lr"] is None else group["muon_lr"]
        step = _orthogonalised(update).reshape(weight.shape)
        weight.sub_(step, alpha=rate * sqrt(max(1, out / fan_in)))


def _muon(training: Training) -> torch.optim.Optimizer:
    """Return Muon over the stack: hidden weights by Muon, all else by Adam.

    A kernel is the matrix (out, in * k * k).

    Source: Jordan et al. 2024.
    """
    settings: _MuonSettings = training.settings
    parameters, roles = training.parameters, training.roles
    acted_on(training.structure.named("hidden"), "muon")
    hidden = [p for name, p in parameters.items() if roles[name] == "hidden"]
    others = [p for name, p in parameters.items() if roles[name] != "hidden"]
    return Muon(
        [{"params": hidden, "muon": True}, {"params": others}],
        training.lr,
        muon_lr=settings.muon_lr,
        momentum=settings.muon_momentum,
        **adam_keywords(settings),
    )


MUON = register(
    Method(
        name="muon",
        summary="Muon: orthogonalised momentum for hidden weights, Adam for the rest",
        source="Jordan et al. 2024, KellerJordan/Muon",
        settings=_MuonSettings(),
        search={"muon_lr": (0.1, 0.02, 4e-3, 8e-4)},
        optimizer=_muon,
    )
)
