"""The value's head within reach of methods, while the policy's is left alone."""

import pytest
import torch
from torch.testing import assert_close

from isometry.lab.run import plan
from isometry.rl.agent import in_reach, network_of
from isometry.rl.continual import train
from isometry.rl.ppo.fast import written_step
from isometry.stream.binding import Bound
from isometry.stream.run import Run

VALUE, POLICY = "head.critic.weight", "head.actor.weight"
# Ten gradient steps on one rollout; heads that start far from norm one.
SMALL = {
    "games": "breakout",
    "cycles": 1,
    "env_steps": 64,
    "num_envs": 4,
    "rollout_length": 16,
    "epochs": 5,
    "minibatches": 2,
    "width": 8,
    "depth": 2,
    "lr": 1e-3,
    "value_gain": 2.0,
    "policy_gain": 2.0,
    "max_steps": 10,
    "eval_every": 0,
    "eval_episodes": 2,
    "diagnose_every": 0,
}


def planned(method, **changes):
    return plan("continual_minatar", method, {**SMALL, **changes}, "smoke")


def trained(method, seeds=(3, 5), **changes):
    own = planned(method, **changes)
    return train(
        own.benchmark, own.method, own.method_settings, own.settings, list(seeds)
    ).parameters


def test_the_value_head_counts_as_hidden_and_the_policy_head_not():
    own = planned("adamo", protect_value_head=False)
    parts = own.method, own.method_settings, own.settings
    whole = network_of(own.benchmark, *parts).structure()
    reached = in_reach(whole, own.settings)
    assert reached.roles[VALUE] == "hidden"
    assert reached.roles["head.critic.bias"] == "vector"
    assert reached.named("spared") == [POLICY, "head.actor.bias"]
    assert [layer.weight for layer in reached.heads] == [POLICY]
    assert [layer.weight for layer in reached.inner] == [VALUE]
    assert reached.layers == whole.layers
    assert reached.bias_of(VALUE) == "head.critic.bias"


def test_adamo_pulls_the_value_head_to_norm_one_and_nothing_else_changes():
    pull = {"isometry_strength": 30.0}
    spared = trained("adamo", **pull)
    reached = trained("adamo", **pull, protect_value_head=False)
    assert (spared[VALUE].flatten(1).norm(dim=1) > 1.9).all()
    assert ((reached[VALUE].flatten(1).norm(dim=1) - 1).abs() < 0.02).all()
    # On MinAtar actor and critic share nothing: the actor takes the same steps.
    for name in spared:
        if ".actor." in name:
            assert torch.equal(reached[name], spared[name]), name
    assert (torch.linalg.svdvals(spared[POLICY]) > 1.9).all()


@pytest.mark.parametrize("members", [(3,), (3, 5)], ids=str)
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("adamo", {"isometry_strength": 3.0}),
        ("l2_init", {"l2_init_strength": 1.0}),
        ("l2_init", {"l2_init_strength": 1.0, "l2_init_vectors": False}),
        ("parseval", {"parseval_strength": 1.0}),
        ("spectral", {"spectral_strength": 1.0}),
        ("newton_schulz", {}),
        ("weight_clipping", {"clip": 0.5}),
        ("redo", {"redo_every": 2, "redo_window": 1, "redo_threshold": 0.5}),
    ],
)
def test_steps_without_autograd_lead_where_steps_with_it_lead(
    method, changes, members, monkeypatch
):
    known = []

    def noted(learner, asked=written_step.is_written):
        known.append(asked(learner))
        return known[-1]

    changes = {**changes, "protect_value_head": False, "lr": 1e-2}
    monkeypatch.setattr(written_step, "is_written", noted)
    found = trained(method, members, **changes)
    assert known == [True]
    monkeypatch.setattr(written_step, "is_written", lambda learner: False)
    for name, parameter in trained(method, members, **changes).items():
        # sums of a minibatch are ordered differently
        assert_close(found[name], parameter, rtol=1e-3, atol=1e-5)


def test_the_value_head_is_among_the_weights_that_adamo_pulls():
    for protected in (True, False):
        own = planned("adamo", protect_value_head=protected)
        parts = own.method, own.method_settings
        network, run = network_of(own.benchmark, *parts, own.settings), Run(seeds=[0])
        run.parameters = network.stacked(run.seeds)
        structure = in_reach(network.structure(), own.settings)
        bound = Bound(method=parts[0], settings=parts[1], structure=structure, lr=1e-3)
        optimizer = bound.optimizer(run)
        pulled = {id(p) for p in optimizer.param_groups[0]["params"]}
        names = {name for name, p in run.parameters.items() if id(p) in pulled}
        hidden = {f"hidden.{p}.{i}.weight" for p in ("actor", "critic") for i in (0, 1)}
        assert names == (hidden if protected else hidden | {VALUE})


def test_names_in_the_store_change_only_where_the_head_is_in_reach():
    assert planned("adamo").hash() == planned("adamo", protect_value_head=True).hash()
    assert planned("adamo").hash() != planned("adamo", protect_value_head=False).hash()
