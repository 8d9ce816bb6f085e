"""Plain optimisers and the ceiling: Adam, AdamW and a fresh network for each task."""

from dataclasses import dataclass

import torch

from isometry.core.settings import require, setting
from isometry.methods.method import (
    AdamSettings,
    Method,
    adam_keywords,
    register,
)
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _AdamWSettings(AdamSettings):
    """Settings of AdamW.

    Source: Loshchilov & Hutter 2019.
    """

    weight_decay: float = setting(1e-2, "Decoupled decay a unit of lr, >= 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = "weight_decay >= 0"
        require(self.weight_decay >= 0, "weight_decay", needed, self.weight_decay)


def _adamw(training: Training) -> torch.optim.Optimizer:
    """Return fused ``torch.optim.AdamW`` over the stack.

    Source: Loshchilov & Hutter 2019.
    """
    settings: _AdamWSettings = training.settings
    return torch.optim.AdamW(
        training.parameters.values(),
        lr=training.lr,
        fused=True,
        weight_decay=settings.weight_decay,
        **adam_keywords(settings),
    )


ADAM = register(
    Method(
        name="adam",
        summary="Adam, nothing else: the baseline that loses plasticity",
        source="Kingma & Ba 2015",
    )
)
ADAMW = register(
    Method(
        name="adamw",
        summary="Adam with decoupled weight decay",
        source="Loshchilov & Hutter 2019",
        settings=_AdamWSettings(),
        search={"weight_decay": (1.0, 1e-1, 1e-2, 1e-3)},
        optimizer=_adamw,
    )
)
FRESH = register(
    Method(
        name="fresh",
        summary="Adam on a new network for every task: the ceiling",
        source="ours",
        restarts=True,
    )
)
