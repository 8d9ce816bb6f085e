"""The paper's methods: AdamO, the coupled penalty, and MaxMin networks."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from isometry.adamo import (
    AdamO,
    isometry_penalty,
    max_stable_rate,
    strength_for_relaxation,
)
from isometry.core.matrices import as_matrix
from isometry.core.settings import require, setting
from isometry.methods.method import (
    AdamSettings,
    Method,
    adam_keywords,
    register,
)
from isometry.methods.structure import Architecture, acted_on
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _PenaltySettings(AdamSettings):
    """Settings of the Gram-deviation penalty.

    Source: arXiv 2606.09762, Eq. 16.
    """

    isometry_strength: float = setting(1e-3, "lambda of Eq. 16, >= 0.")
    isometry_head: bool = setting(True, "Whether the head is regularised as well.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.isometry_strength
        require(value >= 0, "isometry_strength", "isometry_strength >= 0", value)


@dataclass(frozen=True, kw_only=True)
class _AdamOSettings(_PenaltySettings):
    """Settings of AdamO.

    Source: arXiv 2606.09762, Eq. 19-20.
    """

    isometry_lr: float | None = setting(None, "eta_iso; none: the learning rate.")
    isometry_every: int = setting(1, "Take the isometry step every k-th step, k >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        rate, every = self.isometry_lr, self.isometry_every
        require(rate is None or rate > 0, "isometry_lr", "isometry_lr > 0", rate)
        require(every >= 1, "isometry_every", "isometry_every >= 1", every)


@dataclass(frozen=True, kw_only=True)
class _MaxMinSettings(AdamSettings):
    """Settings of a MaxMin network.

    Source: arXiv 2606.09762, Sec. 3.
    """

    maxmin_start: Literal["isometric", "network"] = setting(
        "isometric",
        "isometric: orthogonal weights of gain 1; network: as the run's init says.",
        later=True,
    )


@dataclass(frozen=True, kw_only=True)
class _AdamOMaxMinSettings(_MaxMinSettings, _AdamOSettings):
    """Settings of AdamO on a MaxMin network.

    Source: arXiv 2606.09762, Sec. 3 and Eq. 19-20.
    """


def strength_of_pull(pull: float, isometry_lr: float) -> float:
    """Return lambda for a pull ``rho = eta_iso * lambda`` of a single step.

    The pull is what a step does: at 1/8 it is one Newton-Schulz iteration, above 1/4
    it is not stable. Learning rates do not change what a pull means.

    Args:
        pull: rho, dimensionless, in [0, 1/4].
        isometry_lr: eta_iso, > 0.

    Raises:
        ValueError: If the pull is out of range.

    Example:
        >>> strength_of_pull(0.125, isometry_lr=1e-3)
        125.0
    """
    needed = "0 <= isometry_pull <= 0.25"
    require(0 <= pull <= max_stable_rate(1.0), "isometry_pull", needed, pull)
    return pull / isometry_lr


def strength_of_relaxation(steps: float, isometry_lr: float) -> float:
    """Return lambda for a relaxation time in steps, see ``strength_for_relaxation``.

    Args:
        steps: Optimiser steps, >= 1/2: below, the step is not stable.
        isometry_lr: eta_iso, > 0.

    Raises:
        ValueError: If the time is out of range.

    Example:
        >>> strength_of_relaxation(1000, isometry_lr=1e-3)
        0.125
    """
    shortest = 1 / (8 * max_stable_rate(1.0))
    needed = f"relaxation_steps >= {shortest}"
    require(steps >= shortest, "relaxation_steps", needed, steps)
    return strength_for_relaxation(steps, isometry_lr)


def _regularised(training: Training) -> list[str]:
    """Return the names of the weights that the penalty sees, the head's if asked for.

    Source: arXiv 2606.09762, Eq. 16 sums over all layers; biases are left alone.
    """
    head = training.settings.isometry_head
    names = training.structure.named("hidden", *(("head",) if head else ()))
    return acted_on(names, "the Gram penalty")


def _adamo(training: Training) -> torch.optim.Optimizer:
    """Return AdamO over the stack, the isometry step on weights only.

    Source: arXiv 2606.09762, Eq. 19-20.
    """
    settings: _AdamOSettings = training.settings
    chosen, parameters = set(_regularised(training)), training.parameters
    weights = [p for name, p in parameters.items() if name in chosen]
    others = [p for name, p in parameters.items() if name not in chosen]
    groups: list[dict[str, Any]] = [{"params": weights}]
    if others:
        groups.append({"params": others, "isometry_strength": 0.0})
    for group in groups:
        group["isometry_dims"] = 1
    return AdamO(
        groups,
        lr=training.lr,
        isometry_strength=settings.isometry_strength,
        isometry_lr=settings.isometry_lr,
        isometry_every=settings.isometry_every,
        fused=True,
        **adam_keywords(settings),
    )


def _gram_penalty(training: Training) -> Tensor:
    """Return ``lambda * sum_l R_iso(W_l)`` of each member, for the loss.

    Source: arXiv 2606.09762, Eq. 16, coupled form.
    """
    weights = [training.parameters[name] for name in _regularised(training)]
    terms = [isometry_penalty(as_matrix(weight, 1)) for weight in weights]
    return training.settings.isometry_strength * torch.stack(terms).sum(0)


def _maxmin_network(
    architecture: Architecture, settings: _MaxMinSettings
) -> Architecture:
    """Return the architecture with MaxMin activations, isometric at the start or not.

    Source: arXiv 2606.09762, Sec. 3; Anil et al. 2019.
    """
    if settings.maxmin_start == "network":
        return replace(architecture, activation="maxmin")
    return replace(architecture, activation="maxmin", init="orthogonal", init_gain=1.0)


# The literal strength pulls over millions of steps only, see `relaxation_steps`; the
# larger ones, within a run.
ADAMO_SEARCH = {"isometry_strength": (1e-3, 1e-1, 1.0, 10.0)}

ADAMO = register(
    Method(
        name="adamo",
        summary="Adam with the decoupled isometry step",
        source="arXiv 2606.09762, Eq. 19-20",
        settings=_AdamOSettings(),
        search=ADAMO_SEARCH,
        optimizer=_adamo,
        to_isometry=True,
    )
)
ADAM_ISOMETRY = register(
    Method(
        name="adam_isometry",
        summary="Adam with the Gram penalty in the loss (coupled)",
        source="arXiv 2606.09762, Eq. 16",
        settings=_PenaltySettings(),
        search={"isometry_strength": (1e-1, 1e-2, 1e-3, 1e-4)},
        penalty=_gram_penalty,
        to_isometry=True,
    )
)
MAXMIN = register(
    Method(
        name="maxmin",
        summary="Adam on a MaxMin network, isometric at the start only",
        source="arXiv 2606.09762, Sec. 3",
        settings=_MaxMinSettings(),
        architecture=_maxmin_network,
    )
)
ADAMO_MAXMIN = register(
    Method(
        name="adamo_maxmin",
        summary="AdamO on a MaxMin network",
        source="arXiv 2606.09762, Sec. 3 and 4.4",
        parts=("maxmin", "adamo"),
        settings=_AdamOMaxMinSettings(),
        search=ADAMO_SEARCH,
        architecture=_maxmin_network,
        optimizer=_adamo,
        to_isometry=True,
    )
)
