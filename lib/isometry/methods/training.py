"""What every place of a method gets: one stack in training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from isometry.core.seeding import Label, generator
from isometry.core.stacking import Parameters
from isometry.methods.structure import Roles, State, Structure

Batch = tuple[Tensor, Tensor | None]  # inputs and targets


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """One stack in training, as every place of a method sees it.

    Attributes:
        structure: The network: roles, layers, how a new member is drawn.
        parameters: name -> ``(members, ...)``, all of them; changed in place.
        seeds: One a member.
        settings: The method's own.
        lr: The run's learning rate, > 0.
        task: Number of the task, from 0.
        step: Optimiser steps taken before, over all tasks: before this one in
            ``after_step``, before this task elsewhere, ``before_step`` included.
        state: What the method carries along, see :attr:`Method.start`.
        optimizer: Holds the parameters; its state may be changed in place. Only
            ``before_step``, ``after_step`` and ``before_task`` have it.
        activations: Of the step's minibatch, one ``(members, samples, units)`` a hidden
            layer; for ``after_step`` and, with their history, ``penalty`` of a method
            that watches, else empty.
        gradients: Of the sum of the members' losses by these activations, of the same
            shapes; if the method asks for them, else empty.
        losses: Each member's on the step's minibatch, ``(members,)``, without history;
            for ``penalty``. In games the policy's.
        inputs: ``(members, batch, features)``: in ``before_task`` the new task's first
            minibatch, in ``penalty`` and ``after_step`` the step's, for a method that
            reads it; of games, boards.
        targets: Its labels, ``(members, batch)``; None for games.
        batches: ``() ->`` the new task's minibatches of one pass, inputs and targets;
            for ``before_task``, else None.
        gradient_of: Gives a parameter's gradient by its name; None: it is where torch
            keeps it.
        replaced: Told of each hidden layer whose units are made new, by its place, and
            of which, ``(members, units)``; None: nobody asks.
    """

    structure: Structure
    parameters: Parameters
    seeds: list[int]
    settings: Any
    lr: float
    task: int = 0
    step: int = 0
    state: State = field(default_factory=dict)
    optimizer: torch.optim.Optimizer = None  # type: ignore[assignment]
    activations: Sequence[Tensor] = ()
    gradients: Sequence[Tensor] = ()
    losses: Tensor | None = None
    inputs: Tensor | None = None
    targets: Tensor | None = None
    batches: Callable[[], Iterator[Batch]] | None = None
    gradient_of: Callable[[str], Tensor] | None = None
    replaced: Callable[[int, Tensor], None] | None = None

    @property
    def roles(self) -> Roles:
        """What each parameter is, those that are to be left alone included."""
        return self.structure.roles

    def gradient(self, name: str) -> Tensor:
        """Return a parameter's gradient, to which a penalty adds its own.

        Args:
            name: Of the parameter.
        """
        if self.gradient_of is not None:
            return self.gradient_of(name)
        return self.parameters[name].grad  # type: ignore[return-value]

    def generators(self, *labels: Label) -> list[torch.Generator]:
        """Return a random generator for each member, of its seed and these labels.

        Labels that name the step make a draw that is the same after a restart.

        Args:
            *labels: Whose draw this is, and at which step.
        """
        return [generator(seed, "method", *labels) for seed in self.seeds]
