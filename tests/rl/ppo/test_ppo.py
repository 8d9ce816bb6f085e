"""Rollouts and updates against plain loops, a member at a time and stacked."""

from dataclasses import fields, replace
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical
from torch.testing import assert_close

from isometry.core.stacking import member
from isometry.methods import Architecture, get
from isometry.rl import make_vec
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.ppo.players import _action_codes, _in_threads, players_of, reset_
from isometry.rl.ppo.rollout import collect_, empty_rollout, gumbel_noise, sampled
from isometry.rl.ppo.settings import PPOSettings
from isometry.rl.ppo.step import Learner
from isometry.rl.ppo.update import _orders, _samples_of, update_
from isometry.stream.binding import Bound
from isometry.stream.run import Run, on_device

CPU = torch.device("cpu")
SMALL = PPOSettings(
    num_envs=4,
    rollout_length=30,
    minibatches=3,
    epochs=2,
    width=8,
    depth=2,
    lr=1e-2,
)
GAMES = ("minatar/breakout", "minatar/freeway", "minatar/asterix")


def network_of(settings=SMALL):
    architecture = Architecture(
        network="mlp",
        width=settings.width,
        depth=settings.depth,
        activation="relu",
        negative_slope=0.01,
        init="orthogonal",
        init_gain=sqrt(2),
    )
    return ActorCritic(
        architecture=architecture, observation=(10, 10, 10), num_actions=6
    )


def stack_of(seeds, settings=SMALL, games=GAMES, max_steps=25, device=CPU):
    """Return players, a played rollout, its learner and the channels of each game."""
    network, run = network_of(settings), Run(seeds=list(seeds))
    run.parameters = on_device(
        {n: p.to(torch.get_default_dtype()) for n, p in network.stacked(seeds).items()},
        device,
    )
    method = get("adam")
    envs = [
        make_vec(games[s % 3], settings.num_envs, seed=s, max_steps=max_steps)
        for s in seeds
    ]
    players = players_of(envs, 6, "first", device)
    rollout = empty_rollout(players, settings)
    count = players.shape[-1]
    channels = torch.stack([torch.arange(10).roll(s)[:count] for s in seeds]).to(device)
    structure = network.structure()
    bound = Bound(
        method=method, settings=method.settings, structure=structure, lr=settings.lr
    )
    bound.start(run)
    optimizer = bound.optimizer(run)
    learner = Learner(
        network=network,
        parameters=run.parameters,
        optimizer=optimizer,
        settings=settings,
        seeds=run.seeds,
        channels=channels,
        hooks=bound.hooks(run, optimizer),
        layers=4,
    )
    reset_(players, rollout.boards[:, 0])
    play(learner, players, rollout, 0)
    return players, rollout, learner


def play(learner, players, rollout, update):
    settings = learner.settings
    size = (settings.rollout_length, settings.num_envs, 6)
    noise = gumbel_noise(learner.seeds, size, "noise", update, device=players.device)
    placed = learner.network.placed(learner.parameters, learner.channels)
    collect_(learner.network, placed, players, rollout, noise, settings)


def boards_of(rollout, i, channels, steps):
    """One member's boards, padded to ten channels by hand."""
    small = rollout.boards[i, :steps].unflatten(-1, (10, 10, -1))
    whole = torch.zeros(*small.shape[:-1], 10)
    whole[..., channels] = small.to(whole.dtype)
    return whole.flatten(2)


def module_of(own, part, depth=2):
    layers = []
    for name in [*(f"hidden.{part}.{i}" for i in range(depth)), f"head.{part}"]:
        weight, bias = own[f"{name}.weight"], own[f"{name}.bias"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# --- playing --------------------------------------------------------------------------


@pytest.mark.usefixtures("double")
def test_what_is_kept_is_what_was_played():
    players, rollout, learner = stack_of([0, 1, 2])
    for i, seed in enumerate(learner.seeds):
        env = make_vec(GAMES[seed], 4, seed=seed, max_steps=25)
        native, count = int(env.single_action_space.n), env.observation_space.shape[-1]
        boards, _ = env.reset()
        returned = episodes = 0
        for step in range(30):
            kept = rollout.boards[i, step].unflatten(-1, players.shape).numpy()
            assert (kept[..., :count] == boards).all()
            assert not kept[..., count:].any()
            actions = rollout.actions[i, step].numpy()
            asked = np.where(actions < native, actions, 0)
            boards, rewards, terminated, truncated, infos = env.step(asked)
            assert (rollout.rewards[i, step].numpy() == rewards).all()
            assert (rollout.terminated[i, step].numpy() == terminated).all()
            assert (rollout.truncated[i, step].numpy() == truncated).all()
            returned += infos.get("episodic_return", np.zeros(1)).sum()
            episodes += (terminated | truncated).sum()
        assert rollout.episodes[i] == episodes > 0
        assert rollout.returned[i] == returned


@pytest.mark.usefixtures("double")
def test_log_probabilities_and_values_are_those_of_the_networks():
    _, rollout, learner = stack_of([0, 1, 2])
    for i in range(3):
        own = member(learner.parameters, i)
        inputs = boards_of(rollout, i, learner.channels[i], 30)
        pi = Categorical(logits=module_of(own, "actor")(inputs))
        found = rollout.log_probabilities[i].double()
        # buffers are float32
        assert_close(found, pi.log_prob(rollout.actions[i]), rtol=1e-5, atol=1e-5)
        values = module_of(own, "critic")(inputs).squeeze(-1)
        assert_close(rollout.values[i].double(), values, rtol=1e-5, atol=1e-5)


def test_actions_have_the_law_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    noise = gumbel_noise([5], (100_000, 4), "test", device=CPU)[0]
    counts = sampled(logits.expand_as(noise), noise).bincount(minlength=4) / 100_000
    # four standard deviations of a share of 10^5 draws
    assert_close(counts, logits.softmax(0), rtol=0, atol=4 * 0.5 / 100_000**0.5)


def test_members_that_play_at_the_same_time_play_what_they_play_in_turn(monkeypatch):
    found = []
    for games in (5, 4):  # from which a thread pays; there are four
        monkeypatch.setattr("isometry.rl.ppo.players.GAMES_FOR_A_THREAD", games)
        monkeypatch.setattr("isometry.rl.ppo.players.processors", lambda: 3)
        players, rollout, _ = stack_of([0, 1, 2, 3, 4])
        assert _in_threads(players) is (games == 4)
        found.append({f.name: getattr(rollout, f.name) for f in fields(rollout)})
    assert found[0]["episodes"].sum() > 0
    for name, tensor in found[0].items():
        assert torch.equal(found[1][name], tensor), name
    monkeypatch.setattr("isometry.rl.ppo.players.processors", lambda: 1)
    assert not _in_threads(players)


@pytest.mark.parametrize("bootstrap", [True, False])
def test_a_game_cut_at_the_limit_ends_with_the_value_of_its_last_board(bootstrap):
    settings = replace(SMALL, truncation_bootstrap=bootstrap, gae_lambda=0.0)
    _, rollout, learner = stack_of([1], settings)  # freeway never ends in 25 steps
    assert rollout.truncated[0, 24].all()
    env = make_vec(GAMES[1], 4, seed=1, max_steps=25)
    env.reset()
    for step in range(25):
        actions = rollout.actions[0, step].numpy()
        *_, infos = env.step(np.where(actions < 3, actions, 0))
    last = torch.from_numpy(infos["final_obs"]).flatten(1).unsqueeze(0)
    placed = learner.network.placed(learner.parameters, learner.channels)
    value = learner.network.values(placed, last)[0].detach() if bootstrap else 0.0
    expected = rollout.rewards[0, 24] + 0.99 * value - rollout.values[0, 24]
    assert_close(rollout.advantages[0, 24], expected)


@pytest.mark.parametrize(
    ("native", "invalid", "codes"),
    [
        (4, "first", [0, 1, 2, 3, 0, 0]),
        (4, "last", [0, 1, 2, 3, 3, 3]),
        (6, "last", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_actions_that_a_game_does_not_have_do_what_is_said(native, invalid, codes):
    assert _action_codes(native, 6, invalid).tolist() == codes


# --- learning -------------------------------------------------------------------------


def plain_update(own, inputs, rollout, i, settings, order):
    """One member's update with torch's modules, Adam and clip of norms."""
    actor, critic = module_of(own, "actor"), module_of(own, "critic")
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=settings.lr) for net in (actor, critic)
    ]
    boards = inputs.flatten(0, 1)
    actions, old, values, A = (
        t[i].flatten().to(boards.dtype)
        for t in (
            rollout.actions,
            rollout.log_probabilities,
            rollout.values,
            rollout.advantages,
        )
    )
    targets = values + A
    for epoch in range(settings.epochs):
        for chosen in order[epoch].chunk(settings.minibatches):
            pi = Categorical(logits=actor(boards[chosen]))
            V = critic(boards[chosen]).squeeze(-1)
            adv = A[chosen]
            adv = (adv - adv.mean()) / (adv.std(correction=0) + 1e-8)
            r = (pi.log_prob(actions[chosen]) - old[chosen]).exp()
            policy = torch.max(-adv * r, -adv * r.clip(0.8, 1.2)).mean()
            near = values[chosen] + (V - values[chosen]).clip(-0.2, 0.2)
            error = torch.max((V - targets[chosen]) ** 2, (near - targets[chosen]) ** 2)
            loss = policy + 0.5 * 0.5 * error.mean() - 0.01 * pi.entropy().mean()
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for net, optimizer in zip((actor, critic), optimizers, strict=True):
                # optax has no epsilon here, torch adds 1e-6
                norm = torch.cat([p.grad.flatten() for p in net.parameters()]).norm()
                for p in net.parameters():
                    p.grad *= min(1.0, 0.5 / float(norm))
                optimizer.step()
    return actor, critic


@pytest.mark.usefixtures("double")
def test_an_update_is_that_of_a_plain_loop_for_every_member():
    _, rollout, learner = stack_of([0, 1, 2])
    expected = []
    for i, seed in enumerate(learner.seeds):
        own = {n: p.clone() for n, p in member(learner.parameters, i).items()}
        inputs = boards_of(rollout, i, learner.channels[i], 30)
        order = [_orders([seed], 120, 7, 2, e, device=CPU)[0] for e in (0, 1)]
        expected.append(plain_update(own, inputs, rollout, i, SMALL, order))
    statistics = update_(learner, rollout, visit=7, update=2)
    assert statistics.shape == (6, 6, 3)
    for i, networks in enumerate(expected):
        own = member(learner.parameters, i)
        for part, network in zip(("actor", "critic"), networks, strict=True):
            found = module_of(own, part)
            for ours, theirs in zip(
                found.parameters(), network.parameters(), strict=True
            ):
                # numbers of the rollout are float32 on both sides; sums are ordered
                # differently
                assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_a_member_of_a_stack_learns_what_it_learns_alone():
    players, rollout, stacked = stack_of([0, 1, 2])
    for update in range(3):
        update_(stacked, rollout, 0, update)
        rollout.boards[:, 0] = rollout.boards[:, -1]
        play(stacked, players, rollout, update + 1)
    for i in range(3):
        players, alone_rollout, alone = stack_of([i])
        for update in range(3):
            update_(alone, alone_rollout, 0, update)
            alone_rollout.boards[:, 0] = alone_rollout.boards[:, -1]
            play(alone, players, alone_rollout, update + 1)
        assert (alone_rollout.actions[0] == rollout.actions[i]).all()
        for name, parameter in alone.parameters.items():
            # products over more channels, all zero, are summed in another order
            assert_close(
                parameter[0], stacked.parameters[name][i], rtol=1e-3, atol=1e-5
            )


def test_every_sample_is_seen_once_a_pass():
    order = _orders([0, 1], 50, 3, 1, 0, device=CPU)
    assert (order.sort(1).values == torch.arange(50)).all()
    assert (order[0] != order[1]).any()
    assert (_orders([1], 50, 3, 1, 0, device=CPU)[0] == order[1]).all()
    assert (_orders([1], 50, 3, 1, 1, device=CPU)[0] != order[1]).any()


def test_what_the_critic_should_say_is_value_plus_advantage():
    _, rollout, _ = stack_of([0, 1])
    samples = _samples_of(rollout)
    _, advantages, values, targets = samples.numbers.unbind(-1)
    assert (targets == advantages + values).all()
    assert samples.boards.data_ptr() == rollout.boards.data_ptr(), "no copy"
