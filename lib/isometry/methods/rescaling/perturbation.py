"""Shrink and Perturb: towards zero, and a little of a new network on top."""

from dataclasses import dataclass
from math import sqrt

from isometry.core.settings import require, setting
from isometry.core.stacking import stack
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _PerturbationSettings(AdamSettings):
    """Settings of Shrink and Perturb.

    Source: Ash & Adams 2020, for every step: Kumar et al. 2023.
    """

    shrink: float = setting(1e-4, "Fraction that is taken off a step, in [0, 1].")
    perturb: float = setting(1e-2, "Share of a new network that is added a step, >= 0.")
    perturb_every: int = setting(
        100, "Act after every k-th step, as strongly as k times once, k >= 1."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.shrink <= 1, "shrink", "0 <= shrink <= 1", self.shrink)
        require(self.perturb >= 0, "perturb", "perturb >= 0", self.perturb)
        every = self.perturb_every
        require(every >= 1, "perturb_every", "perturb_every >= 1", every)


def _factors(settings: _PerturbationSettings) -> tuple[float, float]:
    """Return what k steps at once multiply the parameters and a new network by.

    Without gradients between them, k steps ``theta <- r theta + p xi`` have the law of
    ``theta <- r^k theta + p sqrt(1 + r^2 + ... + r^(2k-2)) xi``.
    """
    kept, every = 1 - settings.shrink, settings.perturb_every
    total = sum(kept ** (2 * i) for i in range(every))
    return kept**every, settings.perturb * sqrt(total)


def _perturbation_step(training: Training) -> None:
    """Shrink the parameters and add a share of a freshly initialised network.

    The noise has the scale of each layer's initialisation, as in the authors' code:
    biases that start at zero are only shrunk. Gains and offsets of a normalisation are
    left alone. Others add noise of one scale to all layers, and one public copy
    adds the stored initial weights, which is L2 Init in disguise.

    Source: Ash & Adams 2020; as a rule for every step Kumar et al. 2023.
    """
    step = training.step
    if (step + 1) % training.settings.perturb_every:
        return
    kept, share = _factors(training.settings)
    structure = training.structure
    fresh = stack(
        [structure.fresh(seed, "method", "perturb", step) for seed in training.seeds]
    )
    for name in structure.named("hidden", "head", "embedding", "vector"):
        parameter = training.parameters[name]
        parameter.mul_(kept).add_(fresh[name].to(parameter), alpha=share)


SHRINK_PERTURB = register(
    Method(
        name="shrink_perturb",
        summary="Adam with shrinking and a share of a new network added",
        source="Ash & Adams 2020; Kumar et al. 2023",
        settings=_PerturbationSettings(),
        search={
            "shrink": (1e-3, 1e-4, 1e-5),
            "perturb": (1e-2, 1e-3, 1e-4, 1e-5),
        },
        after_step=_perturbation_step,
    )
)
