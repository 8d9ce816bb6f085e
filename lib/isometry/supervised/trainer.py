"""The stacked trainer: all seeds of a method, one stream each, in one network stack."""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isometry.core.denormals import denormals_flushed
from isometry.core.memory import check_training
from isometry.core.precision import exact_matmul
from isometry.methods import Method
from isometry.methods.optimisers.gradient_descent import with_optimizer
from isometry.methods.training import Batch
from isometry.plasticity import removed_fraction
from isometry.stream.binding import Hooks
from isometry.stream.loop import Observer, Progress, Stream, train_on
from isometry.stream.run import Run, note_divergence, task_records
from isometry.supervised.benchmarks import Benchmark
from isometry.supervised.diagnostics import stack_diagnostics
from isometry.supervised.networks.kinds import Network, network_of
from isometry.supervised.scaling import nothing_seen, scaled_by, scaled_stream
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels, Task
from isometry.supervised.training import (
    batches,
    evaluate,
    minibatches,
    passes,
    stacked_tasks,
    train_task,
)


def _task_plasticity(initial_loss: Tensor, final_loss: Tensor) -> Tensor:
    """Return the fraction of a task's loss that was removed; 0 is taken as achievable.

    Source: arXiv 2606.09762, Sec. 2.
    """
    removable = initial_loss > 0
    start = torch.where(removable, initial_loss, 1.0)
    removed = removed_fraction(start, final_loss, 0.0)
    return torch.where(removable, removed, math.nan)


@denormals_flushed()
def one_task(
    run: Run,
    network: Network,
    task: Task,
    settings: SupervisedSettings,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
) -> None:
    """Train on one task, record what was measured, and step the run on.

    Args:
        run: Is changed.
        network: The network.
        task: The stacked task.
        settings: Epochs and batch size.
        optimizer: Holds the run's parameters.
        hooks: Where the method intervenes.
    """
    steps = settings.epochs * math.ceil(settings.images_per_task / settings.batch_size)
    own = run.parameters if hooks.measured is None else hooks.measured()

    def measured(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        seen = scaled_by(run.seen, inputs)
        return evaluate(network, own, seen, labels, offset=hooks.offset)

    initial_loss, _ = measured(task.inputs, task.labels)
    stream = passes(task, settings, run.seeds, run.task)
    if run.seen:
        stream = scaled_stream(run.seen, minibatches(stream, settings.batch_size))
    losses, accuracies = train_task(
        network,
        run.parameters,
        optimizer,
        hooks,
        stream,
        steps,
        precision=settings.precision,
        batch_size=settings.batch_size,
    )
    final_loss, final_accuracy = measured(task.inputs, task.labels)
    metrics = {
        "online_accuracy": accuracies.double().mean(0),
        "final_accuracy": final_accuracy,
        "initial_loss": initial_loss,
        "final_loss": final_loss,
        "plasticity": _task_plasticity(initial_loss, final_loss),
    }
    if task.test_inputs is not None and task.test_labels is not None:
        _, metrics["test_accuracy"] = measured(task.test_inputs, task.test_labels)
    every = settings.diagnose_every
    if every and (run.task + 1) % every == 0:
        metrics |= stack_diagnostics(network, own, scaled_by(run.seen, task.inputs))
    note_divergence(run, torch.cat([losses, final_loss.unsqueeze(0)]))
    run.records += task_records(run, metrics)
    run.steps += steps
    run.task += 1


def train(
    benchmark: Benchmark,
    method: Method,
    method_settings: Any,
    settings: SupervisedSettings,
    pixels: Pixels,
    seeds: list[int],
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    observe: Observer | None = None,
) -> Run:
    """Train one member a seed through the whole stream and return the finished run.

    Args:
        benchmark: The stream.
        method: How the network is kept plastic.
        method_settings: The method's own settings.
        settings: Sizes and training.
        pixels: The data, scaled.
        seeds: Distinct, at least one.
        device: Where to train.
        checkpoint: A file that is written after each task and, if it is there at the
            start, from which the run goes on; the caller removes it at the end.
        progress: Called after each task with (done, all).
        observe: Called after each task with the number of tasks done and the stack's
            parameters, which go on changing: copy what is kept.

    Returns:
        The run with its records: ``online_accuracy`` (mean over the task's minibatches
        of the accuracy before the update), ``final_accuracy``, ``initial_loss``,
        ``final_loss`` (on all the task's images, before and after), ``plasticity``
        (the fraction of the loss removed; the lower bound 0 of the cross-entropy is
        taken as achievable) and ``test_accuracy`` where labels carry a pattern; and
        every ``diagnose_every`` tasks those of :func:`stack_diagnostics`. A
        member whose loss is not finite has an infinite loss and plasticity 0. A task
        that a member starts with no loss at all has no ``plasticity``. On a CPU,
        denormal numbers count as zero while a task is trained.

    Raises:
        ValueError: If seeds are missing or repeated, the run cannot fit into memory,
            the checkpoint cannot be read, the method does not go with the run's
            optimiser, or the stream cannot blend its tasks as the settings ask.
    """
    benchmark.check_blend(settings)
    device, precision = torch.device(device), settings.precision
    method = with_optimizer(method, method_settings, settings)
    pixels = benchmark.prepared(pixels)
    network = network_of(method, method_settings, settings, pixels)
    images = 4 * settings.images_per_task * pixels.train_inputs.shape[1]
    check_training(network, seeds, settings, images, device)

    def next_task(run: Run) -> Task:
        own = [benchmark.task(pixels, settings, seed, run.task) for seed in run.seeds]
        if settings.input_scaling == "running" and not run.seen:
            run.seen = nothing_seen(len(own), own[0].inputs.shape[1], device)
        return stacked_tasks(own, device)

    def first_pass(run: Run, task: Task) -> Iterator[Batch]:
        steps = math.ceil(settings.images_per_task / settings.batch_size)
        first = islice(batches(task, settings, run.seeds, run.task), steps)
        return ((scaled_by(run.seen, inputs), labels) for inputs, labels in first)

    def learn(
        run: Run, task: Task, optimizer: torch.optim.Optimizer, hooks: Hooks
    ) -> None:
        one_task(run, network, task, settings, optimizer, hooks)

    stream = Stream(
        name=benchmark.name,
        network=network,
        structure=network.structure(),
        task=next_task,
        first_pass=first_pass,
        learn=learn,
    )
    with exact_matmul(device, tf32=precision == "tf32"):
        return train_on(
            stream,
            method,
            method_settings,
            settings,
            seeds,
            device=device,
            checkpoint=checkpoint,
            progress=progress,
            observe=observe,
        )
