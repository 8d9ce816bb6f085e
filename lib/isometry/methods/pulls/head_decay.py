"""Decay of the head alone, decoupled from the gradient."""

from dataclasses import dataclass

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.training import Training

NOT_FOR_GAMES = "it acts on the head of a classifier"


@dataclass(frozen=True, kw_only=True)
class _HeadDecaySettings(AdamSettings):
    """Settings of the head's decay.

    Source: the fixed decay that FADE is compared with, e^-6.9.
    """

    head_decay: float = setting(1e-3, "Fraction taken off a step, in [0, 1].")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.head_decay
        require(0 <= value <= 1, "head_decay", "0 <= head_decay <= 1", value)


def _decay_heads(training: Training) -> None:
    """Take ``W <- (1 - decay) W`` of the heads' weights, then let the optimiser step.

    Not a unit of the learning rate, and not seen by Adam's moments. Biases are left
    alone; whether the source's decay too, we do not know.

    Source: arXiv 2604.27063, its baseline with a fixed decay of the head.
    """
    for name in training.structure.named("head"):
        training.parameters[name].mul_(1 - training.settings.head_decay)


HEAD_DECAY = register(
    Method(
        name="head_decay",
        summary="Adam with decoupled decay of the head alone",
        source="arXiv 2604.27063, its baseline",
        settings=_HeadDecaySettings(),
        search={"head_decay": (1e-2, 1e-3, 1e-4, 1e-5)},
        before_step=_decay_heads,
        not_for_games=NOT_FOR_GAMES,
    )
)
