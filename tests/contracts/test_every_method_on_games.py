"""What every registered method must do with actor and critic."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.settings import keys
from isometry.lab.run import plan
from isometry.methods import (
    METHODS,
    Architecture,
    continual_backprop,
    get,
    redo,
)
from isometry.methods import self_normalised_resets as snr
from isometry.rl.agent import in_reach, network_of
from isometry.rl.continual import train
from isometry.rl.ppo.fast import written_step
from isometry.rl.ppo.fast.written_chain import WRITTEN
from isometry.stream.binding import Bound
from isometry.stream.run import Run, on_device

CPU = torch.device("cpu")
TINY = {
    "games": "breakout",
    "cycles": 2,
    "env_steps": 64,
    "num_envs": 4,
    "rollout_length": 16,
    "epochs": 1,
    "minibatches": 4,
    "width": 8,
    "depth": 2,
    "max_steps": 10,
    "eval_every": 0,
    "eval_episodes": 2,
    "diagnose_every": 0,
}
BRISK = {
    "redo": {"redo_threshold": 0.5, "redo_window": 1},
    "cbp": {"replacement_rate": 0.05, "maturity": 1},
    "snr": {"snr_least": 10, "snr_most": 20},
    "l2_init": {"l2_init_strength": 0.5},
    "weight_clipping": {"clip": 0.5},
    "selective_reinit": {"reinit_rate": 0.3},
    "regrama": {"grama_threshold": 0.7},
    "c_chain": {"churn_from": 0, "churn_target": 100.0},
}
PLAYING = [method.name for method in METHODS if not method.not_for_games]
EVERY = (*PLAYING, "layernorm+adamo", "nap+redo", "maxmin+l2_init", "l2+fire")
ARCHITECTURE = Architecture(
    network="mlp",
    width=8,
    depth=2,
    activation="relu",
    negative_slope=0.01,
    init="orthogonal",
    init_gain=1.0,
)
# Without a gradient and without activations they do nothing.
RESTING = ("fresh", "nap+redo", "papo", "sphere", "c_chain", "infer")
# They replace hidden units, and with them what heads read of these.
REPLACING = ("redo", "cbp", "snr", "regrama", "cpr")


def planned(name, **changes):
    method = get(name)
    found = {key: 2 for key in keys(method.settings) if key.endswith("_every")}
    for part in method.parts or (name,):
        found |= BRISK.get(part, {})
    found["lr"] = min(method.trial_lr, 1e-2)
    return plan("continual_minatar", name, {**TINY, **found, **changes}, "smoke")


def trained(plan_, seeds):
    methods = plan_.method, plan_.method_settings
    return train(plan_.benchmark, *methods, plan_.settings, list(seeds))


@pytest.mark.parametrize("name", EVERY)
def test_a_member_of_a_stack_is_what_it_is_alone(name):
    # Adam divides a gradient by its size: with a tiny eps, one that is all round-off
    # would move an entry by a share of the learning rate.
    large = {"eps": 1e-3} if "eps" in keys(get(name).settings) else {}
    plan_ = planned(name, **large)
    stack, alone = trained(plan_, [3, 5]), trained(plan_, [5])
    assert stack.diverged_at == {}
    for key, parameter in stack.parameters.items():
        assert parameter.isfinite().all()
        # batched products round another way
        assert_close(parameter[1], alone.parameters[key][0], rtol=1e-3, atol=1e-5)
    own = [r for r in stack.records if r["seed"] == 5]
    assert [r["metric"] for r in own] == [r["metric"] for r in alone.records]


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("name", [n for n in EVERY if n not in RESTING])
def test_without_a_gradient_it_moves_hidden_layers_and_never_a_protected_head(
    name, protected
):
    if name in REPLACING:
        pytest.skip("it acts on units, and so on what reads them")
    plan_ = planned(name, protect_value_head=protected)
    parts = plan_.method, plan_.method_settings
    network = network_of(plan_.benchmark, *parts, plan_.settings)
    structure, run = in_reach(network.structure(), plan_.settings), Run(seeds=[0, 1])
    run.parameters = on_device(network.stacked(run.seeds), CPU)
    own = {"method": parts[0], "settings": parts[1], "structure": structure}
    bound = Bound(**own, lr=1e-2)
    bound.start(run)
    optimizer = bound.optimizer(run)
    hooks = bound.hooks(run, optimizer)
    with torch.no_grad():
        for key, parameter in run.parameters.items():
            noise = torch.empty_like(parameter)
            parameter += noise.normal_(generator=generator(0, "away", key))
    before = {key: p.detach().clone() for key, p in run.parameters.items()}
    for step in range(2):
        for parameter in run.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        if hooks.penalty is not None:
            hooks.penalty().sum().backward()
        if hooks.add_gradient is not None:
            hooks.add_gradient()
        optimizer.step()
        if hooks.after_step is not None:
            with torch.no_grad():
                hooks.after_step(step, (), ())
    moved = {k for k, p in run.parameters.items() if not torch.equal(p, before[k])}
    acts = hooks.add_gradient or hooks.after_step or hooks.penalty
    if acts or "adamo" in name:
        assert {"hidden.actor.0.weight", "hidden.critic.1.weight"} <= moved
        assert protected or "head.critic.weight" in moved
    if name != "adamw":  # its decay is the optimiser's, for all parameters
        spared = "head." if protected else "head.actor."
        assert not {key for key in moved if key.startswith(spared)}


@pytest.mark.parametrize("name", ["c_chain", "infer", "sphere"])
def test_penalties_on_boards_and_features_are_seen(name):
    plan_ = planned(name, cycles=1)
    acting = trained(plan_, [3])
    still = replace(plan_, method=replace(plan_.method, penalty=None))
    resting = trained(still, [3])
    for key, parameter in acting.parameters.items():
        moved = not torch.equal(parameter, resting.parameters[key])
        assert moved or "critic" in key, key


@pytest.mark.parametrize("name", EVERY)
def test_steps_without_autograd_lead_where_steps_with_it_lead(name, monkeypatch):
    plan_, asked = planned(name, cycles=1, epochs=2), []

    def noted(learner, known=written_step.is_written):
        asked.append(known(learner))
        return asked[-1]

    monkeypatch.setattr(written_step, "is_written", noted)
    found = trained(plan_, [3, 5])
    method = plan_.method
    plain = method.architecture(ARCHITECTURE, plan_.method_settings)
    known = plain.normalisation == "none" and plain.activation in WRITTEN
    known &= plain.alpha is None
    known &= method.penalty is None or method.penalty_gradient_ is not None
    known &= not method.watches_gradients
    assert asked == [known]
    if not known:
        return
    monkeypatch.setattr(written_step, "is_written", lambda learner: False)
    for key, parameter in trained(plan_, [3, 5]).parameters.items():
        # sums of a minibatch are ordered differently
        assert_close(found.parameters[key], parameter, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "module"),
    [("redo", redo), ("cbp", continual_backprop), ("snr", snr), ("nap+redo", redo)],
)
def test_units_of_actor_and_critic_are_replaced(name, module, monkeypatch):
    replaced = set()

    def noted(training, index, *rest, act=module.replace_units_, **keywords):
        replaced.add(training.structure.layers[index].weight.split(".")[1])
        act(training, index, *rest, **keywords)

    monkeypatch.setattr(module, "replace_units_", noted)
    trained(planned(name), [3, 5])
    assert replaced == {"actor", "critic"}


@pytest.mark.parametrize("name", [n for n in METHODS.names() if n not in PLAYING])
def test_a_method_that_is_not_for_games_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match="needed a method for games, found") as caught:
        trained(planned(name), [3])
    assert f"found {name}: {get(name).not_for_games}; change" in str(caught.value)
    assert "\n" not in str(caught.value)
