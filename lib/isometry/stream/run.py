"""The state of a run between two tasks, what it records, and its checkpoint."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.stacking import Parameters

Record = dict[str, Any]  # seed, task, metric, value


@dataclass
class Run:
    """The state of a run between two tasks: all that a checkpoint needs.

    Attributes:
        seeds: One member a seed.
        task: The next task.
        parameters: name -> ``(members, ...)``.
        optimizer_state: What the optimiser carries to the next task, or None.
        records: What was measured, tidy.
        diverged_at: First step of each seed whose loss was not finite.
        steps: Optimiser steps taken.
        carried: What the method carries along, stacked tensors by name.
    """

    seeds: list[int]
    task: int = 0
    parameters: Parameters = field(default_factory=dict)
    optimizer_state: dict[str, Any] | None = None
    records: list[Record] = field(default_factory=list)
    diverged_at: dict[int, int] = field(default_factory=dict)
    steps: int = 0
    carried: dict[str, Any] = field(default_factory=dict)


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


def on_device(parameters: Parameters, device: torch.device) -> Parameters:
    """Return the parameters as leaf tensors on a device, ready for an optimiser.

    Args:
        parameters: name -> ``(members, ...)``.
        device: Where to put them.
    """
    return {
        name: tensor.detach().to(device).requires_grad_()
        for name, tensor in parameters.items()
    }


def _moved(carried: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return what a method carries along, on a device."""
    return {
        name: _moved(value, device) if isinstance(value, dict) else value.to(device)
        for name, value in carried.items()
    }


def save(run: Run, path: Path) -> None:
    """Write a checkpoint whole: to a temporary name first, then renamed.

    Args:
        run: The state between two tasks.
        path: The checkpoint; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    state = {f.name: getattr(run, f.name) for f in fields(run)}
    state["parameters"] = {n: p.detach() for n, p in run.parameters.items()}
    torch.save(state, temporary)
    temporary.replace(path)


def restored(path: Path, device: torch.device) -> Run:
    """Return the run that a checkpoint holds.

    Args:
        path: The checkpoint.
        device: Where the run goes on.

    Raises:
        ValueError: If the file cannot be read.
    """
    try:
        run = Run(**torch.load(path, weights_only=True))
    except (RuntimeError, EOFError, UnpicklingError, TypeError) as error:
        reason = type(error).__name__
        raise ValueError(
            refusal(
                f"a readable checkpoint at {path}", reason, "remove it and run again"
            )
        ) from None
    run.parameters = on_device(run.parameters, device)
    run.carried = _moved(run.carried, device)
    return run
