"""stable-baselines3 with AdamO: PPO on a game, its last layers spared.

python examples/sb3_ppo.py   # needs stable-baselines3 and the extra rl
"""

from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy

from isometry import AdamO
from isometry.rl import make_vec
from isometry.rl.stable_baselines import GameVecEnv


class IsometricPolicy(ActorCriticPolicy):
    """A policy whose optimiser is AdamO, with the heads left to Adam.

    They are small on purpose at the start. ``policy_kwargs={"optimizer_class": AdamO}``
    hands over parameters without names, of which every matrix is pulled.
    """

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        # action_net and value_net are heads by their names.
        self.optimizer = AdamO(self, lr_schedule(1), eps=1e-5, relaxation_steps=2_000)


def agent(number: int = 32, seed: int = 0) -> PPO:
    """Return an agent that has learnt nothing."""
    games = make_vec("minatar/breakout", number, seed=seed, dtype="float32")
    options = {"n_steps": 64, "batch_size": 256, "n_epochs": 4, "device": "cpu"}
    layers = {"net_arch": [64, 64]}
    return PPO(
        IsometricPolicy, GameVecEnv(games), policy_kwargs=layers, seed=seed, **options
    )


if __name__ == "__main__":
    player = agent().learn(10_000)
    returns = [episode["r"] for episode in player.ep_info_buffer]
    print(player.policy.optimizer.describe())
    print(f"mean return of the last {len(returns)} games", sum(returns) / len(returns))
