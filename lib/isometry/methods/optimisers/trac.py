"""TRAC: Adam's path from where it began, scaled by tuners without a learning rate."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor

from isometry.core.hooks import loss_of, unhooked
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, adam_keywords, register
from isometry.methods.structure import per_member
from isometry.methods.training import Training

DISCOUNTS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)  # of the authors' code
LEAST = 1e-8  # added to denominators, and where a tuner's sum begins
NODES = 64  # of the quadrature: enough up to erfi(26), which is past float32


@dataclass(frozen=True, kw_only=True)
class _TRACSettings(AdamSettings):
    """Settings of TRAC on Adam.

    Source: Muppidi, Zhang & Yang 2024.
    """

    trac_scale: float = setting(1e-8, "s_0: the scale that a tuner begins with, > 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        scale = self.trac_scale
        require(scale > 0, "trac_scale", "trac_scale > 0", scale)


@cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Return nodes and weights of Gauss and Legendre on [0, 1], float64.

    Source: Golub & Welsch 1969: eigenvalues of the recurrence's matrix.
    """
    k = torch.arange(1, NODES, dtype=torch.float64)
    off = k / (4 * k.square() - 1).sqrt()
    nodes, vectors = torch.linalg.eigh(off.diag(1) + off.diag(-1))
    return (nodes + 1) / 2, vectors[0].square()


def erfi(x: Tensor) -> Tensor:
    """Return ``2 / sqrt(pi)`` times the integral of ``exp(t^2)`` from 0 to x.

    torch has no such function.

    Args:
        x: Of any shape, floating-point.

    Returns:
        The same shape; infinite where it is too large for the type.

    Source: definition, by quadrature.

    Example:
        >>> erfi(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 1.6504])
    """
    nodes, weights = (part.to(x) for part in _quadrature())
    square = x.square().unsqueeze(-1)
    # exp(x^2) is taken out, so that no node alone is too large.
    inner = (torch.exp(square * (nodes.square() - 1)) * weights).sum(-1)
    return 2 / sqrt(pi) * x * x.square().exp() * inner


_ADAM_STEP = unhooked(torch.optim.Adam.step)
_UNIT = erfi(torch.tensor(1 / sqrt(2), dtype=torch.float64)).item()


class TRAC(torch.optim.Adam):
    """TRAC over stacks, every member by itself: Adam's path times a scale S >= 0.

    The parameters are ``ref + S path``: ref, where they were at the first step, and
    path, the sum of Adam's updates. With g the gradient and S of the step before, ``h =
    <g, (theta - ref) / (S + eps)>`` over all parameters of a member. Each of six tuners
    has ``V <- beta^2 V + h^2``, ``sigma <- beta sigma - h`` and ``s = s_0 erfi(sigma /
    (sqrt(2 V) + eps)) / erfi(1 / sqrt 2)``, and S is the sum of the s, at least zero.
    At S = 0 the parameters are those at the start, and the path is forgotten.

    What else moves parameters is taken for Adam's doing. A unit that is made new begins
    with its new weights as the reference.

    Args:
        params: Parameters with a leading member dimension.
        lr: Learning rate of Adam, > 0.
        scale: s_0, > 0.
        betas: Adam's.
        eps: Adam's.

    Source: Muppidi, Zhang & Yang, NeurIPS 2024, arXiv 2405.16642; trac-optimizer 0.0.2.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        scale: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, fused=True)
        for group in self.param_groups:
            group["trac_scale"] = scale

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = loss_of(closure)
        groups = self.param_groups
        own = [p for g in groups for p in g["params"] if p.grad is not None]
        if not own:
            return loss
        before = [parameter.clone() for parameter in own]
        _ADAM_STEP(self)
        for parameter, old in zip(own, before, strict=True):
            self.state[parameter].setdefault("reference", old.clone())
        tuner = self._tuner(own[0])
        old_scale = tuner["trac_s"].sum(-1).flatten() + LEAST
        paths = [
            (old - self.state[p]["reference"]) / per_member(old_scale, old)
            for p, old in zip(own, before, strict=True)
        ]
        slope = tuner["trac_s"].new_zeros(len(own[0]))
        for path, parameter in zip(paths, own, strict=True):
            slope += (path * parameter.grad).flatten(1).sum(1)
        scale = _tuned_(tuner, slope, groups[0]["trac_scale"]).clamp(min=0)
        for parameter, old, path in zip(own, before, paths, strict=True):
            path.add_(parameter - old).mul_(per_member(scale, old))
            parameter.copy_(path.add_(self.state[parameter]["reference"]))
        return loss

    def _tuner(self, first: Tensor) -> dict[str, Tensor]:
        """Return what the tuners remember, ``(members, 1, 1, tuners)`` each.

        It lies with the first parameter, in a shape that no parameter has.
        """
        state = self.state[first]
        if "trac_s" not in state:
            some = first.new_zeros(len(first), 1, 1, len(DISCOUNTS))
            state["trac_s"], state["trac_variance"] = some, some.clone()
            state["trac_sigma"] = torch.full_like(some, LEAST)
        return state


def _tuned_(tuner: dict[str, Tensor], slope: Tensor, start: float) -> Tensor:
    """Move the tuners by a step's h, and return the sum of their s, ``(members,)``."""
    variance, sigma = tuner["trac_variance"], tuner["trac_sigma"]
    betas = sigma.new_tensor(DISCOUNTS)
    slope = per_member(slope, sigma)
    variance.mul_(betas.square()).add_(slope.square())
    sigma.mul_(betas).sub_(slope)
    ratio = sigma / (sqrt(2) * variance.sqrt() + LEAST)
    tuner["trac_s"].copy_(start / _UNIT * erfi(ratio))
    return tuner["trac_s"].sum(-1).flatten()


def _trac(training: Training) -> torch.optim.Optimizer:
    """Return TRAC over the stack.

    Source: Muppidi, Zhang & Yang, NeurIPS 2024.
    """
    settings: _TRACSettings = training.settings
    return TRAC(
        training.parameters.values(),
        training.lr,
        scale=settings.trac_scale,
        **adam_keywords(settings),
    )


METHOD = register(
    Method(
        name="trac",
        summary="Adam's path from where it began, scaled without a learning rate",
        source="Muppidi, Zhang & Yang, NeurIPS 2024, arXiv 2405.16642",
        settings=_TRACSettings(),
        search={"trac_scale": (1e-8, 1e-6, 1e-4)},
        optimizer=_trac,
    )
)
