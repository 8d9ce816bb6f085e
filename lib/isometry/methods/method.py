"""What a method is: the few places where the literature intervenes, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from isometry.core.registry import Registry
from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters
from isometry.methods.structure import Architecture, State
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class AdamSettings:
    """Settings of Adam that every Adam-based method shares.

    Source: Kingma & Ba 2015.
    """

    beta1: float = setting(0.9, "Decay of the first moment, in [0, 1).")
    beta2: float = setting(0.999, "Decay of the second moment, in [0, 1).")
    eps: float = setting(1e-8, "Added to the denominator, > 0.")

    def __post_init__(self) -> None:
        for key in ("beta1", "beta2"):
            value = getattr(self, key)
            require(0 <= value < 1, key, f"0 <= {key} < 1", value)
        require(self.eps > 0, "eps", "eps > 0", self.eps)


def adam_keywords(settings: Any) -> dict[str, Any]:
    """Return the keywords of ``torch.optim.Adam`` that :class:`AdamSettings` sets.

    Args:
        settings: Anything with ``beta1``, ``beta2`` and ``eps``.
    """
    return {"betas": (settings.beta1, settings.beta2), "eps": settings.eps}


def _keep_architecture(architecture: Architecture, settings: Any) -> Architecture:
    """Return the architecture as it is: what most methods do to it."""
    return architecture


def adam(training: Training) -> torch.optim.Optimizer:
    """Return fused ``torch.optim.Adam`` over the stack: Adam acts entry by entry.

    Args:
        training: Its settings are an :class:`AdamSettings`.

    Source: Kingma & Ba 2015.
    """
    keywords = adam_keywords(training.settings)
    return torch.optim.Adam(
        training.parameters.values(), lr=training.lr, fused=True, **keywords
    )


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way of keeping a network plastic.

    Every place but ``architecture`` is a function of one :class:`Training`. All work on
    stacked parameters and keep the members apart.

    Attributes:
        name: As typed on the command line.
        summary: One line for tables.
        source: Where the method comes from.
        settings: The method's own settings, a frozen dataclass with defaults.
        search: Values of its own settings that a search tries, by name; those of the
            literature where there are any.
        architecture: What it changes of the network.
        optimizer: Returns what takes the steps. Where it is the default, :func:`adam`,
            a run may put gradient descent in its place.
        start: Returns what the method carries along from step to step and from task to
            task, made from the network before its first step: tensors
            ``(members, ...)`` that the other places change in place. A checkpoint keeps
            them. None: it carries nothing.
        penalty: Returns ``(members,)``, added to each member's loss, or is None.
        penalty_gradient_: Adds the penalty's gradient to the gradients in place.
            Optional: where it is written out, training uses it and does not
            differentiate the penalty.
        before_step: Acts between the backward pass and the optimiser's step, without
            autograd: on gradients, which hold the penalty's, and on parameters.
        after_step: Acts after each optimiser step, without autograd.
        before_task: Acts at the start of every task after a network's first, before its
            first step, without autograd.
        measured: Returns the parameters that are measured before, between and after
            tasks in place of those that are trained; None: it is these.
        offset: Returns what is added to the outputs on ``inputs``, ``(members, batch,
            outputs)``, in training and wherever outputs are measured, without autograd;
            or None, for nothing. The diagnostics do not see it.
        watches: Whether ``after_step`` and ``penalty`` need the activations of the
            step's minibatch.
        watches_gradients: Whether it needs the loss's gradients by them as well, for
            which ``watches`` is to be set too.
        reads: Whether these places need the step's inputs.
        to_isometry: Whether it pulls or puts weights to isometry, from which a user's
            parameter with the attribute ``isometry`` False is kept.
        restarts: Whether every task starts from a new network.
        not_for_games: Why games cannot have it, in a few words; empty: they can.
        parts: The names of the methods it is a combination of, if it is one.
        trial_lr: A learning rate at which it learns a small task within some twenty
            passes; for the contract tests.
    """

    name: str
    summary: str
    source: str
    settings: Any = field(default_factory=AdamSettings)
    search: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    architecture: Callable[[Architecture, Any], Architecture] = _keep_architecture
    optimizer: Callable[[Training], torch.optim.Optimizer] = adam
    start: Callable[[Training], State] | None = None
    penalty: Callable[[Training], Tensor] | None = None
    penalty_gradient_: Callable[[Training], None] | None = None
    before_step: Callable[[Training], None] | None = None
    after_step: Callable[[Training], None] | None = None
    before_task: Callable[[Training], None] | None = None
    measured: Callable[[Training], Parameters] | None = None
    offset: Callable[[Training], Tensor | None] | None = None
    watches: bool = False
    watches_gradients: bool = False
    to_isometry: bool = False
    reads: bool = False
    restarts: bool = False
    not_for_games: str = ""
    parts: tuple[str, ...] = ()
    trial_lr: float = 1e-2


METHODS: Registry[Method] = Registry("method")


def register(method: Method) -> Method:
    """Add a method to the registry and return it; ValueError if its name is taken.

    Args:
        method: The method.
    """
    return METHODS.register(method.name, method)


def names() -> tuple[str, ...]:
    """Return the names of all methods."""
    return METHODS.names()
