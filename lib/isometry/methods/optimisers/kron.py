"""PSGD Kron: momentum whitened by a Kronecker-factored preconditioner."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import torch
from torch import Tensor

from isometry.core.hooks import loss_of
from isometry.core.matrices import as_matrix
from isometry.core.settings import require, setting
from isometry.methods.method import Method, register
from isometry.methods.optimisers.noise import normal
from isometry.methods.structure import per_member
from isometry.methods.training import Training

MOST, FALL, FLAT = 1.0, 1e-3, 500  # of the schedule of the factors' updates
LARGEST_RMS = 1.1  # of an update's entries
DAMPING = sqrt(torch.finfo(torch.float32).eps)  # of noise, in mean entries
FACTORS = ("rows", "columns")
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, kw_only=True)
class _KronSettings:
    """Settings of PSGD Kron; the defaults are those of kron-torch 0.3.3.

    Source: Li 2018; Pooladzandi & Li 2024.
    """

    kron_momentum: float = setting(0.9, "Decay of the momentum, in [0, 1).")
    kron_rate: float = setting(0.1, "Learning rate of the factors, in (0, 1].")
    kron_least: float = setting(
        0.03, "Least share of steps that update the factors, in (0, 1]."
    )
    kron_largest: int = setting(
        8192, "Longest side with a triangular factor, >= 0; others have a diagonal."
    )

    def __post_init__(self) -> None:
        momentum, largest = self.kron_momentum, self.kron_largest
        needed = "0 <= kron_momentum < 1"
        require(0 <= momentum < 1, "kron_momentum", needed, momentum)
        for key in ("kron_rate", "kron_least"):
            value = getattr(self, key)
            require(0 < value <= 1, key, f"0 < {key} <= 1", value)
        require(largest >= 0, "kron_largest", "kron_largest >= 0", largest)


def _lower_bound(matrix: Tensor, largest: Tensor) -> Tensor:
    """Return a lower bound on each symmetric matrix's spectral norm, ``(members,)``.

    One step of power iteration from the longest column.

    Args:
        matrix: ``(members, n, n)``, not zero.
        largest: ``(members,)``, its largest entry.
    """
    scaled = matrix / per_member(largest, matrix)
    place = scaled.square().sum(1).argmax(1)
    column = scaled.gather(2, place.view(-1, 1, 1).expand(-1, scaled.shape[1], 1))
    # Not as products of matrices, which round by how many members there are.
    column = (scaled * column).sum(1)
    column = column / torch.linalg.vector_norm(column, dim=1, keepdim=True)
    image = (scaled * column.unsqueeze(1)).sum(2)
    return torch.linalg.vector_norm(image, dim=1) * largest


def _divided(matrix: Tensor, factor: Tensor, side: int) -> Tensor:
    """Return ``Q^-T M`` for the rows' factor (side 0), ``M Q^-1`` for the columns'."""
    if factor.ndim == 2:
        return matrix / factor.unsqueeze(2 - side)
    if side:
        return torch.linalg.solve_triangular(factor, matrix, upper=True, left=False)
    return torch.linalg.solve_triangular(factor.mT, matrix, upper=False)


def _times(matrix: Tensor, factor: Tensor, side: int) -> Tensor:
    """Return ``Q M`` for the rows' factor, ``M Q^T`` for the columns'."""
    if factor.ndim == 2:
        return matrix * factor.unsqueeze(2 - side)
    return torch.bmm(matrix, factor.mT) if side else torch.bmm(factor, matrix)


def _back(matrix: Tensor, factor: Tensor, side: int) -> Tensor:
    """Return ``Q^T M`` for the rows' factor, ``M Q`` for the columns'."""
    return _times(matrix, factor.mT if factor.ndim > 2 else factor, side)


def _gram(matrix: Tensor, factor: Tensor, side: int) -> Tensor:
    """Return ``M M^T`` or ``M^T M``; of a diagonal factor, only the diagonal."""
    if factor.ndim == 2:
        return matrix.square().sum(2 - side)
    return torch.bmm(matrix.mT, matrix) if side else torch.bmm(matrix, matrix.mT)


def _fit_(factors: list[Tensor], matrix: Tensor, noise: Tensor, rate: float) -> None:
    """Move factors towards those that whiten a matrix, ``(members, out, in)``.

    With ``A = Q_1 M Q_2^T`` and ``B = Q_1^-T V Q_2^-1``, V normal, each upper
    triangular Q moves by ``-rate triu(A A^T - B B^T) Q``, the bracket divided by a
    lower bound on the norm of ``A A^T + B B^T``; for Q_2 by ``A^T A`` and so on.
    """
    seen, spread = matrix, noise
    for side, factor in enumerate(factors):
        seen = _times(seen, factor, side)
        spread = _divided(spread, factor, side)
    for side, factor in enumerate(factors):
        one, other = _gram(seen, factor, side), _gram(spread, factor, side)
        both = one + other
        largest = both.flatten(1).abs().amax(1)
        move = (one - other) * rate
        if factor.ndim == 2:
            factor.sub_(move * factor / per_member(largest.clamp(min=TINY), factor))
            continue
        bound = torch.where(largest > 0, _lower_bound(both, largest), largest)
        move = move.triu() / per_member(bound.clamp(min=TINY), move)
        factor.sub_(torch.bmm(move, factor))


class Kron(torch.optim.Optimizer):
    """PSGD Kron over stacks, every member by itself.

    With g the gradient, ``m <- b m + (1 - b) g`` and G the momentum over ``1 - b^t``,
    the update is ``Q_1^T Q_1 G Q_2^T Q_2``, its root mean square held to 1.1, times
    lr. The factors are fitted, at first at every step and in the end at 3 % of them, so
    that updates are white. A kernel is the matrix ``(out, in * k * k)``. A vector has a
    diagonal factor.

    Two things differ from kron-torch: which sides of a kernel are merged, for which its
    rule is one of signed differences, and that the factors of a weight are not balanced
    against one another now and then, which changes no update but by rounding.

    Args:
        params: Parameters with a leading member dimension.
        lr: Learning rate, > 0.
        draws: ``(step) -> one generator a member`` for the noise of a fit.
        begun: Steps taken before, which name the draws.
        momentum: b, in [0, 1).
        rate: Of the factors.
        least: Least share of steps that fit the factors.
        largest: Longest side with a triangular factor.

    Source: Li 2018, arXiv 1512.04202; Pooladzandi & Li 2024, arXiv 2402.04553;
        kron-torch 0.3.3.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        draws: Callable[[int], list[torch.Generator]],
        begun: int = 0,
        momentum: float = 0.9,
        rate: float = 0.1,
        least: float = 0.03,
        largest: int = 8192,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "rate": rate, "least": least}
        super().__init__(params, defaults | {"largest": largest, "taken": begun})
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
            due = [parameter for parameter in own if self._due(parameter, group)]
            noise = normal(due, self._draws(group["taken"])) if due else []
            group["taken"] += 1
            drawn = {id(p): v for p, v in zip(due, noise, strict=True)}
            for parameter in own:
                self._move_(parameter, group, drawn.get(id(parameter)))
        return loss

    def _due(self, parameter: Tensor, group: dict[str, Any]) -> bool:
        """Count a parameter's step; return whether its factors are to be fitted."""
        state = self.state[parameter]
        if not state:
            state["step"], state["waited"] = torch.zeros(()), torch.zeros(())
            state["momentum_buffer"] = torch.zeros_like(parameter)
            state |= _identities(parameter, group["largest"])
        fall = MOST * exp(-FALL * (float(state["step"]) - FLAT))
        share = min(max(fall, group["least"]), MOST)
        state["step"] += 1
        state["waited"] += 1
        due = float(state["waited"]) >= 1 / share
        if due:
            state["waited"].zero_()
        return due

    def _move_(
        self, parameter: Tensor, group: dict[str, Any], noise: Tensor | None
    ) -> None:
        """Move one stacked parameter; with noise, fit its factors before."""
        state, momentum = self.state[parameter], group["momentum"]
        state["momentum_buffer"].mul_(momentum).add_(parameter.grad, alpha=1 - momentum)
        update = state["momentum_buffer"] / (1 - momentum ** float(state["step"]))
        update = _rows_and_columns(update)
        factors = [_bare(state[key]) for key in FACTORS if key in state]
        if noise is not None:
            noise = noise.reshape(update.shape)
            size = update.flatten(1).abs().mean(1)
            update = update + per_member(DAMPING * size, update) * noise
            _fit_(factors, update, noise, group["rate"])
        for side, factor in enumerate(factors):
            update = _back(_times(update, factor, side), factor, side)
        rms = update.flatten(1).square().mean(1).sqrt()
        kept = (LARGEST_RMS / (rms + 1e-12)).clamp(max=1)
        update = (update * per_member(kept, update)).view_as(parameter)
        parameter.sub_(update, alpha=group["lr"])


def _rows_and_columns(tensor: Tensor) -> Tensor:
    """Return a stacked weight as ``(members, out, in)``; a vector as one column."""
    return as_matrix(tensor, 1) if tensor.ndim > 2 else tensor.unsqueeze(2)


def _identities(parameter: Tensor, largest: int) -> dict[str, Tensor]:
    """Return factors that change nothing: rows', and columns' unless it is a vector.

    Each in a shape that no parameter has: ``(members, 1, n, n)`` or ``(.., 1, 1, n)``.
    """
    sides = _rows_and_columns(parameter).shape[1:]
    found, vector = {}, parameter.ndim == 2
    for key, side in zip(FACTORS, sides[:1] if vector else sides, strict=False):
        if vector or not 1 < side <= largest:
            found[key] = parameter.new_ones(len(parameter), 1, 1, side)
        else:
            found[key] = torch.eye(side).to(parameter).repeat(len(parameter), 1, 1, 1)
    return found


def _bare(factor: Tensor) -> Tensor:
    """Return a factor as ``(members, n, n)``, or ``(members, n)`` if it is diagonal."""
    diagonal = factor.shape[2] == 1
    return factor.view(len(factor), -1) if diagonal else factor.squeeze(1)


def _kron(training: Training) -> torch.optim.Optimizer:
    """Return PSGD Kron over the stack.

    Source: Pooladzandi & Li 2024.
    """
    settings: _KronSettings = training.settings
    return Kron(
        training.parameters.values(),
        training.lr,
        draws=lambda step: training.generators("kron", step),
        begun=training.step,
        momentum=settings.kron_momentum,
        rate=settings.kron_rate,
        least=settings.kron_least,
        largest=settings.kron_largest,
    )


METHOD = register(
    Method(
        name="kron",
        summary="PSGD Kron: momentum whitened by a Kronecker-factored preconditioner",
        source="Pooladzandi & Li 2024, arXiv 2402.04553; kron-torch",
        settings=_KronSettings(),
        search={
            "kron_rate": (0.01, 0.1, 0.3),
            "kron_momentum": (0.9, 0.95, 0.99),
            "kron_largest": (0, 256, 8192),
        },
        optimizer=_kron,
    )
)
