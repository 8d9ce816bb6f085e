"""Continual reinforcement learning: a stack of agents plays game after game."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch

from isometry.core.memory import check_training
from isometry.methods import Method
from isometry.rl.agent import check_heads, in_reach, network_of
from isometry.rl.continual_benchmarks import ContinualBenchmark
from isometry.rl.continual_settings import ContinualSettings
from isometry.rl.visit import Arena, first_boards, one_visit
from isometry.stream.loop import Progress, Stream, train_on
from isometry.stream.run import Run


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
        ValueError: If seeds are missing or repeated, a setting does not fit, the run
            cannot fit into memory, or the checkpoint cannot be read.
    """
    check_heads(method_settings, settings)
    device = torch.device(device)
    network = network_of(benchmark, method, method_settings, settings)
    games = max(settings.update_steps, settings.eval_episodes)
    check_training(network, seeds, settings, games * prod(network.observation), device)
    structure = in_reach(network.structure(), settings)
    arena = Arena(
        suite=benchmark.suite,
        settings=settings,
        network=network,
        layers=len(structure.layers),
        device=device,
    )
    stream = Stream(
        name=benchmark.name,
        network=network,
        structure=structure,
        task=arena.training_stage,
        first_pass=lambda run, stage: iter([first_boards(arena, run)]),
        learn=partial(one_visit, arena),
    )
    with _one_thread(device):
        return train_on(
            stream,
            method,
            method_settings,
            settings,
            seeds,
            device=device,
            checkpoint=checkpoint,
            progress=progress,
        )
