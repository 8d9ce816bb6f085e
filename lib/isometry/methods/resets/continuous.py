"""CPR: at every reset each unit is a little new, the least useful most."""

from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.resets.units import by_unit, widths
from isometry.methods.structure import State, one_output_a_unit
from isometry.methods.training import Training

DECAY = 0.99  # of the running utility
STEEPNESS = 16  # of the sigmoid


@dataclass(frozen=True, kw_only=True)
class _PartialResetSettings(AdamSettings):
    """Settings of CPR, which is also called CCBP.

    Source: arXiv 2607.24996.
    """

    cpr_rate: float = setting(0.015, "rho: largest share that is new, in [0, 1].")
    cpr_threshold: float = setting(1.0, "Utility up to which it is the largest, >= 0.")
    cpr_every: int = setting(1000, "Act after every k-th step, k >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        rate, threshold, every = self.cpr_rate, self.cpr_threshold, self.cpr_every
        require(0 <= rate <= 1, "cpr_rate", "0 <= cpr_rate <= 1", rate)
        require(threshold >= 0, "cpr_threshold", "cpr_threshold >= 0", threshold)
        require(every >= 1, "cpr_every", "cpr_every >= 1", every)


def _all_useful(training: Training) -> State:
    """Return each unit's utility, one, all hidden layers side by side.

    Source: arXiv 2607.24996.
    """
    one_output_a_unit(training.structure, "cpr")
    some = next(iter(training.parameters.values()))
    return {"utility": some.new_ones(len(training.seeds), sum(widths(training)))}


def _share_of(utility: Tensor, rate: float, threshold: float) -> Tensor:
    """Return ``r = rho min(2 sigmoid(-16 (u - threshold)), 1)``, in [0, rho].

    Written with exp, whose rounding does not depend on where an entry lies; torch's
    sigmoid rounds the last entries of a tensor another way.
    """
    sigmoid = 1 / (1 + (STEEPNESS * (utility - threshold)).exp())
    return rate * (2 * sigmoid).clamp(max=1)


def _observe_(training: Training) -> None:
    """Move the utility of every unit: ``u <- 0.99 u + 0.01 mean|g| / the layer's``.

    The mean of a unit is over its incoming weights. A layer without any gradient has
    utilities of one.
    """
    sizes = []
    for layer in training.structure.layers:
        size = training.gradient(layer.weight).flatten(2).abs().mean(2)
        mean = size.mean(1, keepdim=True)
        sizes.append(torch.where(mean > 0, size / mean, 1.0))
    training.state["utility"].mul_(DECAY).add_(torch.cat(sizes, 1), alpha=1 - DECAY)


def _partial_reset_step(training: Training) -> None:
    """Mix every unit's weights with new ones, by its own share.

    ``W_in <- (1 - r) W_in + r xi`` with xi uniform as He et al. draw it, ``W_out <- (1
    - r) W_out``, and the utilities are one again. Biases and what the optimiser
    remembers stay.

    Source: arXiv 2607.24996. A public package has neither the factor 2 nor the bound.
    """
    _observe_(training)
    settings, state = training.settings, training.state
    if (training.step + 1) % settings.cpr_every:
        return
    shares = _share_of(state["utility"], settings.cpr_rate, settings.cpr_threshold)
    parts = shares.split(widths(training), 1)
    for layer, share in zip(training.structure.layers, parts, strict=True):
        weight = training.parameters[layer.weight]
        bound = sqrt(6 / prod(weight.shape[2:]))
        drawn = torch.stack(
            [
                torch.empty(weight.shape[1:]).uniform_(-bound, bound, generator=draw)
                for draw in training.generators("cpr", training.step, layer.weight)
            ]
        )
        rows = share.view(*share.shape, *[1] * (weight.ndim - 2))
        weight.mul_(1 - rows).add_(rows * drawn.to(weight))
        for name in layer.outgoing:
            read = by_unit(training.parameters[name], share.shape[1])
            read.mul_((1 - share)[:, None, :, None])
    state["utility"].fill_(1)


CPR = register(
    Method(
        name="cpr",
        summary="Adam, every unit partly new, by how small its gradients are",
        source="arXiv 2607.24996",
        settings=_PartialResetSettings(),
        search={"cpr_rate": (5e-3, 1e-2, 1.5e-2, 5e-2), "cpr_every": (100, 1000)},
        start=_all_useful,
        after_step=_partial_reset_step,
    )
)
