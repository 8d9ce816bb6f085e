"""torchrl with AdamO: PPO on a game, the last layers spared.

python examples/torchrl_ppo.py   # needs torchrl and the extra rl
"""

import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from isometry import AdamO
from isometry.rl import make_vec

STEPS = 64  # of each game, between two updates
LOSSES = ("loss_objective", "loss_critic", "loss_entropy")


def layers(outputs: int) -> nn.Sequential:
    """Return a small network for boards, with a head."""
    body = nn.Sequential(nn.Flatten(-3), nn.Linear(400, 64), nn.Tanh())
    body.add_module("head", nn.Linear(64, outputs))
    return body


def learn(updates: int, number: int = 32) -> tuple[nn.Module, AdamO, list[float]]:
    """Play and learn; return the networks, their optimiser and mean rewards."""
    torch.manual_seed(0)
    games = make_vec("minatar/breakout", number, seed=0, dtype="float32")
    world = GymWrapper(games, categorical_action_encoding=True)
    policy = TensorDictModule(layers(3), ["observation"], ["logits"])
    chosen = {"in_keys": ["logits"], "distribution_class": Categorical}
    actor = ProbabilisticActor(policy, **chosen, return_log_prob=True)
    critic = ValueOperator(layers(1), in_keys=["observation"])
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    losses = ClipPPOLoss(actor, critic)
    both = nn.ModuleDict({"actor": actor, "critic": critic})  # whose heads are found
    optimizer = AdamO(both, lr=1e-3, relaxation_steps=200)
    rewards, size = [], number * STEPS
    for played in Collector(world, actor, frames_per_batch=size, total_frames=-1):
        advantage(played)
        for batch in torch.randperm(size).split(256):
            found = losses(played.reshape(-1)[batch])
            optimizer.zero_grad()
            sum(found[key] for key in LOSSES).backward()
            optimizer.step()
        rewards.append(played["next", "reward"].mean().item())
        if len(rewards) == updates:
            return both, optimizer, rewards


if __name__ == "__main__":
    _, adamo, seen = learn(10)
    print(adamo.describe(), "mean reward a step", seen[0], "->", seen[-1])
