"""PPO for stacks of agents: rollout, loss, update."""

from isometry.rl.ppo.settings import PPOSettings

__all__ = ["PPOSettings"]
