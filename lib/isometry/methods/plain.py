"""Plain optimisers and the ceiling: Adam, AdamW and a fresh network for each task."""

from dataclasses import dataclass

import torch

from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters
from isometry.methods.method import (
    AdamSettings,
    Method,
    adam_keywords,
    register,
)
from isometry.methods.structure import Roles


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


def adamw(
    parameters: Parameters, roles: Roles, lr: float, settings: _AdamWSettings
) -> torch.optim.Optimizer:
    """Return fused ``torch.optim.AdamW`` over the stack.

    Args:
        parameters: name -> ``(members, ...)``.
        roles: What each parameter is; not used.
        lr: Learning rate, > 0.
        settings: The decay and Adam's own settings.

    Source: Loshchilov & Hutter 2019.
    """
    return torch.optim.AdamW(
        parameters.values(),
        lr=lr,
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
        optimizer=adamw,
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
