"""A method bound to one run: its optimiser, its state, its places in a step."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from isometry.core.checkpoint import Record, Run
from isometry.core.stacking import Parameters
from isometry.methods.method import Method
from isometry.methods.structure import Roles, Structure, Training


def task_records(run: Run, metrics: dict[str, Tensor]) -> list[Record]:
    """Return one record a seed and metric for the task that was just finished.

    Args:
        run: Names seeds and task.
        metrics: name -> ``(members,)``; NaN where it is not defined: no record.
    """
    return [
        {"seed": seed, "task": run.task, "metric": name, "value": float(values[i])}
        for name, values in metrics.items()
        for i, seed in enumerate(run.seeds)
        if not values[i].isnan()
    ]


def note_divergence(run: Run, losses: Tensor) -> None:
    """Note the first step of each member whose loss was not finite.

    Args:
        run: Is changed.
        losses: ``(steps + 1, members)``: before each step of this task, and at its end.
    """
    bad = ~torch.isfinite(losses)
    for i, seed in enumerate(run.seeds):
        if bool(bad[:, i].any()) and seed not in run.diverged_at:
            run.diverged_at[seed] = run.steps + int(bad[:, i].int().argmax())


@torch.no_grad()
def new_optimizer(
    run: Run, roles: Roles, method: Method, method_settings: Any, lr: float
) -> torch.optim.Optimizer:
    """Return the method's optimiser over the run's parameters, with the run's state.

    An optimiser may refuse weights that are not finite. Those of a member that has
    diverged are put aside meanwhile, so that the other members can go on.

    Args:
        run: Its parameters and, if there is one, the optimiser's state.
        roles: What each parameter is.
        method: Makes the optimiser.
        method_settings: The method's own settings.
        lr: Learning rate.
    """
    aside = {n: p.clone() for n, p in run.parameters.items() if not p.isfinite().all()}
    for name in aside:
        run.parameters[name].zero_()
    optimizer = method.optimizer(run.parameters, roles, lr, method_settings)
    for name, values in aside.items():
        run.parameters[name].copy_(values)
    if run.optimizer_state is not None:
        optimizer.load_state_dict(run.optimizer_state)
    return optimizer


def _in_view(structure: Structure, parameters: Parameters) -> Parameters:
    """Return those parameters whose role the structure tells."""
    return {name: p for name, p in parameters.items() if name in structure.roles}


@torch.no_grad()
def started(
    run: Run, structure: Structure, method: Method, method_settings: Any
) -> dict[str, Any]:
    """Return what a method carries along, as it is before a network's first step.

    Args:
        run: Its parameters are new.
        structure: The network, as far as the method acts on it.
        method: How the network is kept plastic.
        method_settings: The method's own settings.
    """
    if method.start is None:
        return {}
    seen = _in_view(structure, run.parameters)
    return method.start(structure, seen, run.seeds, method_settings)


def hooks(
    run: Run,
    structure: Structure,
    method: Method,
    method_settings: Any,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Return where a method intervenes in a step, bound to this run.

    Args:
        run: Its parameters and what the method carries along.
        structure: The network, as far as the method acts on it.
        method: How the network is kept plastic.
        method_settings: The method's own settings.
        optimizer: Holds the run's parameters.

    Returns:
        ``penalty``, a function or None, and ``watch``; and where there are such,
        ``add_gradient`` and ``after_step``: what a trainer does with them stands in
        :func:`isometry.supervised.training.train_task`.
    """
    seen = _in_view(structure, run.parameters)
    arguments: list[Any] = [seen, structure.roles, method_settings]
    if method.start is not None:
        arguments.append(run.carried)
    bound: dict[str, Any] = {"penalty": None, "watch": method.watches}
    if method.penalty_gradient_ is not None:
        gradient = partial(method.penalty_gradient_, *arguments)
        bound["add_gradient"] = torch.no_grad()(gradient)
    elif method.penalty is not None:
        bound["penalty"] = partial(method.penalty, *arguments)
    if method.after_step is not None:
        training = Training(
            structure=structure,
            parameters=run.parameters,
            optimizer=optimizer,
            seeds=run.seeds,
            settings=method_settings,
            state=run.carried,
        )
        done, act = run.steps, method.after_step
        bound["after_step"] = lambda step, seen: act(training, done + step, seen)
    return bound
