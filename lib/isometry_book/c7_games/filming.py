"""Chapter 7: an agent is trained in the chapter and filmed on the way.

Source: ours; the settings are those of the experiments on a laptop, on one game.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from isometry.core.profile import ByProfile
from isometry.core.stacking import Parameters
from isometry.lab.plans import Plan, plan
from isometry.rl.agent import network_of
from isometry.rl.continual import train
from isometry.rl.film import Film, film
from isometry.stream.checkpoint import restored
from isometry.stream.run import Run

# Three visits of one game that differ in nothing are one training in three parts.
COMMON: dict[str, Any] = {
    "games": "breakout",
    "cycles": 3,
    "permute_channels": False,
    "reset_optimizer": False,
    "lr": 2.5e-3,
    "eval_every": 0,
    "diagnose_every": 0,
}
# `env_steps` of a third, whole updates.
SIZES: ByProfile[dict[str, Any]] = ByProfile(
    smoke={"env_steps": 1024, "num_envs": 16, "rollout_length": 64},
    laptop={"env_steps": 131_072, "num_envs": 128, "minibatches": 16},
    paper={"env_steps": 1_310_720, "num_envs": 128, "minibatches": 16},
)
MAX_FRAMES = 301
TAKES = 64  # episodes of each moment, of which one is shown


@dataclass(frozen=True, kw_only=True)
class Learning:
    """One agent's films from untrained to trained.

    Attributes:
        films: One episode each: before training, after a third of it, at its end; of
            :data:`TAKES` the one whose return is nearest to the mean.
        returns: Of all takes, at those moments.
        mean_returns: Of as many whole episodes as ``episodes`` says, at those moments.
        episodes: Behind each mean.
        env_steps: Of the whole training.
        discount: gamma of the agent.
    """

    films: Mapping[str, Film]
    returns: Mapping[str, Sequence[float]]
    mean_returns: Mapping[str, float]
    episodes: int
    env_steps: int
    discount: float


def _film_plan(profile: str) -> Plan:
    """Return what is trained: plain Adam on Breakout."""
    changes = {**COMMON, **SIZES.of(profile)}
    return plan("continual_minatar", "adam", changes, profile)


def filmed_learning(
    profile: str, seed: int = 0, device: torch.device | str = "cpu"
) -> Learning:
    """Train an agent and film it on the way.

    Args:
        profile: ``"smoke"`` (hardly learns), ``"laptop"`` (half a minute) or
            ``"paper"``.
        seed: Of network, training and films.
        device: Where to train.

    Raises:
        ValueError: If the profile is not known.

    Example:
        >>> list(filmed_learning("smoke").films)
        ['untrained', '1,024 steps', '3,072 steps']
    """
    planned, device = _film_plan(profile), torch.device(device)
    parts, settings = (planned.method, planned.method_settings), planned.settings
    network = network_of(planned.games, *parts, settings)
    start = {n: p.to(device) for n, p in network.stacked([seed], 0).items()}
    first, run = _trained(planned, seed, device)
    done = settings.updates * settings.update_steps
    moments: list[tuple[str, Parameters, float]] = [
        ("untrained", start, _mean_return(run, 0, "/breakout@0")),
        (f"{done:,} steps", first, _mean_return(run, 0, "")),
        (f"{3 * done:,} steps", run.parameters, _mean_return(run, 2, "")),
    ]

    def take(parameters: Parameters, visit: int) -> Film:
        """Return one episode; visits differ in their draws alone."""
        return film(
            network,
            parameters,
            planned.games,
            settings,
            "breakout",
            seed,
            visit=visit,
            max_frames=MAX_FRAMES,
        )

    takes = {
        name: [take(parameters, visit) for visit in range(TAKES)]
        for name, parameters, _ in moments
    }
    return Learning(
        films={name: nearest_to_mean(takes[name], mean) for name, _, mean in moments},
        returns={
            name: [float(one.returns[-1]) for one in kept]
            for name, kept in takes.items()
        },
        mean_returns={name: mean for name, _, mean in moments},
        episodes=settings.eval_episodes,
        env_steps=3 * done,
        discount=settings.discount,
    )


def nearest_to_mean(films: Sequence[Film], mean: float) -> Film:
    """Return the film whose return is nearest to a mean: what an agent does as a rule.

    Args:
        films: Of one agent, at least one.
        mean: In units of return.

    Returns:
        The first of the nearest; a film that was cut only if all were.
    """
    whole = [one for one in films if one.ended] or films
    return min(whole, key=lambda one: abs(float(one.returns[-1]) - mean))


def _trained(planned: Plan, seed: int, device: torch.device) -> tuple[Parameters, Run]:
    """Return the parameters after the first third, and the finished run."""
    kept: list[Parameters] = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pt"

        def keep(done: int, visits: int) -> None:
            if done == 1:
                kept.append(restored(file, device).parameters)

        run = train(
            planned.games,
            planned.method,
            planned.method_settings,
            planned.settings,
            [seed],
            device=device,
            checkpoint=file,
            progress=keep,
        )
    return kept[0], run


def _mean_return(run: Run, visit: int, more: str) -> float:
    """Return what was measured at a visit under ``episodic_return`` and ``more``."""
    name = f"episodic_return{more}"
    [value] = [
        r["value"] for r in run.records if r["task"] == visit and r["metric"] == name
    ]
    return value
