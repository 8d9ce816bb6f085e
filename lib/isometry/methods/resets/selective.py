"""Selective weight reinitialisation: single weights are new, not units."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters, stack
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.training import Training

Utility = Literal["gradient", "magnitude", "random"]
Pruning = Literal["threshold", "proportional"]
New = Literal["resample", "mean"]


@dataclass(frozen=True, kw_only=True)
class _SelectiveSettings(AdamSettings):
    """Settings of selective weight reinitialisation.

    Source: Hernandez-Garcia et al. 2025.
    """

    reinit_every: int = setting(2048, "Act after every k-th step, k >= 1.")
    reinit_rate: float = setting(1e-5, "rho: of the mean utility, or a share, >= 0.")
    reinit_utility: Utility = setting("gradient", "Of a weight w: |w g|, |w|, or none.")
    reinit_pruning: Pruning = setting(
        "threshold", "Whether rho is of a tensor's mean utility, or a share of it."
    )
    reinit_new: New = setting("resample", "A fresh draw, or the mean of such draws.")

    def __post_init__(self) -> None:
        super().__post_init__()
        every, rate = self.reinit_every, self.reinit_rate
        require(every >= 1, "reinit_every", "reinit_every >= 1", every)
        require(rate >= 0, "reinit_rate", "reinit_rate >= 0", rate)
        for key, allowed in (
            ("reinit_utility", ("gradient", "magnitude", "random")),
            ("reinit_pruning", ("threshold", "proportional")),
            ("reinit_new", ("resample", "mean")),
        ):
            value = getattr(self, key)
            require(value in allowed, key, " or ".join(allowed), value)


def _utility(training: Training, name: str, draws: list[torch.Generator]) -> Tensor:
    """Return the utility of every entry of a parameter, ``(members, entries)``."""
    parameter = training.parameters[name]
    match training.settings.reinit_utility:
        case "gradient":
            found = (parameter * training.gradient(name)).abs()
        case "magnitude":
            found = parameter.abs()
        case _:
            size = parameter.shape[1:]
            rows = [torch.rand(size, generator=draw) for draw in draws]
            found = torch.stack(rows).to(parameter)
    return found.flatten(1)


def _least_useful(
    utility: Tensor,  # (members, entries)
    training: Training,
    draws: list[torch.Generator],
) -> Tensor:
    """Return which entries become new, ``(members, entries)``.

    Those of utility at most ``rho`` times the tensor's mean; or the ``rho n`` lowest of
    n, where a fraction of an entry counts as one with its probability.
    """
    rate, entries = training.settings.reinit_rate, utility.shape[1]
    if training.settings.reinit_pruning == "threshold":
        return utility <= rate * utility.mean(1, keepdim=True)
    drawn = torch.stack([torch.rand((), generator=draw) for draw in draws])
    whole = int(rate * entries)
    count = whole + (drawn < rate * entries - whole).to(utility)
    rank = utility.argsort(dim=1, stable=True).argsort(1)
    return rank < count.to(utility).unsqueeze(1)


def _fresh(training: Training) -> Parameters:
    """Return freshly drawn parameters, one network a member."""
    labels = ("method", "selective", training.step)
    return stack([training.structure.fresh(seed, *labels) for seed in training.seeds])


def _selective_step(training: Training) -> None:
    """Make the least useful entries of every tensor new, the optimiser's memory not.

    Weights, biases, gains and offsets each by themselves. The mean of a fresh draw is
    zero, and one for a gain. By their magnitude alone the same weights are chosen again
    and again. The gradient is the step's own, the weight that after the step.

    Source: Hernandez-Garcia et al., CoLLAs 2025, arXiv 2508.00212.
    """
    if (training.step + 1) % training.settings.reinit_every:
        return
    resample = training.settings.reinit_new == "resample"
    fresh = _fresh(training) if resample else {}
    for name, role in training.roles.items():
        if role == "spared":
            continue
        draws = training.generators("selective", training.step, name)
        utility = _utility(training, name, draws)
        chosen = _least_useful(utility, training, draws)
        parameter = training.parameters[name]
        chosen = chosen.view(parameter.shape)
        if resample:
            parameter.copy_(torch.where(chosen, fresh[name].to(parameter), parameter))
        else:
            parameter.masked_fill_(chosen, float(role == "gain"))


SELECTIVE_REINIT = register(
    Method(
        name="selective_reinit",
        summary="Adam, single weights of least utility made new every so many steps",
        source="Hernandez-Garcia et al., CoLLAs 2025, arXiv 2508.00212",
        settings=_SelectiveSettings(),
        search={
            "reinit_rate": (1e-3, 1e-4, 1e-5),
            "reinit_every": (128, 512, 2048),
            "reinit_utility": ("gradient", "magnitude"),
            "reinit_pruning": ("threshold", "proportional"),
            "reinit_new": ("resample", "mean"),
        },
        after_step=_selective_step,
    )
)
