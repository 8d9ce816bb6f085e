"""Gradient descent: in Adam's place, and as a method of its own."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from isometry.core.messages import refusal
from isometry.core.settings import keys, require, setting
from isometry.methods.method import METHODS, AdamSettings, Method, adam, register
from isometry.methods.optimisers.entry_adam import entry_adam
from isometry.methods.training import Training

# What to do instead of a method that is an optimiser itself.
COUPLED = "use adam_isometry: under SGD the coupled and the decoupled pull are one"
INSTEAD = {
    "adamo": COUPLED,
    "adamo_maxmin": COUPLED.replace("adam_isometry", "maxmin+adam_isometry"),
    "adamw": "use l2: under SGD the penalty and the decoupled decay are one",
    "sgd_momentum": "use adam: with optimizer=sgd and a momentum it is this method",
}


@dataclass(frozen=True, kw_only=True)
class _MomentumSettings:
    """The setting of SGD with momentum.

    Source: Polyak 1964.
    """

    sgd_momentum: float = setting(0.9, "Decay of the momentum, in [0, 1).")

    def __post_init__(self) -> None:
        needed = "0 <= sgd_momentum < 1"
        require(0 <= self.sgd_momentum < 1, "sgd_momentum", needed, self.sgd_momentum)


def sgd(training: Training, *, momentum: float = 0.0) -> torch.optim.Optimizer:
    """Return ``torch.optim.SGD`` over the stack: it acts entry by entry.

    ``b <- momentum b + g`` and ``W <- W - lr b``, with b = g in the first step. Not
    fused: the fused kernel rounds the last entries of a tensor differently, so that a
    member would depend on how many others there are.

    Args:
        training: The stack and its learning rate.
        momentum: Dimensionless, in [0, 1); 0: nothing is remembered.

    Source: Polyak 1964; without dampening and without Nesterov's look ahead.
    """
    own = training.parameters.values()
    return torch.optim.SGD(own, lr=training.lr, momentum=momentum)


def _brings_optimizer(method: Method) -> bool:
    """Return whether a method, or a part of it, is an optimiser itself.

    An Adam that counts steps entry by entry is Adam: gradient descent takes its place.
    """
    parts = [METHODS.get(name) for name in method.parts] or [method]
    return any(part.optimizer not in (adam, entry_adam) for part in parts)


def check_optimizer(method: Method, method_settings: Any, settings: Any) -> None:
    """Refuse a method, or settings of Adam, that ``optimizer=sgd`` would ignore.

    Args:
        method: How the network is kept plastic.
        method_settings: The method's own settings.
        settings: Of the run; without a setting ``optimizer`` it is Adam.

    Raises:
        ValueError: If the run asks for SGD and the method is an optimiser itself, or
            one of Adam's decays or its eps was changed.
    """
    if getattr(settings, "optimizer", "adam") == "adam":
        return
    if _brings_optimizer(method):
        needed = "a method without an optimiser of its own for optimizer=sgd"
        parts = (method.name, *method.parts)
        found = (INSTEAD[part] for part in parts if part in INSTEAD)
        advice = next(found, "use another method or optimizer=adam")
        raise ValueError(refusal(needed, method.name, advice))
    changed = [
        f"{key}={getattr(method_settings, key)}"
        for key in keys(AdamSettings)
        if getattr(method_settings, key, None) != getattr(method.settings, key, None)
    ]
    if changed:
        needed = "no settings of Adam with optimizer=sgd, which has none of them"
        raise ValueError(refusal(needed, ", ".join(changed), "leave them out"))


def with_optimizer(method: Method, method_settings: Any, settings: Any) -> Method:
    """Return the method with the optimiser that a run asks for.

    Args:
        method: How the network is kept plastic.
        method_settings: The method's own settings.
        settings: Of the run: ``optimizer`` and ``momentum``.

    Raises:
        ValueError: As :func:`check_optimizer`.
    """
    check_optimizer(method, method_settings, settings)
    if settings.optimizer == "adam":
        return method
    return replace(method, optimizer=partial(sgd, momentum=settings.momentum))


def _sgd_momentum(training: Training) -> torch.optim.Optimizer:
    """Return :func:`sgd` with the method's own momentum.

    Source: Polyak 1964.
    """
    return sgd(training, momentum=training.settings.sgd_momentum)


SGD_MOMENTUM = register(
    Method(
        name="sgd_momentum",
        summary="SGD with momentum, nothing else",
        source="Polyak 1964",
        settings=_MomentumSettings(),
        search={"sgd_momentum": (0.0, 0.9, 0.99)},
        optimizer=_sgd_momentum,
        trial_lr=0.05,
    )
)
