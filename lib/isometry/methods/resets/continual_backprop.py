"""Continual backprop: at every moment, the least useful of the old units are new."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.optimisers.entry_adam import entry_adam
from isometry.methods.resets.units import by_unit, replace_units_, widths
from isometry.methods.structure import State, one_output_a_unit
from isometry.methods.training import Training

Utility = Literal["contribution", "adaptable"]
TINY = 1e-30  # stands for the incoming weights of a unit that has none


@dataclass(frozen=True, kw_only=True)
class _ContinualBackpropSettings(AdamSettings):
    """Settings of continual backprop.

    Source: Dohare et al. 2024.
    """

    replacement_rate: float = setting(
        1e-4, "rho: share of mature units that is replaced a step, in [0, 1]."
    )
    maturity: int = setting(100, "Steps for which a new unit is safe, >= 0.")
    utility_decay: float = setting(0.99, "Decay of the running utility, in [0, 1).")
    cbp_utility: Utility = setting(
        "contribution",
        "contribution: E|h| sum |w_out|; adaptable: E|h - mean h| sum |w_out| / sum "
        "|w_in|.",
        later=True,
    )
    cbp_compensation: bool = setting(
        True,
        "Whether what a replaced unit added on average goes to the biases it fed.",
        later=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rate, decay = self.replacement_rate, self.utility_decay
        needed = "0 <= replacement_rate <= 1"
        require(0 <= rate <= 1, "replacement_rate", needed, rate)
        require(self.maturity >= 0, "maturity", "maturity >= 0", self.maturity)
        require(0 <= decay < 1, "utility_decay", "0 <= utility_decay < 1", decay)
        known = ("contribution", "adaptable")
        kind = self.cbp_utility
        require(kind in known, "cbp_utility", " or ".join(known), kind)


def _unborn(training: Training) -> State:
    """Return each unit's age, utility and mean activation, and what is owed: all zero.

    Units of all hidden layers stand side by side, ``(members, units)``; ``owed`` is
    ``(members, layers)``: the fraction of a unit that is still to be replaced. Ages and
    what is owed do not depend on the data. They stay on the host, which so knows when
    to act without waiting for an accelerator.

    Source: Dohare et al. 2024.
    """
    one_output_a_unit(training.structure, "cbp")
    weight = next(iter(training.parameters.values()))
    shape = (len(training.seeds), sum(widths(training)))
    layers = (len(training.seeds), len(training.structure.layers))
    return {
        "age": weight.new_zeros(shape, device="cpu"),
        "utility": weight.new_zeros(shape),
        "mean": weight.new_zeros(shape),
        "owed": weight.new_zeros(layers, dtype=torch.float64, device="cpu"),
    }


def _reach(training: Training, index: int) -> Tensor:
    """Return ``sum_k |w_ik|`` of each unit of a layer, ``(members, units)``.

    Source: Dohare et al. 2024, the contribution utility.
    """
    parameters, layer = training.parameters, training.structure.layers[index]
    units = parameters[layer.weight].shape[1]
    sums = [
        by_unit(parameters[name], units).abs().sum((1, 3)) for name in layer.outgoing
    ]
    return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)


def _observe_(training: Training) -> None:
    """Let every unit age by one step and move its running utility and mean.

    ``f <- decay f + (1 - decay) E h``, and ``u <- decay u + (1 - decay) y``, where y is
    ``E|h| sum_k |w_k|`` over the outgoing weights: the contribution utility. The
    adaptable one is ``E|h - m| sum_k |w_k| / sum_j |v_j|`` over the incoming weights v,
    with m the running mean as it is after this step, complete for the unit's age. A
    bias is no incoming weight.

    Source: Dohare et al. 2024; adaptable: Dohare et al. 2021, arXiv 2108.06325.
    """
    state, decay = training.state, training.settings.utility_decay
    seen, layers = training.activations, range(len(training.structure.layers))
    worth = torch.cat([_reach(training, i) for i in layers], 1)
    state["age"].add_(1)
    mean = torch.cat([h.mean(1) for h in seen], 1)
    state["mean"].mul_(decay).add_(mean, alpha=1 - decay)
    if training.settings.cbp_utility == "adaptable":
        means = (state["mean"] / _complete(training)).split(widths(training), 1)
        seen = [h - m.unsqueeze(1) for h, m in zip(seen, means, strict=True)]
        worth = worth / torch.cat([_fed(training, i) for i in layers], 1)
    size = torch.cat([h.abs().mean(1) for h in seen], 1)
    state["utility"].mul_(decay).add_(size * worth, alpha=1 - decay)


def _fed(training: Training, index: int) -> Tensor:
    """Return ``sum_j |v_ij|`` over the incoming weights of each unit of a layer."""
    weight = training.parameters[training.structure.layers[index].weight]
    return weight.flatten(2).abs().sum(2).clamp(min=TINY)


def _complete(training: Training) -> Tensor:
    """Return the share of a running mean, from zero on, that a unit's age has made."""
    state, decay = training.state, training.settings.utility_decay
    return 1 - decay ** state["age"].to(state["utility"].device)


def _lowest(utility: Tensor, mature: Tensor, count: Tensor) -> Tensor:
    """Return which units are the ``count`` mature ones of lowest utility."""
    order = utility.where(mature, torch.inf).argsort(dim=1, stable=True)
    rank = order.argsort(1)
    return (rank < count.unsqueeze(1)) & mature


def _replacement_step(training: Training) -> None:
    """Replace the mature units of lowest utility, at a rate that is a fraction a step.

    Fractions add up until they make a unit; Adam counts steps entry by entry, so
    that the weights of a new unit start at step 0, and SGD has only a momentum to
    forget; what the unit fed on average goes to the next biases, if that is asked for.
    In the public code a maturity given by its short name is
    silently ignored, and rates may be drawn instead of added up.

    Source: Dohare et al., Nature 2024; shibhansh/loss-of-plasticity.
    """
    settings, state = training.settings, training.state
    for name in ("age", "owed"):  # a checkpoint brings all to the device
        state[name] = state[name].cpu()
    _observe_(training)
    sizes = widths(training)
    mature = state["age"] > settings.maturity
    eligible = torch.stack([part.sum(1) for part in mature.split(sizes, 1)], 1)
    state["owed"].add_(eligible, alpha=settings.replacement_rate)
    count = state["owed"].floor()
    if not (count > 0).any():
        return
    state["owed"].sub_(count)
    device = state["utility"].device
    parts, count = mature.to(device).split(sizes, 1), count.to(device)
    # Running means start at zero: what is missing to a mean is a matter of age.
    complete = _complete(training)
    utilities = (state["utility"] / complete).split(sizes, 1)
    means = (state["mean"] / complete).split(sizes, 1)
    chosen = [
        _lowest(utility, old, count[:, i])
        for i, (utility, old) in enumerate(zip(utilities, parts, strict=True))
    ]
    for index, units in enumerate(chosen):
        if units.any():
            mean = means[index] if settings.cbp_compensation else None
            labels = ("cbp", training.step)
            replace_units_(training, index, units, mean, labels=labels)
    new = torch.cat(chosen, 1)
    for name in ("age", "utility", "mean"):
        state[name].masked_fill_(new.to(state[name].device), 0)


CBP = register(
    Method(
        name="cbp",
        summary="Continual backprop: Adam, units of least utility replaced steadily",
        source="Dohare et al., Nature 2024",
        settings=_ContinualBackpropSettings(),
        search={
            "replacement_rate": (1e-3, 1e-4, 1e-5, 1e-6),
            "maturity": (100, 1000, 10_000),
        },
        optimizer=entry_adam,
        start=_unborn,
        after_step=_replacement_step,
        watches=True,
    )
)
