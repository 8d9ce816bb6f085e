"""Chapter 5, one matrix at a time: how long a pull takes, and what bends it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
import torch
from torch import Tensor, nn

from isometry.adamo import (
    AdamO,
    amortised_every,
    gram_deviation,
    isometry_penalty,
    relaxation_steps,
    singular_value_flow,
)
from isometry.core.messages import refusal


@dataclass(frozen=True, kw_only=True)
class _KnownSetting:
    """A strength that somebody ran or reported.

    Attributes:
        name: What it is.
        isometry_lr: eta_iso.
        isometry_strength: lambda as the code names it.
        factor: The gradient is ``factor * W (Gram - I)``: 4 for Eq. 16, 2 with a 1/2
            in front of the penalty.
        horizon: Optimiser steps of one task, or None where it is not known.

    Source: public code and readers of the paper; named in chapter 5.
    """

    name: str
    isometry_lr: float
    isometry_strength: float
    factor: int
    horizon: int | None = None

    @property
    def relaxation(self) -> float:
        """Relaxation time in optimiser steps, with the factor taken into account."""
        strength = self.isometry_strength * self.factor / 4
        return relaxation_steps(strength, self.isometry_lr)


KNOWN_SETTINGS = (
    _KnownSetting(
        name="paper, supervised, as reported",
        isometry_lr=1e-4,
        isometry_strength=1e-3,
        factor=4,
    ),
    _KnownSetting(
        name="the same with eta_iso = 1",
        isometry_lr=1.0,
        isometry_strength=1e-3,
        factor=4,
    ),
    _KnownSetting(
        name="PPO code, MinAtar",
        isometry_lr=2.5e-4,
        isometry_strength=0.1,
        factor=2,
        horizon=29_700,
    ),
    _KnownSetting(
        name="PPO code, Octax",
        isometry_lr=5e-4,
        isometry_strength=0.1,
        factor=2,
        horizon=39_200,
    ),
    _KnownSetting(
        name="language-model port, weak",
        isometry_lr=1e-3,
        isometry_strength=1e-3,
        factor=2,
    ),
    _KnownSetting(
        name="language-model port, strong",
        isometry_lr=1e-3,
        isometry_strength=0.1,
        factor=2,
    ),
)


def relaxation_table() -> pd.DataFrame:
    """Return the relaxation time of every known setting.

    Returns:
        One row a setting: setting, eta_iso, lambda, factor, relaxation_steps, and
        task_steps (missing where it is not known).

    Source: :func:`isometry.adamo.relaxation_steps`.
    """
    return pd.DataFrame(
        {
            "setting": [s.name for s in KNOWN_SETTINGS],
            "eta_iso": [s.isometry_lr for s in KNOWN_SETTINGS],
            "lambda": [s.isometry_strength for s in KNOWN_SETTINGS],
            "factor": [s.factor for s in KNOWN_SETTINGS],
            "relaxation_steps": [s.relaxation for s in KNOWN_SETTINGS],
            "task_steps": pd.array([s.horizon for s in KNOWN_SETTINGS], dtype="Int64"),
        }
    )


def relax_alone(
    sigma: Tensor,  # (d,)
    strength: float,
    lr: float,
    steps: int,
    *,
    coupled: bool,
) -> Tensor:
    """Pull one matrix to isometry with no task at all, and record its deviation.

    Args:
        sigma: Singular values at the start; the singular vectors are random.
        strength: lambda.
        lr: Learning rate; eta_iso = lr.
        steps: Optimiser steps.
        coupled: Whether the penalty is the loss of Adam; otherwise AdamO's own step.

    Returns:
        ``||Gram - I||_F`` before each step and after the last, ``(steps + 1,)``.

    Source: arXiv 2606.09762, Sec. 4.4: the motive for decoupling.
    """
    d = len(sigma)
    draw = torch.Generator().manual_seed(0)
    left, right = (nn.init.orthogonal_(torch.empty(d, d), generator=draw) for _ in "lr")
    weight = nn.Parameter((left * sigma.float()) @ right)
    if coupled:
        optimizer: torch.optim.Optimizer = torch.optim.Adam([weight], lr=lr)
    else:
        optimizer = AdamO([weight], lr=lr, isometry_strength=strength)
    deviations = []
    for _ in range(steps):
        deviations.append(gram_deviation(weight.detach()))
        optimizer.zero_grad()
        penalty = strength * isometry_penalty(weight)
        (penalty if coupled else 0 * penalty).backward()
        optimizer.step()
    deviations.append(gram_deviation(weight.detach()))
    return torch.stack(deviations)


def ends_of_pull(
    start: float, strength: float, lr: float, every: int | str, periods: int
) -> float:
    """Return where a singular value ends after some periods of AdamO's pull alone.

    Args:
        start: Singular value at the start, > 0.
        strength: lambda.
        lr: eta_iso.
        every: AdamO's ``isometry_every``.
        periods: How many periods of :func:`isometry.adamo.amortised_every` to take.

    Returns:
        The singular value, in float64.
    """
    weight = nn.Parameter(torch.full((1, 1), start, dtype=torch.float64))
    weight.grad = torch.zeros_like(weight)
    optimizer = AdamO(
        [weight],
        lr=lr,
        isometry_strength=strength,
        isometry_every=every,
    )
    for _ in range(periods * amortised_every(strength, lr)):
        optimizer.step()
    return float(weight.detach())


def flipped_share(rate: float, largest: float, starts: int = 2001) -> float:
    """Return which share of the starting values the explicit step takes to minus one.

    Args:
        rate: eta_iso * lambda, below ``max_stable_rate(largest)``.
        largest: Singular values start evenly spread in (0, largest].
        starts: How many.

    Returns:
        From 0 to 1.

    Example:
        >>> flipped_share(1 / 12, 2.0)
        0.0
    """
    sigma = torch.linspace(0, largest, starts + 1, dtype=torch.float64)[1:]
    for _ in range(math.ceil(20 / rate)):
        sigma = sigma - 4 * rate * sigma * (sigma.square() - 1)
    return float((sigma < 0).double().mean())


def flow_deviation(sigma: Tensor, strength: float, lr: float, steps: int) -> Tensor:
    """Return ``||Gram - I||_F`` along the closed-form flow, ``(steps + 1,)``.

    Args:
        sigma: Singular values at the start, ``(d,)``.
        strength: lambda.
        lr: eta_iso.
        steps: Optimiser steps.

    Source: :func:`isometry.adamo.singular_value_flow`.
    """
    time = torch.arange(steps + 1, dtype=torch.float64).unsqueeze(1)
    moved = singular_value_flow(sigma.double(), lr * strength, time)
    return torch.linalg.vector_norm(moved.square() - 1, dim=1)


def departure(
    measured: Mapping[float, Tensor], expected: Mapping[float, Tensor]
) -> float:
    """Return the largest factor between a measured deviation and the flow's.

    Args:
        measured: strength -> ``(records,)``.
        expected: strength -> ``(records,)``, positive.

    Returns:
        At least 1; over all strengths and times.

    Raises:
        ValueError: If the strengths differ.
    """
    if measured.keys() != expected.keys():
        raise ValueError(
            refusal(str(sorted(expected)), str(sorted(measured)), "use one grid")
        )
    ratios = [(measured[s].double() / expected[s]).log().abs() for s in expected]
    return float(torch.cat(ratios).max().exp())


def stalled_fraction(
    sigma: float, strength: float, lr: float, steps: int, dtype: torch.dtype
) -> float:
    """Return how much of its way a pull covers in a number format, 1 for all of it.

    An orthogonal matrix times ``sigma`` is pulled for some steps; the distance it
    covers is divided by that of the flow.

    Args:
        sigma: Common singular value at the start, not 1.
        strength: lambda.
        lr: eta_iso.
        steps: Optimiser steps.
        dtype: Number format of the weight.
    """
    draw = torch.Generator().manual_seed(0)
    start = nn.init.orthogonal_(
        torch.empty(32, 32, dtype=torch.float64), generator=draw
    )
    weight = nn.Parameter((sigma * start).to(dtype))
    before = weight.detach().double().norm()
    optimizer = AdamO([weight], lr=lr, isometry_strength=strength)
    for _ in range(steps):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    covered = (weight.detach().double().norm() / before - 1) * sigma
    one = torch.tensor(sigma, dtype=torch.float64)
    way = singular_value_flow(one, lr * strength, steps) - sigma
    return float(covered / way)


def state_ratio(sizes: list[int]) -> float:
    """Return AdamO's optimiser state over Adam's, for an MLP after one step.

    Args:
        sizes: Units of every layer, from the inputs to the outputs.
    """

    def state_bytes(kind: type[torch.optim.Optimizer]) -> int:
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        optimizer = kind(nn.Sequential(*layers).parameters())  # type: ignore[call-arg]
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        return sum(
            tensor.numel() * tensor.element_size()
            for state in optimizer.state.values()
            for tensor in state.values()
        )

    return state_bytes(AdamO) / state_bytes(torch.optim.Adam)


def distance_from_adamo(step: Callable[..., None], steps: int = 5) -> float:
    """Return how far a step written by hand ends from the optimiser, largest entry.

    Args:
        step: ``(w, grad, m, v, t, lr, strength)``, changes ``w``, ``m`` and ``v``.
        steps: How many are taken, on a tall matrix and on a wide one.
    """
    worst = 0.0
    for shape in ((6, 4), (4, 6)):
        start = torch.linspace(-1, 2, 24, dtype=torch.float64).view(shape)
        weight, own = nn.Parameter(start.clone()), start.clone()
        moments = torch.zeros_like(own), torch.zeros_like(own)
        optimizer = AdamO([weight], lr=0.01, isometry_strength=0.5)
        for t in range(1, steps + 1):
            weight.grad = torch.sin(t * weight.detach())
            optimizer.step()
            step(own, torch.sin(t * own), *moments, t, lr=0.01, strength=0.5)
        worst = max(worst, float((weight.detach() - own).abs().max()))
    return worst
