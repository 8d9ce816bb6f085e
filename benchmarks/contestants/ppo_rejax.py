"""PPO by the published rejax and octax, by their public interface, for ``ppo.py``.

rejax 0.1.3 expects games whose step returns five things, gymnax 1.0.1's returns six;
the game that it gets here joins the two ends and counts returns. What it does
differently and has no option for: gradients are clipped entry by entry, Adam's eps is
1e-8, and the weights are drawn as flax draws them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Game:
    """What rejax asks of a game."""

    reset: Callable
    step: Callable
    observation_space: Callable
    action_space: Callable
    default_params: Any


def counted(environment, parameters) -> Game:
    """Return a game whose state also holds what its episodes returned."""
    from jax import numpy as jnp

    def reset(key, parameters):
        board, state = environment.reset(key, parameters)
        return board, (state, *(jnp.float32(0) for _ in range(3)))

    def step(key, state, action, parameters):
        game, running, total, episodes = state
        found = environment.step(key, game, action, parameters)
        board, game, reward, terminated, truncated, infos = found
        ended = terminated | truncated
        running = running + reward
        state = game, running * ~ended, total + running * ended, episodes + ended
        return board, state, reward, ended, infos

    spaces = environment.observation_space, environment.action_space
    return Game(reset, step, *spaces, parameters)


def screens(environment) -> Game:
    """Return a game of octax that starts anew, and counts what its episodes returned.

    Screens come as its own joint to gymnax has them: frames, rows, columns. That joint
    runs a game's start in every step and takes it where an episode ends; here the start
    is run once, and gets a key of its own.
    """
    import jax
    from gymnax.environments import spaces
    from jax import numpy as jnp

    start, first, _ = jax.jit(environment.reset)(jax.random.PRNGKey(0))
    first = first.swapaxes(1, 2)
    actions = environment.num_actions

    def reset(key, parameters):
        zeros = (jnp.float32(0) for _ in range(3))
        return first, (start.replace(rng=key), *zeros)

    def step(key, state, action, parameters):
        game, running, total, episodes = state
        game, screen, reward, terminated, truncated, _ = environment.step(game, action)
        ended = terminated | truncated
        game, screen = jax.tree.map(
            lambda new, old: jnp.where(ended, new, old),
            (start.replace(rng=key), first),
            (game, screen.swapaxes(1, 2)),
        )
        running = running + reward
        state = game, running * ~ended, total + running * ended, episodes + ended
        return screen, state, reward, ended, {}

    return Game(
        reset,
        step,
        lambda _: spaces.Box(0, 1, first.shape),
        lambda _: spaces.Discrete(actions),
        None,
    )


def trained(
    algorithm, game: Game, sizes: dict[str, Any], updates: int, **options: float
) -> Callable:
    """Return what learns for some updates and says what episodes returned.

    Args:
        algorithm: PPO of rejax, or what octax makes of it.
        game: What is played.
        sizes: Of networks and rollouts.
        updates: Of a call.
        **options: Numbers of the algorithm.
    """
    import jax
    import numpy as np

    frames = updates * sizes["num_envs"] * sizes["rollout_length"]
    layers = (sizes["width"],) * sizes["depth"]
    algorithm = algorithm.create(
        env=game,
        agent_kwargs={"hidden_layer_sizes": layers, "activation": "relu"},
        num_envs=sizes["num_envs"],
        num_steps=sizes["rollout_length"],
        num_epochs=sizes["epochs"],
        num_minibatches=sizes["minibatches"],
        learning_rate=sizes["lr"],
        total_timesteps=frames,
        eval_freq=frames,
        skip_initial_evaluation=True,
        **options,
    )
    algorithm = algorithm.replace(eval_callback=lambda *_: ())  # no evaluation
    train = jax.jit(algorithm.train)
    state = algorithm.init_state(jax.random.PRNGKey(0))
    seen = np.zeros(2)

    def update() -> tuple[float, int]:
        nonlocal state
        state, _ = train(train_state=state)
        *_, totals, episodes = state.env_state
        now = np.array([np.asarray(totals).sum(), np.asarray(episodes).sum()])
        total, number = now - seen
        seen[:] = now
        return float(total), int(number)

    return update
