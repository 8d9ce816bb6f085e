"""PPO by the published rejax, through its public interface, for ``ppo.py``.

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


def trained(
    game: Game, sizes: dict[str, Any], updates: int, **options: float
) -> Callable:
    """Return what learns for some updates and says what episodes returned."""
    import jax
    import numpy as np
    from rejax import PPO

    frames = updates * sizes["num_envs"] * sizes["rollout_length"]
    layers = (sizes["width"],) * sizes["depth"]
    algorithm = PPO.create(
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
