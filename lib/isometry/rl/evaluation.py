"""How well a stack plays: mean returns of whole episodes, actions drawn."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.extras import extra
from isometry.core.seeding import Label, derived_seed
from isometry.core.stacking import Parameters
from isometry.rl import make_vec
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.continual_settings import ContinualSettings, channels_of
from isometry.rl.ppo.players import Players, players_of, reset_, step_
from isometry.rl.ppo.rollout import gumbel_noise, sampled

with extra("rl"):
    import numpy as np

NOISE_STEPS = 64  # drawn at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A game for each member, ready to be played, and how its boards are read.

    Attributes:
        players: The games.
        channels: ``(members, c)``, see :meth:`ActorCritic.placed`; None: whole boards.
    """

    players: Players
    channels: Tensor | None


def stage_of(
    suite: str,
    settings: ContinualSettings,
    games: list[str],
    seeds: list[int],
    visit: int,
    num_envs: int,
    *labels: Label,
    device: torch.device,
) -> Stage:
    """Return the games of all members at a visit, not started yet.

    Args:
        suite: First part of the games' names.
        settings: Limits, actions, channels.
        games: One a member.
        seeds: One a member.
        visit: Number of the visit.
        num_envs: Games of a member.
        *labels: What they are for; each label has draws of its own.
        device: Where the networks are.

    Raises:
        KeyError: If a game is not known.
    """
    if suite == "minatar":
        own = {"sticky": settings.sticky, "ramping": settings.ramping}
    else:
        own = {"timer_wrap": settings.timer_wrap}
    limits = {"freeway": settings.freeway_max_steps}
    envs = [
        make_vec(
            f"{suite}/{game}",
            num_envs,
            seed=derived_seed(seed, "games", visit, *labels),
            actions=settings.action_set,
            max_steps=limits.get(game, settings.max_steps),
            **own,
        )
        for game, seed in zip(games, seeds, strict=True)
    ]
    players = players_of(envs, settings.num_actions, settings.invalid_action, device)
    channels = None
    if settings.pad_channels:
        count = players.shape[-1]
        places = [
            channels_of(settings, seed, visit, game)[:count]
            for game, seed in zip(games, seeds, strict=True)
        ]
        channels = torch.tensor(places, device=device)
    return Stage(players=players, channels=channels)


@torch.no_grad()
def mean_returns(
    network: ActorCritic,
    parameters: Parameters,
    stage: Stage,
    seeds: list[int],
    *labels: Label,
) -> Tensor:
    """Return the mean return of one episode of every game, ``(members,)``, float64.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``.
        stage: The games; each has a limit of steps.
        seeds: One a member.
        *labels: Name the draws of the actions.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE`: actions are drawn, not the best.
    """
    players = stage.players
    placed = network.placed(parameters, stage.channels)
    boards = torch.empty(players.staged.shape, dtype=torch.bool, device=players.device)
    reset_(players, boards)
    returns = np.zeros(boards.shape[:2])
    playing = np.ones(boards.shape[:2], dtype=np.bool_)
    step = 0
    while playing.any():
        if step % NOISE_STEPS == 0:
            size = (NOISE_STEPS, players.num_envs, network.num_actions)
            where = players.device
            noise = gumbel_noise(seeds, size, *labels, step, device=where)
        logits = network.logits(placed, boards)
        actions = sampled(logits, noise[:, step % NOISE_STEPS])
        outcome = step_(players, actions, boards)
        returns += outcome.rewards * playing
        playing &= ~(outcome.terminated | outcome.truncated)
        step += 1
    return torch.from_numpy(returns.mean(1))
