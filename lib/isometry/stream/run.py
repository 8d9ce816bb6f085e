"""The state of a run between two tasks, and what it records."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isometry.core.stacking import Parameters

Record = dict[str, Any]  # seed, task, metric, value


class Written(NamedTuple):
    """How far the file of a run's records is its own.

    Attributes:
        records: How many are in it.
        size: Their length in bytes.
        digest: Their checksum.
    """

    records: int = 0
    size: int = 0
    digest: str = ""


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
        seen: What a stream has shown so far, where inputs are scaled by it.
        written: Which of the records a checkpoint has on disk.
    """

    seeds: list[int]
    task: int = 0
    parameters: Parameters = field(default_factory=dict)
    optimizer_state: dict[str, Any] | None = None
    records: list[Record] = field(default_factory=list)
    diverged_at: dict[int, int] = field(default_factory=dict)
    steps: int = 0
    carried: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Tensor] = field(default_factory=dict)
    written: Written = Written()


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


def moved(carried: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return what a method carries along, on a device.

    Args:
        carried: Stacked tensors by name; names may stand in groups.
        device: Where to put them.
    """
    return {
        name: moved(value, device) if isinstance(value, dict) else value.to(device)
        for name, value in carried.items()
    }
