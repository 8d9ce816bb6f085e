"""The state of a run between two tasks, what it records, and its checkpoint."""

import hashlib
import io
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isometry.core.files import write_whole
from isometry.core.machine import code_digest, device_name, versions
from isometry.core.messages import refusal
from isometry.core.settings import as_dict
from isometry.core.stacking import Parameters

Record = dict[str, Any]  # seed, task, metric, value
Identity = dict[str, Any]  # what a run's bits depend on, JSON-ready
MAGIC = b"isometry checkpoint 1 "


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


def save(run: Run, path: Path, identity: Identity | None = None) -> None:
    """Write a checkpoint, whole or not at all, that says what run it is of.

    Args:
        run: The state between two tasks.
        path: The checkpoint; its folder is made.
        identity: See :func:`identity_of`.

    Raises:
        OSError: If it cannot be written; the checkpoint of before stays.
    """
    state = {f.name: getattr(run, f.name) for f in fields(run)}
    state["parameters"] = {n: p.detach() for n, p in run.parameters.items()}
    content = io.BytesIO()
    content.write(json.dumps(identity or {}, sort_keys=True).encode() + b"\n")
    torch.save(state, content)
    held = content.getvalue()
    write_whole(path, MAGIC + _digest(held) + b"\n" + held)


def restored(path: Path, device: torch.device, identity: Identity | None = None) -> Run:
    """Return the run that a checkpoint holds.

    Args:
        path: The checkpoint.
        device: Where the run goes on.
        identity: Of the run that goes on; any run's if not given.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is damaged, of an older version, or of another run; says what
            differs.
    """
    with path.open("rb") as file:
        first, second, held = file.readline(), file.readline(), file.read()
    if not first.startswith(MAGIC):
        found = "one that does not say what run it is of"
        raise _not_of_this_run(path, found)
    if first.removeprefix(MAGIC).rstrip(b"\n") != _digest(second + held):
        raise _not_of_this_run(path, "one that is damaged")
    differing = _differing(json.loads(second), identity)
    if differing:
        raise _not_of_this_run(path, f"one of another, with {differing}")
    run = Run(**torch.load(io.BytesIO(held), weights_only=True))
    run.parameters = on_device(run.parameters, device)
    run.carried = _moved(run.carried, device)
    return run


def identity_of(
    benchmark: str,
    method: str,
    settings: Any,
    method_settings: Any,
    seeds: list[int],
    device: torch.device,
) -> Identity:
    """Return what a run's bits depend on, for its checkpoint.

    Args:
        benchmark: Its name.
        method: Its name.
        settings: Of the run.
        method_settings: Of the method.
        seeds: One member a seed.
        device: Where it is trained.
    """
    settings = {**as_dict(settings), **as_dict(method_settings)}
    found = {"benchmark": benchmark, "method": method, "seeds": seeds, **settings}
    found |= {"device": device_name(device), **versions(), "code": code_digest()}
    return json.loads(json.dumps(found))


def _digest(held: bytes) -> bytes:
    """Return the checksum of what a checkpoint holds."""
    return hashlib.blake2b(held, digest_size=16).hexdigest().encode()


def _differing(found: Identity, wanted: Identity | None) -> str:
    """Return in words where a checkpoint's identity differs from the one wanted."""
    if wanted is None:
        return ""
    keys = [k for k in {**wanted, **found} if found.get(k) != wanted.get(k)]
    words = [f"{k} {found.get(k)} instead of {wanted.get(k)}" for k in keys]
    return ", ".join(words)


def _not_of_this_run(path: Path, found: str) -> ValueError:
    """Return the refusal of a checkpoint."""
    do = "go on as the run was begun, or remove it to begin anew"
    return ValueError(refusal(f"a checkpoint of this run at {path}", found, do))
