"""Measuring plasticity of one network: copies of it, new tasks, a fixed budget.

The budget is counted in optimiser steps, in samples or in floating-point operations.
The three agree on which of two equal networks is more plastic; they can disagree as
soon as networks or batch sizes differ, which is why a result must name its unit.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from isometry.core.messages import refusal, unknown
from isometry.plasticity.measure import removed_fraction

Unit = Literal["steps", "samples", "flops"]
UNITS: tuple[Unit, ...] = ("steps", "samples", "flops")
TaskData = tuple[Tensor, Tensor]  # inputs (n, ...), targets (n, ...)
LossFunction = Callable[[Tensor, Tensor], Tensor]
OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

ADAM: OptimizerFactory = partial(torch.optim.Adam, lr=1e-3)


@dataclass(frozen=True)
class Budget:
    """How much a network may spend on a task.

    Attributes:
        amount: How many of the unit, > 0.
        unit: ``steps`` of the optimiser, ``samples`` seen (with repetition), or
            ``flops``: multiplications and additions of forward and backward passes.

    Raises:
        ValueError: If the amount is not positive.
        KeyError: If the unit is not known.

    Source: arXiv 2606.09762, Sec. 2 asks for "a fixed resource budget"; units ours.

    Example:
        >>> Budget(1600, "samples").steps(batch_size=16, flops_a_step=1)
        100
    """

    amount: float
    unit: Unit = "steps"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise KeyError(unknown("unit", self.unit, UNITS))
        if not self.amount > 0:
            raise ValueError(refusal("amount > 0", self.amount, "give some budget"))

    def steps(self, batch_size: int, flops_a_step: int) -> int:
        """Return how many whole steps the budget pays for, possibly 0.

        Args:
            batch_size: Samples in a step.
            flops_a_step: Floating-point operations in a step.
        """
        cost = {"steps": 1, "samples": batch_size, "flops": flops_a_step}[self.unit]
        return int(self.amount // cost)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What :func:`measure_plasticity` found.

    Attributes:
        plasticity: Mean of ``fractions``, dimensionless.
        fractions: ``(tasks,)``, the fraction of the excess loss removed in each task.
        initial_loss: ``(tasks,)``, on all of a task's data, before.
        final_loss: ``(tasks,)``, after.
        steps: Optimiser steps taken in each task.
        flops_a_step: Floating-point operations of one step.
    """

    plasticity: float
    fractions: Tensor
    initial_loss: Tensor
    final_loss: Tensor
    steps: int
    flops_a_step: int


def training_flops(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: LossFunction = functional.cross_entropy,
) -> int:
    """Return the floating-point operations of one forward and backward pass.

    Matrix products and convolutions are counted, as ``torch.utils.flop_counter`` does;
    elementwise work and the optimiser are not.

    Args:
        model: The network; its gradients are left as they were.
        inputs: One minibatch, ``(batch, ...)``.
        targets: Its targets.
        loss: Maps outputs and targets to a scalar.
    """
    model = copy.deepcopy(model)
    with FlopCounterMode(display=False) as counter:
        loss(model(inputs), targets).backward()
    return counter.get_total_flops()


@torch.no_grad()
def _task_loss(model: nn.Module, task: TaskData, loss: LossFunction) -> float:
    """Return the loss on all of a task's data, in evaluation mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    value = float(loss(model(task[0]), task[1]))
    for module, mode in modes.items():
        module.training = mode
    return value


def trained(
    model: nn.Module,
    task: TaskData,
    steps: int,
    generator: torch.Generator,
    *,
    batch_size: int = 16,
    optimizer: OptimizerFactory = ADAM,
    loss: LossFunction = functional.cross_entropy,
) -> nn.Module:
    """Return a copy of the network after some steps on a task.

    Minibatches are drawn without replacement, a new order for each pass.

    Args:
        model: Where to start; not changed.
        task: Inputs and targets.
        steps: Optimiser steps, >= 0.
        generator: Draws the orders.
        batch_size: At most the number of inputs.
        optimizer: Makes the optimiser from parameters; its state starts empty.
        loss: Maps outputs and targets to a scalar.
    """
    model = copy.deepcopy(model).train()
    stepper = optimizer(model.parameters())
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < batch_size:
            order = torch.randperm(len(task[0]), generator=generator)
        chosen, order = order[:batch_size], order[batch_size:]
        stepper.zero_grad()
        loss(model(task[0][chosen]), task[1][chosen]).backward()
        stepper.step()
    return model


def measure_plasticity(
    model: nn.Module,
    tasks: Sequence[TaskData],
    budget: Budget,
    achievable_loss: float | Sequence[float] = 0.0,
    *,
    generator: torch.Generator,
    batch_size: int = 16,
    optimizer: OptimizerFactory = ADAM,
    loss: LossFunction = functional.cross_entropy,
) -> Measurement:
    """Measure how plastic a network is now: the definition, carried out.

    A copy of the network is trained on each task with the same budget; the network
    itself is not changed. Plasticity is the mean fraction of the excess achievable
    loss that the budget removes.

    Args:
        model: The network.
        tasks: Tasks drawn from the distribution of interest, each with inputs
            ``(n, ...)`` and targets ``(n, ...)``.
        budget: What each copy may spend; at least one step.
        achievable_loss: The best achievable loss, one number or one a task. The
            default, 0, is the lower bound of the cross-entropy.
        generator: Draws the orders of minibatches.
        batch_size: Samples in a step.
        optimizer: Makes the optimiser from parameters, e.g. ``AdamO``.
        loss: Maps outputs and targets to a scalar.

    Raises:
        ValueError: If there is no task, a task is smaller than a batch, the budget
            does not pay for one step, or nothing is left to remove in a task.

    Source: arXiv 2606.09762, Sec. 2; the estimator is ours.
    """
    if not tasks:
        raise ValueError(refusal("at least one task", 0, "draw some tasks"))
    smallest = min(len(inputs) for inputs, _ in tasks)
    if not 1 <= batch_size <= smallest:
        needed = f"1 <= batch_size <= {smallest}, the smallest task"
        raise ValueError(refusal(needed, batch_size, "change batch_size"))
    inputs, targets = tasks[0]
    flops = training_flops(model, inputs[:batch_size], targets[:batch_size], loss)
    steps = budget.steps(batch_size, flops)
    if steps < 1:
        needed = f"a budget for one step ({batch_size} samples, {flops} flops)"
        raise ValueError(refusal(needed, str(budget), "raise the budget"))
    learn = partial(trained, batch_size=batch_size, optimizer=optimizer, loss=loss)
    initial = torch.tensor([_task_loss(model, task, loss) for task in tasks])
    final = torch.tensor(
        [_task_loss(learn(model, task, steps, generator), task, loss) for task in tasks]
    )
    best = torch.as_tensor(achievable_loss, dtype=torch.float64)
    fractions = removed_fraction(initial, final, best)
    return Measurement(float(fractions.mean()), fractions, initial, final, steps, flops)
