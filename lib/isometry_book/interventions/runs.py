"""Worn networks, and forks of them that learn the next task of their stream."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.precision import exact_matmul
from isometry.lab.plans import Plan
from isometry.stream.binding import Bound
from isometry.stream.checkpoint import restored
from isometry.stream.run import Run, on_device
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.streams import Pixels, Task
from isometry.supervised.trainer import network_of, one_task, train
from isometry.supervised.training import stacked_tasks
from isometry_book.interventions.forks import ALL, Fork, copied

CPU = torch.device("cpu")
MEASURES = (
    "online_accuracy",
    "initial_loss",
    "final_loss",
    "plasticity",
    "test_accuracy",
)
Row = tuple[str, str, int, int, str, float]
Look = Callable[[Run], None]


def perceptron_of(planned: Plan, pixels: Pixels) -> MLP:
    """Return a plan's network; ValueError if it is no perceptron.

    Args:
        planned: Method and settings.
        pixels: The data.
    """
    arguments = (planned.method, planned.method_settings, planned.settings, pixels)
    network = network_of(*arguments)
    if not isinstance(network, MLP):
        found = planned.settings.network
        raise ValueError(refusal("network=mlp", found, "leave network as it is"))
    return network


def fresh_run(planned: Plan, pixels: Pixels, seeds: list[int], task: int) -> Run:
    """Return new networks that stand before a task, with a new optimiser.

    Args:
        planned: Method and settings.
        pixels: The data.
        seeds: One a member.
        task: Also names the draw; at task 0 these are the networks that training
            starts from.

    Source: ours; as the method ``fresh`` draws them.
    """
    network = perceptron_of(planned, pixels)
    run = Run(seeds=list(seeds), task=task)
    run.parameters = on_device(network.stacked(run.seeds, task), CPU)
    bound_to(planned, network).start(run)
    return run


def worn(
    planned: Plan, pixels: Pixels, seeds: list[int], ages: Sequence[int], look: Look
) -> Run:
    """Train through a stream and hand over the run at some ages.

    Args:
        planned: What is trained; one task more than the largest age.
        pixels: The data.
        seeds: One a member.
        ages: After how many tasks ``look`` is called; 0: before the first.
        look: Gets a run that shares nothing with the one that goes on.

    Returns:
        The finished run; its records hold every task.

    Raises:
        ValueError: If the plan has no task after the largest age.
    """
    if planned.settings.tasks <= max(ages):
        needed = f"more tasks than the largest age, {max(ages)}"
        raise ValueError(refusal(needed, planned.settings.tasks, "change tasks"))
    if 0 in ages:
        look(fresh_run(planned, pixels, seeds, 0))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"

        def between(done: int, parameters: object) -> None:
            if done in ages:
                look(restored(checkpoint, CPU))

        methods = planned.method, planned.method_settings
        rest = (planned.settings, pixels, seeds)
        keywords = {"checkpoint": checkpoint, "observe": between}
        return train(planned.images, *methods, *rest, **keywords)  # type: ignore[arg-type]


def next_task(planned: Plan, pixels: Pixels, run: Run) -> Task:
    """Return the task that a run learns next, stacked over its members.

    Args:
        planned: The stream.
        pixels: The data.
        run: Between two tasks.
    """
    make = planned.images.task
    tasks = [make(pixels, planned.settings, seed, run.task) for seed in run.seeds]
    return stacked_tasks(tasks, CPU)


def bound_to(planned: Plan, network: MLP) -> Bound:
    """Return a plan's method bound to its network.

    Args:
        planned: Method and settings.
        network: The plan's.
    """
    return Bound(
        method=planned.method,
        settings=planned.method_settings,
        structure=network.structure(),
        lr=planned.settings.lr,
    )


def optimizer_of(planned: Plan, network: MLP, run: Run) -> torch.optim.Optimizer:
    """Return a run's optimiser with the run's state.

    Args:
        planned: Method and settings.
        network: The run's.
        run: Between two tasks.
    """
    return bound_to(planned, network).optimizer(run)


def after_next(
    planned: Plan,
    pixels: Pixels,
    run: Run,
    start: dict[str, Tensor],
    task: Task,
    intervention: str = "nothing",
    lr: float | None = None,
) -> Run:
    """Return a fork of a run after an intervention and the next task.

    Args:
        planned: Method and settings.
        pixels: The data.
        run: Between two tasks; stays as it is.
        start: The parameters before the first task.
        task: From :func:`next_task`.
        intervention: One of :data:`isometry_book.interventions.forks.ALL`.
        lr: Of this task, if another one than the run's.

    Returns:
        The fork; its records hold this task's metrics.
    """
    network, fork = perceptron_of(planned, pixels), copied(run)
    bound = bound_to(planned, network)
    optimizer = bound.optimizer(fork)
    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    seen = Fork(
        network=network,
        parameters=fork.parameters,
        optimizer=optimizer,
        start=start,
        inputs=task.inputs,
    )
    for change in ALL[intervention]:
        change(seen)
    hooks = bound.hooks(fork, optimizer)
    with exact_matmul(CPU):
        one_task(fork, network, task, planned.settings, optimizer, hooks)
    fork.optimizer_state = optimizer.state_dict()
    return fork


def rows_of(benchmark: str, method: str, run: Run) -> list[Row]:
    """Return a run's records as tidy rows, only the measures of this study.

    Args:
        benchmark: For the store.
        method: For the store.
        run: With records.
    """
    return [
        (benchmark, method, r["seed"], r["task"], r["metric"], r["value"])
        for r in run.records
        if r["metric"] in MEASURES
    ]


def rows_of_metrics(
    benchmark: str, method: str, run: Run, metrics: Mapping[str, Tensor]
) -> list[Row]:
    """Return metrics of a run before its next task as tidy rows.

    Args:
        benchmark: For the store.
        method: For the store.
        run: Names seeds and task.
        metrics: name -> ``(members,)``; what is NaN is left out.
    """
    return [
        (benchmark, method, seed, run.task, name, float(values[index]))
        for name, values in metrics.items()
        for index, seed in enumerate(run.seeds)
        if not values[index].isnan()
    ]
