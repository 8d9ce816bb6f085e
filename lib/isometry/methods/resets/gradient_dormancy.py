"""ReGraMa: units that get small gradients are recycled."""

from dataclasses import dataclass

import torch

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.resets.units import replace_units_, widths
from isometry.methods.structure import State, one_output_a_unit
from isometry.methods.training import Training
from isometry.plasticity.units import relative_activity


@dataclass(frozen=True, kw_only=True)
class _ReGraMaSettings(AdamSettings):
    """Settings of ReGraMa.

    Source: Liu et al. 2025.
    """

    grama_threshold: float = setting(0.25, "tau: a score up to this is low, >= 0.")
    grama_every: int = setting(1000, "Check after every k-th step, k >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        tau, every = self.grama_threshold, self.grama_every
        require(tau >= 0, "grama_threshold", "grama_threshold >= 0", tau)
        require(every >= 1, "grama_every", "grama_every >= 1", every)


def _no_gradients(training: Training) -> State:
    """Return each unit's summed gradient, zero, all hidden layers side by side.

    Source: Liu et al. 2025.
    """
    one_output_a_unit(training.structure, "regrama")
    some = next(iter(training.parameters.values()))
    return {"gradient": some.new_zeros(len(training.seeds), sum(widths(training)))}


def _gradient_dormancy_step(training: Training) -> None:
    """Recycle the units of every hidden layer that have a low score, at a check.

    A unit's score is the mean size of the loss's gradient by its output, over its
    layer's mean, since the last check. It is replaced as ReDo replaces it.

    Source: Liu et al., NeurIPS 2025, arXiv 2505.24061; on how many samples their score
        is taken, and what they do to the optimiser's memory, is not known to us.
    """
    summed = training.state["gradient"]
    summed += torch.cat([g.abs().mean(1) for g in training.gradients], 1)
    if (training.step + 1) % training.settings.grama_every:
        return
    for index, part in enumerate(summed.split(widths(training), 1)):
        chosen = relative_activity(part) <= training.settings.grama_threshold
        if chosen.any():
            replace_units_(training, index, chosen, labels=("regrama", training.step))
    summed.zero_()


REGRAMA = register(
    Method(
        name="regrama",
        summary="Adam, units with small gradients recycled every so many steps",
        source="Liu et al., NeurIPS 2025, arXiv 2505.24061",
        settings=_ReGraMaSettings(),
        search={
            "grama_threshold": (0.01, 0.1, 0.25),
            "grama_every": (100, 1000, 10_000),
        },
        start=_no_gradients,
        after_step=_gradient_dormancy_step,
        watches=True,
        watches_gradients=True,
    )
)
