"""FADE: the head decays, each weight at a rate of its own that is learned."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.pulls.head_decay import NOT_FOR_GAMES
from isometry.methods.structure import Layer, State, Structure, read_unit_by_unit
from isometry.methods.training import Training

LEAST_LOGARITHM = -15.0  # of a decay; the largest is 0


@dataclass(frozen=True, kw_only=True)
class _AdaptiveDecaySettings(AdamSettings):
    """Settings of FADE.

    Source: arXiv 2604.27063.
    """

    fade_rate: float = setting(1.0, "theta: learning rate of the logarithms, >= 0.")
    fade_start: float = setting(
        -6.9, "gamma_0: logarithm of every decay at the start, in [-15, 0]."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rate, start = self.fade_rate, self.fade_start
        require(rate >= 0, "fade_rate", "fade_rate >= 0", rate)
        inside = LEAST_LOGARITHM <= start <= 0
        require(inside, "fade_start", "-15 <= fade_start <= 0", start)


def _head_of(structure: Structure) -> Layer:
    """Return the one head, or refuse a network whose head reads no hidden layer."""
    heads, read = structure.heads, [la.outgoing for la in structure.layers[-1:]]
    if len(heads) != 1 or not read or heads[0].weight not in read[0]:
        needed = "one head that reads the last hidden layer for fade"
        other = "one that reads something else"
        found = other if len(heads) == 1 else f"{len(heads)} heads"
        raise ValueError(refusal(needed, found, "use another network or method"))
    return heads[0]


def _first_decays(training: Training) -> State:
    """Return every weight's logarithm of its decay, no trace, and a copy of the head.

    Source: arXiv 2604.27063.
    """
    head, own = _head_of(training.structure), training.parameters
    read_unit_by_unit(training.structure.layers[-1], head.weight, own, "fade")
    weight = own[head.weight].detach()
    state = {
        "logarithm": torch.full_like(weight, training.settings.fade_start),
        "trace": torch.zeros_like(weight),
        "weight": weight.clone(),
    }
    return state if head.bias is None else state | {"bias": own[head.bias].clone()}


def _decay_step(training: Training) -> None:
    """Learn the logarithms from the gradient, and decay before the optimiser's step.

    ``gamma <- clip(gamma - theta g h, -15, 0)``, then ``w <- (1 - e^gamma) w``.

    Source: arXiv 2604.27063.
    """
    head, state = _head_of(training.structure), training.state
    weight, moved = training.parameters[head.weight], training.gradient(head.weight)
    moved = moved * state["trace"] * training.settings.fade_rate
    state["logarithm"].sub_(moved).clamp_(LEAST_LOGARITHM, 0)
    state["weight"].copy_(weight)
    if head.bias is not None:
        state["bias"].copy_(training.parameters[head.bias])
    weight.mul_(1 - state["logarithm"].exp())


def _rates(training: Training, name: str) -> Tensor | float:
    """Return the step of a gradient of one: Adam's of each weight, or the rate."""
    parameter, optimizer = training.parameters[name], training.optimizer
    memory = optimizer.state.get(parameter, {})
    if "exp_avg_sq" not in memory:
        return training.lr
    groups = optimizer.param_groups
    own = (g for g in groups if any(p is parameter for p in g["params"]))
    group = next(own, groups[0])
    corrections = memory.get("corrections_sq")
    if corrections is None:
        corrections = 1 - group["betas"][1] ** float(memory["step"])
    size = (memory["exp_avg_sq"] / corrections).sqrt()
    return group["lr"] / (size + group["eps"])


def _trace_step(training: Training) -> None:
    """Move the trace h, a weight's derivative by its logarithm.

    ``h <- h [1 - l - a s]_+ - l w`` with l the decay, a the step of a gradient of one,
    w the weight before the step, and s the curvature ``p (1 - p) x^2`` of the
    cross-entropy, its mean over the minibatch.

    Source: arXiv 2604.27063.
    """
    head, state = _head_of(training.structure), training.state
    features = training.activations[-1].to(state["weight"])  # half, maybe
    logits = torch.bmm(features, state["weight"].mT)
    if head.bias is not None:
        logits = logits + state["bias"].unsqueeze(1)
    chances = logits.softmax(-1)
    spread = (chances * (1 - chances)).mT
    curvature = torch.bmm(spread, features.square()) / features.shape[1]
    decay = state["logarithm"].exp()
    kept = 1 - decay - _rates(training, head.weight) * curvature
    state["trace"].mul_(kept.clamp(min=0)).sub_(decay * state["weight"])


FADE = register(
    Method(
        name="fade",
        summary="Adam with decay of the head, its rate learned weight by weight",
        source="arXiv 2604.27063",
        settings=_AdaptiveDecaySettings(),
        search={"fade_rate": (0.1, 0.5, 1.0, 2.0), "fade_start": (-6.9, -9.2)},
        start=_first_decays,
        before_step=_decay_step,
        after_step=_trace_step,
        watches=True,
        not_for_games=NOT_FOR_GAMES,
    )
)
