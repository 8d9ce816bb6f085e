"""C-CHAIN: outputs on other inputs than the step's are held where they were."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import State, function_of
from isometry.methods.training import Training

EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class _ChurnSettings(AdamSettings):
    """Settings of C-CHAIN.

    Source: Tang et al. 2025; their target is for the policy's loss in games.
    """

    churn_target: float = setting(
        1.0, "What the penalty is to be, in units of the loss, >= 0; never below 1 x."
    )
    churn_window: int = setting(50, "Steps that this is taken on, >= 1.")
    churn_from: int = setting(10, "Step of a task from which it acts, >= 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        target, begin, window = self.churn_target, self.churn_from, self.churn_window
        require(target >= 0, "churn_target", "churn_target >= 0", target)
        require(window >= 1, "churn_window", "churn_window >= 1", window)
        require(begin >= 0, "churn_from", "churn_from >= 0", begin)


def _before_any(training: Training) -> State:
    """Return a copy of the parameters, no inputs, no losses and a count of zero.

    Source: Tang et al. 2025.
    """
    own = training.parameters
    some, members = next(iter(own.values())), len(training.seeds)
    window = (members, training.settings.churn_window)
    return {
        "old": {name: p.detach().clone() for name, p in own.items()},
        "last": some.new_zeros(members, 0),
        "before": some.new_zeros(members, 0),
        "losses": some.new_zeros(window),
        "churn": some.new_zeros(window),
        "taken": some.new_zeros(members, dtype=torch.int64),
    }


def _churn(training: Training) -> Tensor:
    """Return ``E[- sum p_old log p_new]`` of each member, on inputs of a former step.

    The old outputs are those of the parameters before the last step. The inputs are the
    minibatch of the last step but one, which neither that step nor this one learns
    from; in a task's first two steps there is none, and they are this step's.
    """
    state = training.state
    function = function_of(training.structure, "c_chain")
    kept: Tensor = state["before"]
    inputs: Tensor = kept if kept.numel() else training.inputs  # type: ignore[assignment]
    with torch.no_grad():
        old = function(state["old"], inputs)[0].softmax(-1)
    new = function(training.parameters, inputs)[0].log_softmax(-1)
    return -(old * new).sum(-1).mean(1)


def _churn_penalty(training: Training) -> Tensor:
    """Return ``l E[- sum p_old log p_new]``, l so that it is as large as asked.

    ``l = max(target mean|L| / (mean churn + 1e-8), 1)``, means over the last steps of
    this task. In a task's first steps it is zero.

    Source: Tang et al., ICML 2025, arXiv 2506.00592.
    """
    settings, state = training.settings, training.state
    churn = _churn(training)
    with torch.no_grad():
        place = state["taken"][0] % settings.churn_window
        state["losses"][:, place] = training.losses.abs()  # type: ignore[union-attr]
        state["churn"][:, place] = churn
        state["taken"] += 1
        filled = int(state["taken"][0].clamp(max=settings.churn_window))
        wanted = settings.churn_target * state["losses"].sum(1) / filled
        factor = (wanted / (state["churn"].sum(1) / filled + EPS)).clamp(min=1)
        for name, parameter in training.parameters.items():
            state["old"][name].copy_(parameter)
        if state["taken"][0] <= settings.churn_from:
            factor = torch.zeros_like(factor)
    return factor * churn


def _keep_inputs(training: Training) -> None:
    """Keep the last two minibatches."""
    state = training.state
    state["before"] = state["last"]
    state["last"] = training.inputs.clone()  # type: ignore[union-attr]


def _anew(training: Training) -> None:
    """Forget inputs and losses: a new task begins."""
    state = training.state
    for name in ("last", "before"):
        state[name] = state[name].flatten(1)[:, :0]
    for name in ("losses", "churn", "taken"):
        state[name].zero_()


C_CHAIN = register(
    Method(
        name="c_chain",
        summary="Adam with outputs on former inputs held by a penalty in the loss",
        source="Tang et al., ICML 2025, arXiv 2506.00592",
        settings=_ChurnSettings(),
        search={"churn_target": (1.0, 10.0, 100.0)},
        start=_before_any,
        penalty=_churn_penalty,
        after_step=_keep_inputs,
        before_task=_anew,
        reads=True,
    )
)
