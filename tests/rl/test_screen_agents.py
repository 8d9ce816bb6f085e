"""Agents of Octax: convolutions that both share, on screens of a game's shape."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.lab.plans import plan
from isometry.rl import agent, evaluation, make_vec
from isometry.rl.continual import train
from isometry.rl.screen_cnn import _convolved, _same_padding

TINY = {
    "cycles": 1,
    "env_steps": 16,
    "num_envs": 2,
    "rollout_length": 8,
    "epochs": 1,
    "minibatches": 2,
    "width": 8,
    "depth": 1,
    "max_steps": 5,
    "eval_every": 0,
    "eval_episodes": 2,
    "eval_all_games": True,
    "diagnose_every": 0,
}

REPLACING = [  # units, in a few steps
    ("redo", {"redo_every": 2, "redo_window": 1, "redo_threshold": 0.5}),
    ("cbp", {"maturity": 0, "replacement_rate": 0.2}),
    ("snr", {"snr_least": 1, "snr_most": 8}),
]


class Screens(VectorEnv):
    """A game with the interface of Octax: a lit pixel, and one action that pays."""

    def __init__(self, name, num_envs, *, seed, max_steps=5, **settings):
        self.num_envs, self.max_steps = num_envs, max_steps
        self.paying = 0 if name == "octax/left" else 1
        self.single_observation_space = spaces.Box(0, 1, (4, 32, 64), np.bool_)
        self.single_action_space = spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.elapsed = np.zeros(num_envs, dtype=int)

    def screens(self):
        found = np.zeros((self.num_envs, 4, 32, 64), dtype=np.bool_)
        found[:, :, 3, self.elapsed] = True
        return found

    def reset(self, *, seed=None, options=None):
        self.elapsed[:] = 0
        return self.screens(), {}

    def step(self, actions):
        assert actions.max() < 3
        self.elapsed += 1
        truncated = self.elapsed == self.max_steps
        final, rewards = self.screens(), (actions == self.paying).astype(np.float32)
        self.elapsed[truncated] = 0
        infos = {"final_obs": final, "_final_obs": truncated} if truncated.any() else {}
        return self.screens(), rewards, truncated & False, truncated, infos


@pytest.fixture
def screens(monkeypatch):
    """Play the stand-in in place of CHIP-8 games."""
    for module in (agent, evaluation):
        monkeypatch.setattr(module, "make_vec", Screens)


def trained(method, **changes):
    planned = plan("continual_octax", method, {**TINY, **changes}, "smoke")
    settings = replace(planned.settings, games="left,right")  # of Screens
    parts = planned.method, planned.method_settings, settings
    return train(planned.benchmark, *parts, [0, 1])


@pytest.mark.usefixtures("screens")
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("adamo", {}),
        *((method, {**often, "protect_shared": False}) for method, often in REPLACING),
        ("nap", {"protect_shared": False}),
        ("nap", {"nap_affine": False}),
        ("adam", {"cnn_layout": "frames", "truncation_bootstrap": True}),
        ("adam", {"network": "mlp", "invalid_action": "last"}),
    ],
)
def test_agents_learn_on_screens(method, changes):
    run = trained(method, **changes)
    assert run.diverged_at == {}
    assert all(parameter.isfinite().all() for parameter in run.parameters.values())
    returns = [r["value"] for r in run.records if r["metric"] == "episodic_return"]
    assert len(returns) == 4
    assert all(0 <= value <= 5 for value in returns)


@pytest.mark.usefixtures("screens")
@pytest.mark.parametrize(
    ("method", "changes"), [("adamo", {"isometry_strength": 50.0}), *REPLACING]
)
def test_shared_convolutions_are_left_alone_by_methods_as_published(method, changes):
    plain, spared = trained("adam"), trained(method, **changes)
    reached = trained(method, **changes, protect_shared=False)

    def distance(one, other, name):
        moved = one.parameters[name] - other.parameters[name]
        return float(moved.detach().norm())

    hidden, shared = "hidden.actor.0.weight", "hidden.shared.0.weight"
    assert distance(plain, spared, hidden) > 0.1
    # It feels the method only through the layers above it.
    assert distance(plain, spared, shared) < 0.1 < distance(plain, reached, shared)


@pytest.mark.usefixtures("screens")
def test_the_value_head_is_pushed_to_norm_one_as_published_and_the_policys_is_not():
    steady = {"epochs": 5, "value_gain": 2.0, "policy_gain": 2.0}
    pull = {"isometry_strength": 30.0, **steady}
    spared = trained("adamo", **pull).parameters
    reached = trained("adamo", **pull, protect_value_head=False).parameters
    value, policy = "head.critic.weight", "head.actor.weight"
    assert (spared[value].flatten(1).norm(dim=1) > 1.9).all()
    assert ((reached[value].flatten(1).norm(dim=1) - 1).abs() < 0.05).all()
    for parameters in (spared, reached):
        assert (torch.linalg.svdvals(parameters[policy]) > 1.9).all()


def test_the_games_of_octax_have_this_interface():
    try:
        envs = make_vec("octax/brix", 1, seed=0, actions="minimal", max_steps=5)
    except ImportError:
        pytest.skip("the ROMs are not installed")
    assert isinstance(envs, gymnasium.vector.VectorEnv)
    assert envs.single_observation_space.shape == (4, 32, 64)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((64, 4, 32), (8, 4), (4, 2)),
        ((32, 1, 16), (4, 4), (2, 2)),
        ((64, 1, 8), (3, 3), (1, 1)),
        ((4, 32, 64), (8, 4), (4, 2)),
        ((3, 5, 7), (4, 4), (2, 2)),
        ((3, 1, 7), (4, 4), (2, 2)),  # an odd width in one row
        ((3, 1, 7), (4, 3), (2, 2)),  # and a kernel that steps do not divide
    ],
)
def test_rows_of_a_kernel_that_only_meet_padding_can_be_left_out(shape, kernel, stride):
    draw = generator(0, "maps")
    maps = torch.randn(2, 3, *shape, generator=draw, dtype=torch.float64)
    weight = torch.randn(2, 5, shape[0], *kernel, generator=draw, dtype=torch.float64)
    weight.requires_grad_()
    bias = torch.randn(2, 5, generator=draw, dtype=torch.float64)
    found = _convolved(maps, weight, bias, stride)
    (grown,) = torch.autograd.grad(found.square().sum(), weight)
    pads = [
        _same_padding(*three)
        for three in zip(shape[:0:-1], kernel[::-1], stride[::-1], strict=True)
    ]
    padded = torch.nn.functional.pad(maps, (*pads[0], *pads[1]))
    for member in range(2):
        own = weight[member].detach().requires_grad_()
        expected = torch.nn.functional.conv2d(padded[member], own, bias[member], stride)
        assert_close(found[member], expected)
        (gradient,) = torch.autograd.grad(expected.square().sum(), own)
        assert_close(grown[member], gradient)
