"""One visit: a stack of agents plays one game each, learns, and is measured."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from isometry.core.checkpoint import Run
from isometry.core.denormals import denormals_flushed
from isometry.methods.binding import Hooks, note_divergence, task_records
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.agent_diagnostics import agent_diagnostics
from isometry.rl.continual_benchmarks import ContinualBenchmark
from isometry.rl.continual_settings import ContinualSettings, game_of
from isometry.rl.evaluation import Stage, mean_returns, stage_of
from isometry.rl.ppo.fast import fastest_step
from isometry.rl.ppo.players import reset_
from isometry.rl.ppo.rollout import Rollout, collect_, empty_rollout, gumbel_noise
from isometry.rl.ppo.step import STATISTICS, Learner
from isometry.rl.ppo.update import update_

# Means over a visit's last update, by the names that the store knows them by.
KEPT = {
    "value": "value_loss",
    "entropy": "policy_entropy",
    "divergence": "policy_divergence",
    "clipped": "clip_fraction",
}


def evaluated(
    benchmark: ContinualBenchmark,
    settings: ContinualSettings,
    network: ActorCritic,
    run: Run,
    games: list[str],
    update: int,
    device: torch.device,
) -> Tensor:
    """Return each member's mean return in a game of its own, ``(members,)``.

    Args:
        benchmark: Names the suite.
        settings: Of the run.
        network: Actor and critic.
        run: Parameters, seeds and visit.
        games: One a member.
        update: Updates of this visit so far; another one draws anew.
        device: Where the networks are.
    """
    seeds, visit = run.seeds, run.task
    stage = stage_of(
        benchmark.suite,
        settings,
        games,
        seeds,
        visit,
        settings.eval_episodes,
        "evaluation",
        update,
        device=device,
    )
    labels = ("evaluation", visit, update)
    return mean_returns(network, run.parameters, stage, seeds, *labels)


def _play_visit(
    settings: ContinualSettings,
    run: Run,
    learner: Learner,
    rollout: Rollout,
    stage: Stage,
    tell: Callable[[int], Any],
) -> Tensor:
    """Train on one visit's games and return what each gradient step saw.

    Source: Schulman et al. 2017.
    """
    players, network, visit = stage.players, learner.network, run.task
    size = (settings.rollout_length, settings.num_envs, settings.num_actions)
    rate = [group["lr"] for group in learner.optimizer.param_groups]
    step = fastest_step(learner)
    reset_(players, rollout.boards[:, 0])
    seen = []
    for update in range(settings.updates):
        if update % settings.updates_between_evaluations == 0:
            tell(update)
        if settings.lr_schedule == "linear":
            left = 1 - update / settings.updates
            for group, lr in zip(learner.optimizer.param_groups, rate, strict=True):
                group["lr"] = lr * left
        labels = ("actions", visit, update)
        noise = gumbel_noise(run.seeds, size, *labels, device=players.device)
        with torch.no_grad():
            placed = network.placed(learner.parameters, stage.channels)
        collect_(network, placed, players, rollout, noise, settings)
        seen.append(update_(learner, rollout, visit, update, step))
        rollout.boards[:, 0] = rollout.boards[:, -1]
    for group, lr in zip(learner.optimizer.param_groups, rate, strict=True):
        group["lr"] = lr
    return torch.cat(seen)


def _other_games(settings: ContinualSettings, games: list[str]) -> list[list[str]]:
    """Return what members play besides their own games, if all are evaluated."""
    names = settings.names
    count = len(names) if settings.eval_all_games else 1
    return [
        [names[(names.index(game) + turn) % count] for game in games]
        for turn in range(1, count)
    ]


def _training_stage(
    benchmark: ContinualBenchmark,
    settings: ContinualSettings,
    run: Run,
    device: torch.device,
) -> tuple[list[str], Stage]:
    """Return the game of each member at a run's next visit, and the stage."""
    seeds, visit = run.seeds, run.task
    games = [game_of(settings, seed, visit) for seed in seeds]
    own = (games, seeds, visit, settings.num_envs, "training")
    return games, stage_of(benchmark.suite, settings, *own, device=device)


def first_boards(
    benchmark: ContinualBenchmark,
    settings: ContinualSettings,
    run: Run,
    device: torch.device,
) -> tuple[Tensor, None]:
    """Return the boards with which a run's next visit begins, as the agents see them.

    Args:
        benchmark: Names the suite.
        settings: Of the run.
        run: Between two visits.
        device: Where the networks are.

    Returns:
        ``(members, games, features)``; no targets, for nothing has been played.
    """
    _, stage = _training_stage(benchmark, settings, run, device)
    small = torch.empty(len(run.seeds), settings.num_envs, prod(stage.players.shape))
    small = small.to(device)
    reset_(stage.players, small)
    if stage.channels is None:
        return small, None
    small = small.unflatten(-1, stage.players.shape)
    whole = small.new_zeros(*small.shape[:-1], settings.pad_channels)
    for member, channels in enumerate(stage.channels):
        whole[member, ..., channels] = small[member]
    return whole.flatten(2), None


@denormals_flushed()
def one_visit(
    benchmark: ContinualBenchmark,
    settings: ContinualSettings,
    run: Run,
    network: ActorCritic,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
    layers: int,
    device: torch.device,
) -> None:
    """Train on one visit, record what was measured, and step the run on.

    Args:
        benchmark: Names the suite.
        settings: Of the run.
        run: Is changed.
        network: Actor and critic.
        optimizer: Holds the run's parameters.
        hooks: Where the method intervenes.
        layers: Hidden layers that the method sees.
        device: Where the networks are.
    """
    seeds, visit = run.seeds, run.task
    games, stage = _training_stage(benchmark, settings, run, device)
    learner = Learner(
        network=network,
        parameters=run.parameters,
        optimizer=optimizer,
        settings=settings,
        seeds=seeds,
        channels=stage.channels,
        hooks=hooks,
        layers=layers,
    )
    rollout = empty_rollout(stage.players, settings)

    def measure(where: list[str], update: int) -> Tensor:
        return evaluated(benchmark, settings, network, run, where, update, device)

    def tell(update: int) -> Tensor:
        found = measure(games, update)
        _note_returns(run, games, found, f"@{update * settings.update_steps}")
        return found

    seen = _play_visit(settings, run, learner, rollout, stage, tell)
    metrics = {"episodic_return": tell(settings.updates)}
    _note_returns(run, games, metrics["episodic_return"], "")
    for where in _other_games(settings, games):
        _note_returns(run, where, measure(where, settings.updates), "")
    last = seen[-settings.gradient_steps :].double().mean(0)
    for name, kept in KEPT.items():
        metrics[kept] = last[STATISTICS.index(name)]
    metrics["online_return"] = rollout.returned / rollout.episodes
    every = settings.diagnose_every
    if every and (visit + 1) % every == 0:
        with torch.no_grad():
            placed = network.placed(run.parameters, stage.channels)
        boards = rollout.boards.flatten(1, 2)
        metrics |= agent_diagnostics(network, placed, boards)
    note_divergence(run, seen[:, STATISTICS.index("total")])
    run.records += task_records(run, metrics)
    run.steps += len(seen)
    run.task += 1


def _note_returns(run: Run, games: list[str], returns: Tensor, at: str) -> None:
    """Record returns under the name of each member's game."""
    run.records += [
        {
            "seed": seed,
            "task": run.task,
            "metric": f"episodic_return/{game}{at}",
            "value": float(value),
        }
        for seed, game, value in zip(run.seeds, games, returns, strict=True)
    ]
