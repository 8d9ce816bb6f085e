"""Taking learners through a stream, with checkpoints between its stretches."""

from pathlib import Path
from typing import Any

import torch

from isometry.core.denormals import denormals_flushed
from isometry.core.messages import refusal
from isometry.core.seeding import checked_seeds
from isometry.stream.checkpoint import identity_of, restored, save
from isometry.stream.loop import Progress
from isometry.stream.run import Run, task_records
from isometry.tracking.benchmarks import TrackingBenchmark
from isometry.tracking.learner import Learner


def train(
    benchmark: TrackingBenchmark,
    learner: Learner,
    learner_settings: Any,
    settings: Any,
    seeds: list[int],
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Take one member a seed through a whole stream and return the finished run.

    Args:
        benchmark: The stream.
        learner: One of the benchmark's learners.
        learner_settings: Its settings.
        settings: Of the stream.
        seeds: Distinct, at least one.
        device: The CPU; at one example a step nothing else is of use.
        checkpoint: A file that is written after each stretch and, if it is there at the
            start, from which the run goes on; the caller removes it at the end.
        progress: Called after each stretch with (done, all).

    Returns:
        The run with its records; a task is a stretch. An error that is no finite number
        is recorded as infinite.

    Raises:
        ImportError: If the extra ``rl``, with numba, is not there.
        OSError: If the checkpoint cannot be opened or written.
        ValueError: If seeds are missing or repeated, the device is no CPU, or the
            checkpoint is damaged or of another run.
    """
    device = torch.device(device)
    if device.type != "cpu":
        needed = f"a CPU for {benchmark.name}, which takes one example a step"
        raise ValueError(refusal(needed, str(device), "use device cpu or auto"))
    run = Run(seeds=checked_seeds(seeds))
    rule = benchmark.rule(learner, learner_settings)
    named = benchmark.name, learner.name, settings, learner_settings
    identity = identity_of(*named, run.seeds, device) if checkpoint else {}
    if checkpoint is not None and checkpoint.exists():
        run = restored(checkpoint, device, identity)
    else:
        members = [benchmark.begin(rule, settings, seed) for seed in run.seeds]
        names = members[0]
        run.carried = {k: torch.stack([own[k] for own in members]) for k in names}
    while run.task < settings.tasks:
        with denormals_flushed():
            _one_task(benchmark, rule, settings, run)
        if checkpoint is not None and run.task < settings.tasks:
            save(run, checkpoint, identity)
        if progress is not None:
            progress(run.task, settings.tasks)
    return run


def _one_task(benchmark: TrackingBenchmark, rule: Any, settings: Any, run: Run) -> None:
    """Take all members through the next stretch, one after the other."""
    for i, seed in enumerate(run.seeds):
        state = {name: tensor[i] for name, tensor in run.carried.items()}
        metrics, squares = benchmark.task(rule, settings, seed, run.task, state)
        bad = ~squares.isfinite()
        if bool(bad.any()) and seed not in run.diverged_at:
            run.diverged_at[seed] = run.steps + int(bad.int().argmax())
        alone = Run(seeds=[seed], task=run.task)
        values = torch.tensor(list(metrics.values()), dtype=torch.float64)
        values[~values.isfinite()] = float("inf")
        run.records += task_records(
            alone, dict(zip(metrics, values[:, None], strict=True))
        )
    run.task, run.steps = run.task + 1, run.steps + settings.steps_per_task
