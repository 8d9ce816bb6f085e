"""The agent of a continual run, and how far methods reach into it."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from isometry.core.messages import refusal
from isometry.methods import Architecture, Method, Structure
from isometry.methods.structure import Roles
from isometry.rl import make_vec
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.continual_benchmarks import ContinualBenchmark
from isometry.rl.continual_settings import ContinualSettings

VALUE_HEAD = "head.critic.weight"


def network_of(
    benchmark: ContinualBenchmark,
    method: Method,
    method_settings: Any,
    settings: ContinualSettings,
) -> ActorCritic:
    """Return the networks that a method trains on a benchmark.

    Args:
        benchmark: Names the suite of games.
        method: May change the architecture.
        method_settings: The method's own settings.
        settings: The run's settings.

    Raises:
        ValueError: If a game has more actions than the agent, its boards have more
            channels than the agent's, or the method is not for games.
    """
    if method.not_for_games:
        found = f"{method.name}: {method.not_for_games}"
        raise ValueError(refusal("a method for games", found, "change method"))
    architecture = Architecture(
        network=settings.network,
        width=settings.width,
        depth=settings.depth,
        activation=settings.activation,
        negative_slope=settings.negative_slope,
        init=settings.init,
        init_gain=settings.init_gain,
        hidden_bias=settings.hidden_bias,
    )
    boards = _boards_of(benchmark, settings)
    observation = boards[settings.names[0]]
    if settings.pad_channels:
        observation = (*observation[:-1], settings.pad_channels)
    for game, shape in boards.items():
        if shape[:-1] != observation[:-1] or shape[-1] > observation[-1]:
            needed = f"pad_channels >= {shape[-1]} for {game}"
            raise ValueError(refusal(needed, observation[-1], "raise pad_channels"))
        if not settings.pad_channels and shape != observation:
            needed = "boards of one shape, or pad_channels"
            raise ValueError(refusal(needed, f"{game} of {shape}", "set pad_channels"))
    return ActorCritic(
        architecture=method.architecture(architecture, method_settings),
        observation=observation,
        num_actions=settings.num_actions,
        policy_gain=settings.policy_gain,
        value_gain=settings.value_gain,
        shared=settings.cnn_layout if settings.network == "cnn" else None,
    )


def _boards_of(
    benchmark: ContinualBenchmark, settings: ContinualSettings
) -> dict[str, tuple[int, ...]]:
    """Return the shape of a board of each game."""
    shapes = {}
    for game in settings.names:
        name, actions = f"{benchmark.suite}/{game}", settings.action_set
        env = make_vec(name, 1, seed=0, actions=actions)
        count = int(env.single_action_space.n)  # type: ignore[attr-defined]
        if count > settings.num_actions:
            needed = f"num_actions >= {count} for {game}"
            raise ValueError(refusal(needed, settings.num_actions, "raise num_actions"))
        shapes[game] = env.single_observation_space.shape or ()
    return shapes


def in_reach(structure: Structure, settings: ContinualSettings) -> Structure:
    """Return the networks as far as methods act on them.

    Args:
        structure: Of actor and critic.
        settings: Say whether heads and shared layers are left alone.

    Returns:
        The structure with the role ``spared`` for what is left alone; heads stay named,
        so that the weights that read a unit are known. If methods act on the value's
        head alone, they do so as on any hidden weight.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE`: hidden kernels only.
    """
    structure = _with_value_head(structure, settings)
    spared = _spared_prefixes(settings)
    roles: Roles = {
        name: "spared" if name.startswith(spared) else role
        for name, role in structure.roles.items()
    }
    layers = [la for la in structure.layers if not la.weight.startswith(spared)]
    whole, count = structure.function, len(layers)

    def function(*inputs: Any) -> tuple[Tensor, list[Tensor]]:
        outputs, activations = whole(*inputs)  # type: ignore[misc]
        return outputs, activations[-count:]

    return replace(structure, roles=roles, layers=tuple(layers), function=function)


def _with_value_head(structure: Structure, settings: ContinualSettings) -> Structure:
    """Return the networks, an unprotected head of the value among the hidden weights.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE`: on Octax, where actor and critic
        are one network, only the policy's head is left out of AdamO's step.
    """
    if settings.protect_value_head:
        return structure
    (head,) = [la for la in structure.heads if la.weight == VALUE_HEAD]
    return replace(
        structure,
        roles={**structure.roles, VALUE_HEAD: "hidden"},
        heads=tuple(la for la in structure.heads if la is not head),
        inner=(*structure.inner, head),
    )


def _spared_prefixes(settings: ContinualSettings) -> tuple[str, ...]:
    """Return how the names begin of what methods leave alone."""
    heads = settings.protect_heads
    chosen = {
        "head.actor": heads,
        "head.critic": heads and settings.protect_value_head,
        "hidden.shared": settings.protect_shared,
    }
    return tuple(prefix for prefix, spared in chosen.items() if spared)


def check_heads(method_settings: Any, settings: ContinualSettings) -> None:
    """Refuse settings of a method that act on heads which are protected.

    Args:
        method_settings: The method's own settings.
        settings: Of the run.

    Raises:
        ValueError: If one of them does.
    """
    for key in ("isometry_head", "clip_head"):
        if settings.protect_heads and getattr(method_settings, key, False):
            needed = f"{key}=false while protect_heads=true"
            raise ValueError(refusal(needed, True, "set protect_heads=false as well"))
