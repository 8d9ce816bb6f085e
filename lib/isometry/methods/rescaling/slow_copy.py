"""Hare and Tortoise: a slow copy is measured, and what is trained goes back to it."""

from dataclasses import dataclass

from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import State
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _HareSettings(AdamSettings):
    """Settings of Hare and Tortoise.

    Source: Lee et al. 2024; theirs differ from experiment to experiment.
    """

    tortoise_decay: float = setting(0.99, "mu: what the copy keeps a step, in [0, 1].")
    hare_every: int = setting(1000, "Go back to the copy every k-th step, k >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        decay, every = self.tortoise_decay, self.hare_every
        require(0 <= decay <= 1, "tortoise_decay", "0 <= tortoise_decay <= 1", decay)
        require(every >= 1, "hare_every", "hare_every >= 1", every)


def _tortoise(training: Training) -> State:
    """Return a copy of all parameters.

    Source: Lee et al. 2024.
    """
    return {name: p.detach().clone() for name, p in training.parameters.items()}


def _follow(training: Training) -> None:
    """Move the copy a little, and every k-th step what is trained goes back to it.

    ``t <- mu t + (1 - mu) h`` after each step, and after every k-th ``h <- t``. The
    optimiser remembers.

    Source: Lee et al., ICML 2024, arXiv 2406.02596.
    """
    settings = training.settings
    back = (training.step + 1) % settings.hare_every == 0
    for name, slow in training.state.items():
        hare = training.parameters[name]
        slow.lerp_(hare, 1 - settings.tortoise_decay)
        if back:
            hare.copy_(slow)


def _slow(training: Training) -> Parameters:
    """Return the copy, which is measured in place of what is trained."""
    return training.state


HARE_TORTOISE = register(
    Method(
        name="hare_tortoise",
        summary="Adam that goes back to a slow copy, which is what is measured",
        source="Lee et al., ICML 2024, arXiv 2406.02596",
        settings=_HareSettings(),
        search={
            "tortoise_decay": (0.9, 0.99, 0.999),
            "hare_every": (100, 1000, 10_000),
        },
        start=_tortoise,
        measured=_slow,
        after_step=_follow,
        not_for_games="what plays there is what is trained",
    )
)
