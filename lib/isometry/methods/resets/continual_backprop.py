"""Continual backprop: at every moment, the least useful of the old units are new."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.optimisers.entry_adam import entry_adam
from isometry.methods.resets.units import by_unit, replace_units_, widths
from isometry.methods.structure import State, one_output_a_unit
from isometry.methods.training import Training


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

    def __post_init__(self) -> None:
        super().__post_init__()
        rate, decay = self.replacement_rate, self.utility_decay
        needed = "0 <= replacement_rate <= 1"
        require(0 <= rate <= 1, "replacement_rate", needed, rate)
        require(self.maturity >= 0, "maturity", "maturity >= 0", self.maturity)
        require(0 <= decay < 1, "utility_decay", "0 <= utility_decay < 1", decay)


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

    ``u <- decay u + (1 - decay) E|h| sum_k |w_k|``, and the same for the mean of h.

    Source: Dohare et al. 2024, contribution utility. Their "adaptable" variant also
        subtracts the mean of h and divides by the incoming weights.
    """
    state, decay = training.state, training.settings.utility_decay
    seen = training.activations
    reaches = torch.cat([_reach(training, i) for i in range(len(seen))], 1)
    size = torch.cat([h.abs().mean(1) for h in seen], 1)
    state["age"].add_(1)
    state["utility"].mul_(decay).add_(size * reaches, alpha=1 - decay)
    mean = torch.cat([h.mean(1) for h in seen], 1)
    state["mean"].mul_(decay).add_(mean, alpha=1 - decay)


def _lowest(utility: Tensor, mature: Tensor, count: Tensor) -> Tensor:
    """Return which units are the ``count`` mature ones of lowest utility."""
    order = utility.where(mature, torch.inf).argsort(dim=1, stable=True)
    rank = order.argsort(1)
    return (rank < count.unsqueeze(1)) & mature


def _replacement_step(training: Training) -> None:
    """Replace the mature units of lowest utility, at a rate that is a fraction a step.

    Fractions add up until they make a unit; Adam counts steps entry by entry, so
    that the weights of a new unit start at step 0; what the unit fed on average goes
    to the next biases. In the public code a maturity given by its short name is
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
    complete = 1 - settings.utility_decay ** state["age"].to(device)
    utilities = (state["utility"] / complete).split(sizes, 1)
    means = (state["mean"] / complete).split(sizes, 1)
    chosen = [
        _lowest(utility, old, count[:, i])
        for i, (utility, old) in enumerate(zip(utilities, parts, strict=True))
    ]
    for index, units in enumerate(chosen):
        if units.any():
            labels = ("cbp", training.step)
            replace_units_(training, index, units, means[index], labels=labels)
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
