"""ReDo: units that stay dormant are recycled."""

from dataclasses import dataclass

import torch

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.resets.units import replace_units_, widths
from isometry.methods.structure import State, one_output_a_unit
from isometry.methods.training import Training
from isometry.plasticity.units import relative_activity


@dataclass(frozen=True, kw_only=True)
class _ReDoSettings(AdamSettings):
    """Settings of ReDo.

    Source: Sokar et al. 2023.
    """

    redo_threshold: float = setting(0.1, "tau: a score up to this is dormant, >= 0.")
    redo_every: int = setting(1000, "Check after every k-th step, k >= 1.")
    redo_window: int = setting(
        16, "Minibatches before a check that a score is taken on, >= 1."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        tau = self.redo_threshold
        require(tau >= 0, "redo_threshold", "redo_threshold >= 0", tau)
        for key in ("redo_every", "redo_window"):
            value = getattr(self, key)
            require(value >= 1, key, f"{key} >= 1", value)


def _no_activity(training: Training) -> State:
    """Return each unit's summed activity, zero, all hidden layers side by side.

    Source: Sokar et al. 2023.
    """
    one_output_a_unit(training.structure, "redo")
    some = next(iter(training.parameters.values()))
    return {"activity": some.new_zeros(len(training.seeds), sum(widths(training)))}


def _redo_step(training: Training) -> None:
    """Recycle the dormant units of every hidden layer, at every k-th step.

    A recycled unit has new incoming weights, zero outgoing ones and zero moments in
    Adam, whose count of steps goes on: the official code. In others the count starts
    again, or moments stay, or units get their first weights back. The official score
    is taken on one large batch; ours, on the minibatches of a window, so that small
    ones do not decide alone. A member whose activations are NaN has no dormant units.

    Source: Sokar et al., ICML 2023; google/dopamine.
    """
    settings, activity = training.settings, training.state["activity"]
    left = -(training.step + 1) % settings.redo_every
    if left >= settings.redo_window:
        return
    activity += torch.cat([h.abs().mean(1) for h in training.activations], 1)
    if left:
        return
    parts = activity.split(widths(training), 1)
    for index, part in enumerate(parts):
        chosen = relative_activity(part) <= settings.redo_threshold
        if chosen.any():
            replace_units_(training, index, chosen, labels=("redo", training.step))
    activity.zero_()


REDO = register(
    Method(
        name="redo",
        summary="Adam, dormant units recycled every so many steps",
        source="Sokar et al., ICML 2023",
        settings=_ReDoSettings(),
        search={
            "redo_threshold": (0.0, 0.025, 0.1),
            "redo_every": (100, 1000, 10_000),
        },
        start=_no_activity,
        after_step=_redo_step,
        watches=True,
    )
)
