"""Plasticity injection: a new network learns, the old one and its start are frozen."""

from dataclasses import dataclass

from torch import Tensor

from isometry.core.settings import require, setting
from isometry.core.stacking import stack
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import State, function_of
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _InjectionSettings(AdamSettings):
    """Settings of plasticity injection.

    Source: Nikishin et al. 2023, who inject once.
    """

    inject_task: int = setting(1, "Number of the task before which it is, >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.inject_task
        require(value >= 1, "inject_task", "inject_task >= 1", value)


def _nothing_frozen(training: Training) -> State:
    """Return two copies of the parameters, whose difference is nothing.

    Source: Nikishin et al. 2023.
    """
    own = training.parameters
    return {
        part: {name: p.detach().clone() for name, p in own.items()}
        for part in ("old", "start")
    }


def _inject(training: Training) -> None:
    """Freeze the network, and let a new one learn in its place.

    Source: Nikishin et al. 2023.
    """
    if training.task != training.settings.inject_task:
        return
    labels = ("method", "injection", training.step)
    fresh = [training.structure.fresh(seed, *labels) for seed in training.seeds]
    for name, drawn in stack(fresh).items():
        parameter = training.parameters[name]
        training.state["old"][name].copy_(parameter)
        training.state["start"][name].copy_(drawn)
        parameter.copy_(drawn)
    training.optimizer.state.clear()


def _frozen(training: Training) -> Tensor | None:
    """Return ``f_old(x) - f_start(x)``, to which what learns is added.

    ``f(x) = f_old(x) + f_new(x) - f_start(x)``: with the injection no output changes,
    since f_new starts where f_start stays.

    Source: Nikishin et al., NeurIPS 2023, arXiv 2305.15555; there the last layers alone
        are f, and the first ones go on learning.
    """
    if training.task < training.settings.inject_task:
        return None
    function, state = function_of(training.structure, "injection"), training.state
    old, _ = function(state["old"], training.inputs)  # type: ignore[arg-type]
    start, _ = function(state["start"], training.inputs)  # type: ignore[arg-type]
    return old - start


INJECTION = register(
    Method(
        name="injection",
        summary="Adam; once, a new network learns on top of the old one, frozen",
        source="Nikishin et al., NeurIPS 2023, arXiv 2305.15555",
        settings=_InjectionSettings(),
        search={"inject_task": (1, 5, 20)},
        start=_nothing_frozen,
        before_task=_inject,
        offset=_frozen,
        not_for_games="what plays there is one network",
    )
)
