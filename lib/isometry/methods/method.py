"""What a method is: the few places where the literature intervenes, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from isometry.core.registry import Registry
from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters
from isometry.methods.structure import Architecture, Roles, State, Structure


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


def adam(
    parameters: Parameters, roles: Roles, lr: float, settings: Any
) -> torch.optim.Optimizer:
    """Return fused ``torch.optim.Adam`` over the stack: Adam acts entry by entry.

    Args:
        parameters: name -> ``(members, ...)``.
        roles: What each parameter is; not used.
        lr: Learning rate, > 0.
        settings: An :class:`AdamSettings`.

    Source: Kingma & Ba 2015.
    """
    return torch.optim.Adam(
        parameters.values(), lr=lr, fused=True, **adam_keywords(settings)
    )


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way of keeping a network plastic.

    All functions work on stacked parameters and keep the members apart.

    Attributes:
        name: As typed on the command line.
        summary: One line for tables.
        source: Where the method comes from.
        settings: The method's own settings, a frozen dataclass with defaults.
        search: Values of its own settings that a search tries, by name; those of the
            literature where there are any.
        architecture: What it changes of the network.
        optimizer: ``(parameters, roles, lr, settings) -> Optimizer``. Where it is the
            default, :func:`adam`, a run may put gradient descent in its place.
        start: ``(structure, parameters, seeds, settings) -> State``: what it carries
            along from step to step and from task to task, made from the network before
            its first step; tensors ``(members, ...)`` that its functions change in
            place. A checkpoint keeps them. None: it carries nothing.
        penalty: ``(parameters, roles, settings) -> (members,)``, added to each
            member's loss, or None. A method that carries a state gets it as a fourth
            argument, here and in ``penalty_gradient_``.
        penalty_gradient_: The same arguments; adds the penalty's gradient to the
            gradients in place. Optional: where it is written out, training uses it
            and does not differentiate the penalty.
        after_step: ``(training, step, activations)``, called without autograd after
            each optimiser step; ``training`` is a :class:`Training`, and ``step``
            counts the steps taken before, over all tasks.
        watches: Whether ``after_step`` needs the activations of the step's minibatch,
            one ``(members, samples, units)`` a hidden layer; otherwise it gets None.
        restarts: Whether every task starts from a new network.
        parts: The names of the methods it is a combination of, if it is one.
    """

    name: str
    summary: str
    source: str
    settings: Any = field(default_factory=AdamSettings)
    search: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    architecture: Callable[[Architecture, Any], Architecture] = _keep_architecture
    optimizer: Callable[[Parameters, Roles, float, Any], torch.optim.Optimizer] = adam
    start: Callable[[Structure, Parameters, list[int], Any], State] | None = None
    penalty: Callable[..., Tensor] | None = None
    penalty_gradient_: Callable[..., None] | None = None
    after_step: Callable[..., None] | None = None
    watches: bool = False
    restarts: bool = False
    parts: tuple[str, ...] = ()


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
