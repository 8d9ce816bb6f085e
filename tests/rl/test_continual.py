"""Visits in turn: what is kept at a switch, resumption, members, returns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.lab.run import plan
from isometry.rl import make_vec
from isometry.rl.agent import in_reach, network_of
from isometry.rl.agent_diagnostics import _part_as_module, agent_diagnostics
from isometry.rl.continual import train
from isometry.rl.continual_settings import channels_of, game_of
from isometry.rl.evaluation import mean_returns, stage_of
from isometry.rl.ppo.players import reset_
from isometry.stream.checkpoint import restored

CPU = torch.device("cpu")
SMALL = {
    "games": "breakout",
    "cycles": 2,
    "env_steps": 96,
    "num_envs": 4,
    "rollout_length": 16,
    "epochs": 1,
    "minibatches": 2,
    "width": 8,
    "depth": 2,
    "lr": 1e-2,
    "max_steps": 20,
    "eval_every": 64,
    "eval_episodes": 3,
    "diagnose_every": 0,
}


def planned(method="adam", **changes):
    return plan("continual_minatar", method, {**SMALL, **changes}, "smoke")


def trained(plan_, seeds, **keywords):
    methods = plan_.method, plan_.method_settings
    return train(plan_.benchmark, *methods, plan_.settings, list(seeds), **keywords)


def values(run, metric, seed=0):
    return [
        r["value"] for r in run.records if (r["metric"], r["seed"]) == (metric, seed)
    ]


def test_networks_without_a_nonlinearity_have_no_dead_units_to_report():
    run = trained(planned(activation="identity", cycles=1, diagnose_every=1), [0])
    assert values(run, "actor_gram_deviation")
    assert not values(run, "actor_dead_fraction")


class StopError(RuntimeError):
    """Ends a run in the middle."""


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("adam", {"reset_optimizer": False}),
        ("adamo_maxmin", {}),
        ("l2_init", {"lr_schedule": "linear"}),
        ("redo", {"redo_every": 2, "redo_window": 1}),
    ],
)
def test_a_run_that_goes_on_from_a_checkpoint_has_the_same_bits(
    tmp_path, method, changes
):
    plan_, file = planned(method, cycles=3, **changes), tmp_path / "checkpoint.pt"

    def stop(done, visits):
        if done == 2:
            raise StopError

    whole = trained(plan_, [0, 1])
    with pytest.raises(StopError):
        trained(plan_, [0, 1], checkpoint=file, progress=stop)
    assert restored(file, CPU).task == 2
    gone_on = trained(plan_, [0, 1], checkpoint=file)
    assert gone_on.records == whole.records
    assert gone_on.steps == whole.steps == 3 * plan_.settings.steps_per_task
    for name, parameter in whole.parameters.items():
        assert torch.equal(gone_on.parameters[name], parameter)


def test_weights_with_their_heads_are_carried_over_and_new_ones_only_if_fresh():
    def after(method, cycles):
        return trained(planned(method, cycles=cycles, lr=1e-9), [0]).parameters

    for method, same in (("adam", True), ("fresh", False)):
        first, second = after(method, 1), after(method, 2)
        for name in ("hidden.actor.0.weight", "head.critic.weight"):
            close = torch.allclose(first[name], second[name], atol=1e-6)
            assert close is same


def test_the_optimiser_is_new_at_a_switch_unless_it_is_kept(tmp_path):
    for reset in (True, False):
        file = tmp_path / f"{reset}.pt"
        trained(planned(reset_optimizer=reset), [0], checkpoint=file)
        steps = {
            int(s["step"])
            for s in restored(file, CPU).optimizer_state["state"].values()
        }
        assert steps == {4}, "two updates of two minibatches"
    runs = [trained(planned(reset_optimizer=reset), [0]) for reset in (True, False)]
    assert (
        runs[0].records[: len(runs[0].records) // 2]
        == (runs[1].records[: len(runs[1].records) // 2])
    ), "the first visit is the same"
    name = "hidden.actor.0.weight"
    assert not torch.equal(runs[0].parameters[name], runs[1].parameters[name])


@pytest.mark.parametrize("method", ["l2_init", "nap"])
def test_what_a_method_remembers_of_the_start_is_that_of_the_first_visit(method):
    plan_ = planned(method, cycles=3)
    run = trained(plan_, [0, 1])
    parts = plan_.method, plan_.method_settings
    first = network_of(plan_.benchmark, *parts, plan_.settings).stacked([0, 1], 0)
    assert {"hidden.actor.0.weight", "hidden.critic.1.weight"} <= set(run.carried)
    for name, kept in run.carried.items():
        now, start = run.parameters[name].detach(), first[name]
        assert not torch.equal(now, start)
        if method == "l2_init":
            assert torch.equal(kept, start)
        else:
            assert_close(kept, start.flatten(1).norm(dim=1))
            assert_close(now.flatten(1).norm(dim=1), kept)


@pytest.mark.parametrize("pad", [10, 0])
def test_a_method_acts_once_before_every_visit_after_the_first_also_after_kills(
    tmp_path, pad
):
    whole = {"pad_channels": pad, "permute_channels": pad > 0}
    plan_, seen = planned(cycles=3, **whole), []
    settings = plan_.settings

    def before_task(training):
        assert not torch.is_grad_enabled()
        assert training.targets is None
        for i, seed in enumerate(training.seeds):
            own = (["breakout"], [seed], training.task, 4, "training")
            stage = stage_of("minatar", settings, *own, device=CPU)
            boards = torch.empty(1, 4, 400)
            reset_(stage.players, boards)
            padded = torch.zeros(4, 100, pad or 4)
            places = slice(None) if not pad else stage.channels[0]
            padded[..., places] = boards[0].unflatten(-1, (100, 4))
            assert torch.equal(training.inputs[i], padded.flatten(1))
        seen.append((training.task, training.step))

    acting = replace(plan_, method=replace(plan_.method, before_task=before_task))
    run = trained(acting, [0, 1])
    assert seen == [(1, 4), (2, 8)]
    plain = trained(plan_, [0, 1])
    assert run.records == plain.records, "looking draws nothing"
    seen.clear()
    file = tmp_path / "checkpoint.pt"

    def stop(done, visits):
        if done < 3:
            raise StopError

    for _ in range(2):
        with pytest.raises(StopError):
            trained(acting, [0, 1], checkpoint=file, progress=stop)
    trained(acting, [0, 1], checkpoint=file)
    assert seen == [(1, 4), (2, 8)]


def test_gradients_of_activations_are_those_of_the_loss():
    """A unit's bias gathers the gradients of its activations where it is active."""
    plan_, seen = planned(gradient_clip="none"), []

    def after_step(training):
        layers = training.structure.layers
        watched = zip(layers, training.activations, training.gradients, strict=True)
        for layer, hidden, gradient in watched:
            bias = training.gradient(layer.bias)
            assert_close(bias, (gradient * (hidden > 0)).sum(1), rtol=1e-4, atol=1e-6)
            seen.append(float(gradient.abs().max()))

    watching = {"after_step": after_step, "watches": True, "watches_gradients": True}
    trained(replace(plan_, method=replace(plan_.method, **watching)), [0, 1])
    assert len(seen) == 4 * 2 * plan_.settings.steps_per_task
    assert max(seen) > 0


def test_what_is_recorded_is_tidy_and_complete():
    plan_ = planned(diagnose_every=2)
    run = trained(plan_, [0, 4])
    for seed in (0, 4):
        for visit in (0, 1):
            own = {
                r["metric"]: r["value"]
                for r in run.records
                if (r["seed"], r["task"]) == (seed, visit)
            }
            steps = [int(name.split("@")[1]) for name in own if "@" in name]
            assert steps == [0, 64, 128], "an update is completed"
            last = own["episodic_return/breakout@128"]
            assert own["episodic_return"] == own["episodic_return/breakout"] == last
            assert own.keys() >= {"value_loss", "policy_entropy", "online_return"}
            assert ("actor_dormant_fraction" in own) is (visit == 1)
            assert ("critic_ntk_trace" in own) is (visit == 1)
    rows = {(r["seed"], r["task"], r["metric"]) for r in run.records}
    assert len(rows) == len(run.records)


@pytest.mark.slow
def test_every_game_is_evaluated_at_the_end_of_a_visit_and_orders_differ():
    plan_ = planned(games="breakout,freeway", cycles=1)
    seeds = [0, 1, 2, 3]
    orders = {
        seed: [game_of(plan_.settings, seed, v) for v in (0, 1)] for seed in seeds
    }
    assert len({tuple(order) for order in orders.values()}) == 2
    run = trained(plan_, seeds)
    for record in run.records:
        if "@" in record["metric"]:
            game = record["metric"].split("/")[1].split("@")[0]
            assert game == orders[record["seed"]][record["task"]]
    for game in ("breakout", "freeway"):
        assert all(len(values(run, f"episodic_return/{game}", s)) == 2 for s in seeds)


def test_a_member_that_diverges_is_noted_and_the_others_go_on():
    plan_ = planned("adam", lr=1e-2)
    network = network_of(
        plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings
    )
    good = trained(plan_, [0, 1])

    class Poisoned(type(network)):
        def stacked(self, seeds, *labels):
            found = super().stacked(seeds, *labels)
            found["hidden.actor.0.weight"][1] = float("nan")
            return found

    import isometry.rl.continual as module

    poisoned = Poisoned(
        **{f: getattr(network, f) for f in network.__dataclass_fields__}
    )
    before, module.network_of = module.network_of, lambda *_: poisoned
    try:
        run = trained(plan_, [0, 1])
    finally:
        module.network_of = before
    assert run.diverged_at == {1: 0}
    own = [[r for r in x.records if r["seed"] == 0] for x in (good, run)]
    assert [r["value"] for r in own[0]] == pytest.approx([r["value"] for r in own[1]])
    assert np.isfinite(values(run, "episodic_return", 1)).all()


# --- evaluation and diagnostics -------------------------------------------------------


def test_a_mean_return_is_that_of_one_whole_episode_a_game():
    plan_ = planned(max_steps=500)
    settings = plan_.settings
    network = network_of(plan_.benchmark, plan_.method, plan_.method_settings, settings)
    parameters = network.stacked([7])
    for parameter in parameters.values():
        parameter.zero_()
    parameters["head.actor.bias"][0, 2] = 100.0  # always to the right
    stage = stage_of("minatar", settings, ["breakout"], [7], 0, 5, "here", device=CPU)
    found = mean_returns(network, parameters, stage, [7], "test")
    env = stage.players.envs[0]
    again = make_vec("minatar/breakout", 5, seed=env._seed, max_steps=500)
    again.reset()
    returns, done = np.zeros(5), np.zeros(5, dtype=bool)
    while not done.all():
        _, rewards, terminated, truncated, _ = again.step(np.full(5, 2))
        returns += rewards * ~done
        done |= terminated | truncated
    assert found.tolist() == [returns.mean()]


def test_boards_reach_the_agent_as_the_published_code_shows_them():
    plan_ = planned()
    settings = plan_.settings
    stage = stage_of("minatar", settings, ["breakout"], [26], 4, 2, "x", device=CPU)
    assert stage.players.shape == (10, 10, 4)
    places = channels_of(settings, 26, 4, "breakout")[:4]
    assert stage.channels.tolist() == [places]


@pytest.mark.parametrize(
    ("method", "changes"), [("adam", {}), ("nap", {"nap_affine": False})]
)
def test_diagnostics_look_at_actor_and_critic_of_every_member(method, changes):
    plan_ = planned(method, **changes)
    network = network_of(
        plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings
    )
    parameters = network.stacked([0, 1])
    parameters["hidden.critic.1.weight"][1].zero_()
    parameters["head.actor.bias"][0] += 1
    boards = torch.rand(2, 40, 1000, generator=torch.Generator().manual_seed(0)) < 0.1
    module = _part_as_module(network, parameters, "actor", 0)
    assert_close(module(boards[0].float()), network.logits(parameters, boards)[0])
    found = agent_diagnostics(network, parameters, boards)
    assert found["critic_dead_fraction"][1] >= 0.5
    assert found["actor_weight_condition_number"][0] == pytest.approx(1, abs=1e-4)
    parameters["head.actor.bias"][0] = float("nan")
    found = agent_diagnostics(network, parameters, boards)
    assert all(bool(v[0].isnan()) for v in found.values())
    assert found["actor_ntk_trace"][1] > 0


# --- what methods reach ---------------------------------------------------------------


def test_heads_and_shared_layers_are_out_of_reach_unless_asked_for():
    plan_ = planned()
    network = network_of(
        plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings
    )
    whole = network.structure()
    spared = in_reach(whole, plan_.settings)
    assert spared.heads == whole.heads
    assert spared.layers == whole.layers
    assert set(spared.roles) == set(whole.roles)
    assert set(spared.named("spared")) == {
        f"head.{part}.{kind}"
        for part in ("actor", "critic")
        for kind in ("weight", "bias")
    }
    assert spared.roles["hidden.critic.1.weight"] == "hidden"
    open_ = planned(protect_heads=False).settings
    assert in_reach(whole, open_).roles == whole.roles


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("adamo", {"isometry_head": True}, "set protect_heads=false as well"),
        ("weight_clipping", {"clip_head": True}, "set protect_heads=false as well"),
        ("adam", {"pad_channels": 3}, "raise pad_channels"),
        ("adam", {"num_actions": 2}, "num_actions >= 3 for breakout, found 2"),
        ("redo", {"activation": "maxmin"}, "one output a unit for redo"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(method, changes, message):
    with pytest.raises(ValueError, match=message):
        trained(planned(method, **changes), [0])


def test_seeds_must_be_distinct():
    with pytest.raises(ValueError, match="distinct seeds"):
        trained(planned(), [1, 1])
