"""The decoupled isometry step beside any other torch optimiser."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from isometry.adamo.checks import check_ranges, check_stable, check_weights, read_group
from isometry.adamo.loading import fitted
from isometry.adamo.naming import tell_parameters
from isometry.adamo.optimizer import AdamO
from isometry.adamo.pull import (
    ISOMETRY_KEYS,
    TABLE,
    isometry_defaults,
    move_,
    pieces_of,
    pulled,
    rate_due,
    skipped,
    warn_of_rate,
)
from isometry.core.hooks import Outermost
from isometry.core.messages import refusal

ATTACHED = "_isometry_attached"  # an attribute, for torch does not copy these either
Changes = list[tuple[Tensor, Tensor]]  # (weight, what to add to it)


def with_isometry(
    optimizer: torch.optim.Optimizer,
    *,
    isometry_strength: float = 1e-3,
    isometry_lr: float | None = None,
    isometry_every: int | str = 1,
) -> torch.optim.Optimizer:
    """Give any optimiser the isometry step of AdamO, beside its own, and return it.

    Every step becomes ``theta <- step(theta) - isometry_lr strength r(theta)``, with r
    at the weights before the step (with a closure: at its first evaluation). The
    optimiser's own arithmetic and state never see r. The keywords may be set per group
    beforehand; a group without them, also one added later, gets the values given here.
    Parameters are taken as :func:`param_groups`, :func:`mark` or their shape say.

    The step is attached by hooks. torch does not copy hooks: call this function again
    on a copy or an unpickled optimiser; it goes on as its groups say. While a step is
    taken, one more copy of the pulled weights is held; AdamO needs none.

    Args:
        optimizer: SGD, RMSprop, Muon, LBFGS, ...; it is changed in place.
        isometry_strength: lambda, >= 0; 0 changes nothing.
        isometry_lr: eta_iso, >= 0; None follows each group's ``lr`` and schedule.
        isometry_every: k >= 1, or ``"auto"``, as in AdamO.

    Returns:
        The same optimiser.

    Raises:
        TypeError: If it is no torch optimiser.
        ValueError: For a value out of range, a rate that cannot be stable, weights that
            are not finite, a group that asks for the isometry step without a matrix, or
            an optimiser that has the step already.

    Source: arXiv 2606.09762, last term of Eq. 20, for other optimisers: ours.

    Example:
        >>> layer = torch.nn.Linear(3, 3)
        >>> sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> with_isometry(sgd, isometry_strength=0.1) is sgd
        True
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        found = type(optimizer).__name__
        raise TypeError(refusal("a torch optimiser", found, "pass e.g. SGD"))
    if isinstance(optimizer, AdamO) or ATTACHED in optimizer.__dict__:
        raise ValueError(
            refusal(
                "an optimiser without the isometry step",
                type(optimizer).__name__ + " that has it",
                "call with_isometry once, and not on AdamO",
            )
        )
    own = isometry_defaults(isometry_strength, isometry_lr, isometry_every)
    read_group(own, {})
    check_ranges(own)
    for group in optimizer.param_groups:
        _complete(group, own)
    before, after = step_hooks(optimizer, own)

    def keep(_: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        current = optimizer.param_groups
        state_dict = fitted(state_dict, current)
        saved = [
            {**{key: now[key] for key in ISOMETRY_KEYS if key in now}, **group}
            | ({TABLE: now[TABLE]} if TABLE in now else {})
            for now, group in zip(current, state_dict["param_groups"], strict=False)
        ]
        rest = state_dict["param_groups"][len(saved) :]
        return {**state_dict, "param_groups": [*saved, *rest]}

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    optimizer.register_load_state_dict_pre_hook(keep)
    optimizer.__dict__[ATTACHED] = True
    return optimizer


def step_hooks(
    optimizer: torch.optim.Optimizer, own: dict[str, Any]
) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Return what makes the isometry step beside a step, as two hooks around it.

    The first takes the changes at the weights before the step, with a closure at its
    first evaluation; the second adds them, unless a GradScaler has skipped the step.

    Args:
        optimizer: Its groups say what is pulled, its ``found_inf`` if a GradScaler
            leaves the step out.
        own: What a group that is added later has under :data:`ISOMETRY_KEYS`.
    """
    held: list[Changes] = []
    nested = Outermost()

    def before(
        stepped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not nested.enter(stepped):
            return None
        held.clear()
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            held.append(_changes(optimizer, own))
            return None

        def observed() -> Any:
            value = closure()
            if not held:
                held.append(_changes(optimizer, own))
            return value

        if len(args) > 1:
            return (args[0], observed, *args[2:]), kwargs
        return args, {**kwargs, "closure": observed}

    @torch.no_grad()
    def after(*_: Any) -> None:
        if not nested.leave():
            return
        found_inf = getattr(optimizer, "found_inf", None)
        for weight, change in held.pop() if held else ():
            if found_inf is not None:
                change.mul_(1 - found_inf.to(change.device, non_blocking=True))
            weight.add_(change)

    return before, after


def _complete(group: dict[str, Any], own: dict[str, Any]) -> None:
    """Fill in and check the isometry keys of one group."""
    read_group(group, own)
    asked = group.get("isometry_strength", 0.0)
    complete = {**own, **group}
    tell_parameters(complete)
    check_ranges({key: complete[key] for key in ISOMETRY_KEYS})
    if complete["isometry_strength"] > 0:
        check_stable({**complete, "weight_decay": 0.0})
        check_weights(complete, asked=asked > 0)
    group.update({key: complete[key] for key in (*ISOMETRY_KEYS, TABLE)})


@torch.no_grad()
def _changes(optimizer: torch.optim.Optimizer, own: dict[str, Any]) -> Changes:
    """Return what the isometry step would add to each weight, at the weights now."""
    changes: Changes = []
    if skipped(optimizer) is True:
        return changes
    for group in optimizer.param_groups:
        if "isometry_count" not in group:  # a group that was added later
            _complete(group, own)
        if group["isometry_strength"] == 0:
            continue
        rate, period = rate_due(group, in_graph=False)
        if isinstance(rate, float) and rate == 0:
            continue
        warn_of_rate(optimizer, rate)
        weights = pulled(group)
        moved = [(weight.detach().clone(), entry) for weight, entry in weights]
        dims, pieces = group["isometry_dims"], pieces_of(group, period)
        move_(moved, rate, member_dims=dims, pieces=pieces)
        both = zip(weights, moved, strict=True)
        changes += [(weight, new.sub_(weight)) for (weight, _), (new, _) in both]
    return changes
