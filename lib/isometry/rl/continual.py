"""Continual reinforcement learning: a stack of agents plays game after game."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from isometry.core.checkpoint import Run, on_device, restored, save
from isometry.core.messages import refusal
from isometry.methods import Method
from isometry.methods.binding import Bound
from isometry.rl.agent import check_heads, in_reach, network_of
from isometry.rl.continual_benchmarks import ContinualBenchmark
from isometry.rl.continual_settings import ContinualSettings
from isometry.rl.visit import first_boards, one_visit

Progress = Callable[[int, int], None]  # (visits done, visits)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Use one thread of the CPU meanwhile: for layers this small, two are slower."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    benchmark: ContinualBenchmark,
    method: Method,
    method_settings: Any,
    settings: ContinualSettings,
    seeds: list[int],
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train one agent a seed through all visits and return the finished run.

    Args:
        benchmark: The games.
        method: How the networks are kept plastic.
        method_settings: The method's own settings.
        settings: Sizes and training.
        seeds: Distinct, at least one.
        device: Where to train; games are played on the CPU.
        checkpoint: A file that is written after each visit and, if it is there at the
            start, from which the run goes on; the caller removes it at the end.
        progress: Called after each visit with (done, all).

    Returns:
        The run with its records; a task is a visit. ``episodic_return``: mean return of
        whole episodes with drawn actions at the end of the visit, in its game;
        ``episodic_return/GAME``: the same in each game; ``episodic_return/GAME@STEPS``:
        during the visit, after so many of its environment steps; ``online_return``:
        mean return of the episodes that ended while it was trained; ``value_loss``,
        ``policy_entropy``, ``policy_divergence``, ``clip_fraction``: means over the
        last update; and those of :func:`agent_diagnostics`. A member whose loss is not
        finite goes on with action 0.

    Raises:
        ValueError: If seeds are missing or repeated, a setting does not fit, or the
            checkpoint cannot be read.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(refusal("distinct seeds, at least one", seeds, "change seeds"))
    check_heads(method_settings, settings)
    device = torch.device(device)
    network = network_of(benchmark, method, method_settings, settings)
    structure = in_reach(network.structure(), settings)
    bound = Bound(
        method=method, settings=method_settings, structure=structure, lr=settings.lr
    )
    run = Run(seeds=list(seeds))
    if checkpoint is not None and checkpoint.exists():
        run = restored(checkpoint, device)
    optimizer = None
    with _one_thread(device):
        while run.task < settings.tasks:
            new = run.task == 0 or method.restarts
            if new:
                run.parameters = on_device(network.stacked(run.seeds, run.task), device)
                optimizer = run.optimizer_state = None
                bound.start(run)
            if settings.reset_optimizer:
                optimizer = run.optimizer_state = None
            if optimizer is None:
                optimizer = bound.optimizer(run)
            if not new:
                first = partial(first_boards, benchmark, settings, run, device)
                bound.before_task(run, optimizer, first)
            one_visit(
                benchmark,
                settings,
                run,
                network,
                optimizer,
                bound.hooks(run, optimizer),
                len(structure.layers),
                device,
            )
            if checkpoint is not None and run.task < settings.tasks:
                run.optimizer_state = optimizer.state_dict()
                save(run, checkpoint)
            if progress is not None:
                progress(run.task, settings.tasks)
    run.optimizer_state = None
    return run
