"""The loop over tasks: restart, carry on, optimiser, method, checkpoint, progress."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from isometry.core.messages import refusal
from isometry.core.stacking import Parameters
from isometry.methods import Method, Structure
from isometry.methods.training import Batch
from isometry.stream.binding import Bound, Hooks
from isometry.stream.checkpoint import identity_of, restored, save
from isometry.stream.run import Run, on_device

T = TypeVar("T")
Progress = Callable[[int, int], None]  # (tasks done, tasks)
Observer = Callable[[int, Parameters], None]  # (tasks done, parameters)


class _Network(Protocol):
    """What the loop asks of a network."""

    def stacked(self, seeds: list[int], *labels: int) -> Parameters:
        """Return the parameters of one new member a seed."""


class _Settings(Protocol):
    """What the loop asks of a run's settings."""

    @property
    def tasks(self) -> int:
        """Tasks in the stream."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def reset_optimizer(self) -> bool:
        """Whether each task resets the optimiser."""


@dataclass(frozen=True, kw_only=True)
class Stream(Generic[T]):
    """A stream of tasks on networks: all in which images and games differ.

    Attributes:
        name: Of the benchmark, for checkpoints.
        network: Draws new members.
        structure: The network, as far as methods act on it.
        task: ``(run) -> T``: what all members do next.
        first_pass: ``(run, task)``: the minibatches of one pass over it, for a method
            that acts between tasks.
        learn: ``(run, task, optimizer, hooks)``: trains on it, records what was
            measured, and steps the run on.
    """

    name: str
    network: _Network
    structure: Structure
    task: Callable[[Run], T]
    first_pass: Callable[[Run, T], Iterator[Batch]]
    learn: Callable[[Run, T, torch.optim.Optimizer, Hooks], None]


def train_on(
    stream: Stream[T],
    method: Method,
    method_settings: Any,
    settings: _Settings,
    seeds: list[int],
    *,
    device: torch.device,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    observe: Observer | None = None,
) -> Run:
    """Train one member a seed through a whole stream and return the finished run.

    Args:
        stream: Networks and tasks.
        method: How the networks are kept plastic.
        method_settings: The method's own settings.
        settings: Of the run.
        seeds: Distinct, at least one.
        device: Where to train.
        checkpoint: A file that is written after each task and, if it is there at the
            start, from which the run goes on; the caller removes it at the end.
        progress: Called after each task with (done, all).
        observe: Called after each task with the number of tasks done and the stack's
            parameters, which go on changing: copy what is kept.

    Raises:
        OSError: If the checkpoint cannot be opened or written.
        ValueError: If seeds are missing or repeated, or the checkpoint is damaged or of
            another run: other settings, seeds, versions, code, device or threads.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(refusal("distinct seeds, at least one", seeds, "change seeds"))
    bound = Bound(
        method=method,
        settings=method_settings,
        structure=stream.structure,
        lr=settings.lr,
    )
    run = Run(seeds=list(seeds))
    named = stream.name, method.name, settings, method_settings
    identity = identity_of(*named, run.seeds, device) if checkpoint else {}
    if checkpoint is not None and checkpoint.exists():
        run = restored(checkpoint, device, identity)
    optimizer = None
    while run.task < settings.tasks:
        new = run.task == 0 or method.restarts
        if new:
            drawn = stream.network.stacked(run.seeds, run.task)
            run.parameters = on_device(drawn, device)
            bound.start(run)
        if new or settings.reset_optimizer:
            optimizer = run.optimizer_state = None
        if optimizer is None:
            optimizer = bound.optimizer(run)
        task = stream.task(run)
        if not new:
            bound.before_task(run, optimizer, partial(stream.first_pass, run, task))
        stream.learn(run, task, optimizer, bound.hooks(run, optimizer))
        if checkpoint is not None and run.task < settings.tasks:
            run.optimizer_state = optimizer.state_dict()
            save(run, checkpoint, identity)
        if observe is not None:
            observe(run.task, run.parameters)
        if progress is not None:
            progress(run.task, settings.tasks)
    run.optimizer_state = None
    return run
