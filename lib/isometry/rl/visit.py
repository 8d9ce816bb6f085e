"""One visit: a stack of agents plays one game each, learns, and is measured."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from isometry.core.denormals import denormals_flushed
from isometry.core.seeding import Label
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.agent_diagnostics import agent_diagnostics
from isometry.rl.continual_settings import ContinualSettings, game_of
from isometry.rl.evaluation import Stage, mean_returns, stage_of
from isometry.rl.ppo.fast import fastest_step
from isometry.rl.ppo.players import reset_
from isometry.rl.ppo.rollout import Rollout, collect_, empty_rollout, gumbel_noise
from isometry.rl.ppo.step import STATISTICS, Learner
from isometry.rl.ppo.update import update_
from isometry.stream.binding import Hooks
from isometry.stream.run import Run, note_divergence, task_records

# Means over a visit's last update, by the names that the store knows them by.
KEPT = {
    "value": "value_loss",
    "entropy": "policy_entropy",
    "divergence": "policy_divergence",
    "clipped": "clip_fraction",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Arena:
    """Where a stack of agents plays: all that stays the same from visit to visit.

    Attributes:
        suite: First part of the games' names.
        settings: Of the run.
        network: Actor and critic.
        layers: Hidden layers that the method sees.
        device: Where the networks are.
    """

    suite: str
    settings: ContinualSettings
    network: ActorCritic
    layers: int
    device: torch.device

    def games(self, run: Run) -> list[str]:
        """Return which game each member plays at a run's next visit.

        Args:
            run: Names seeds and visit.
        """
        return [game_of(self.settings, seed, run.task) for seed in run.seeds]

    def stage(self, run: Run, games: list[str], num_envs: int, *labels: Label) -> Stage:
        """Return games of all members at a run's next visit, not started yet.

        Args:
            run: Names seeds and visit.
            games: One a member.
            num_envs: Games of a member.
            *labels: What they are for; each label has draws of its own.
        """
        own = (games, run.seeds, run.task, num_envs)
        return stage_of(self.suite, self.settings, *own, *labels, device=self.device)

    def training_stage(self, run: Run) -> Stage:
        """Return the stage on which the members train at a run's next visit.

        Args:
            run: Names seeds and visit.
        """
        return self.stage(run, self.games(run), self.settings.num_envs, "training")


def _evaluated(arena: Arena, run: Run, games: list[str], update: int) -> Tensor:
    """Return each member's mean return in a game of its own, ``(members,)``.

    Another number of updates in this visit draws anew.
    """
    episodes, labels = arena.settings.eval_episodes, ("evaluation", update)
    stage = arena.stage(run, games, episodes, *labels)
    drawn = ("evaluation", run.task, update)
    return mean_returns(arena.network, run.parameters, stage, run.seeds, *drawn)


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


def first_boards(arena: Arena, run: Run) -> tuple[Tensor, None]:
    """Return the boards with which a run's next visit begins, as the agents see them.

    Args:
        arena: Where it is.
        run: Between two visits.

    Returns:
        ``(members, games, features)``; no targets, for nothing has been played.
    """
    settings, stage = arena.settings, arena.training_stage(run)
    shape = (len(run.seeds), settings.num_envs, prod(stage.players.shape))
    small = torch.empty(shape, device=arena.device)
    reset_(stage.players, small)
    return arena.network.whole(small, stage.channels), None


@denormals_flushed()
def one_visit(
    arena: Arena,
    run: Run,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
) -> None:
    """Train on one visit, record what was measured, and step the run on.

    Args:
        arena: Where it is.
        run: Is changed.
        stage: From :meth:`Arena.training_stage`.
        optimizer: Holds the run's parameters.
        hooks: Where the method intervenes.
    """
    settings, network, visit = arena.settings, arena.network, run.task
    games = arena.games(run)
    learner = Learner(
        network=network,
        parameters=run.parameters,
        optimizer=optimizer,
        settings=settings,
        seeds=run.seeds,
        channels=stage.channels,
        hooks=hooks,
        layers=arena.layers,
    )
    rollout = empty_rollout(stage.players, settings)

    def tell(update: int) -> Tensor:
        found = _evaluated(arena, run, games, update)
        _note_returns(run, games, found, f"@{update * settings.update_steps}")
        return found

    seen = _play_visit(settings, run, learner, rollout, stage, tell)
    metrics = {"episodic_return": tell(settings.updates)}
    _note_returns(run, games, metrics["episodic_return"], "")
    for where in _other_games(settings, games):
        found = _evaluated(arena, run, where, settings.updates)
        _note_returns(run, where, found, "")
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
