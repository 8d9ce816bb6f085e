"""The written step against autograd's, over networks, clips, members and methods."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods import Architecture
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.ppo.fast.gradient import clip_rows_, policy_gradient, value_gradient
from isometry.rl.ppo.fast.written_chain import WRITTEN
from isometry.rl.ppo.fast.written_step import is_written, written_step
from isometry.rl.ppo.loss import Minibatch, clip_together_, ppo_losses
from isometry.rl.ppo.settings import PPOSettings
from isometry.rl.ppo.step import Learner, Samples, gradient_step
from isometry.rl.sparse_boards import add_rows, collect_rows, listed
from isometry.stream.binding import Hooks

BATCH, COUNT, ACTIONS = 10, 30, 3
SETTINGS = PPOSettings(num_envs=6, rollout_length=5, minibatches=3, lr=1e-2)
ARCHITECTURE = Architecture(
    network="mlp",
    width=8,
    depth=3,
    activation="relu",
    negative_slope=0.1,
    init="orthogonal",
    init_gain=1.4,
)
# In float32, sums of a minibatch are ordered differently.
TOLERANCES = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-12},
    torch.float32: {"rtol": 1e-3, "atol": 1e-5},
}


def learner_of(seeds, settings=SETTINGS, dtype=torch.float32, **changes):
    """Return a learner on boards of 2x3 places and 4 channels, of which 2 are shown."""
    network = ActorCritic(
        architecture=replace(ARCHITECTURE, **changes),
        observation=(2, 3, 4),
        num_actions=ACTIONS,
    )
    stacked = network.stacked(seeds)
    parameters = {n: p.to(dtype).requires_grad_() for n, p in stacked.items()}
    kept = parameters.values()
    shown = [torch.randperm(4, generator=generator(s))[:2] for s in seeds]
    return Learner(
        network=network,
        parameters=parameters,
        optimizer=torch.optim.Adam(kept, lr=settings.lr, eps=1e-5, fused=True),
        settings=settings,
        seeds=seeds,
        channels=torch.stack(shown),
        hooks=Hooks(watch=True),
        layers=2 * network.architecture.depth,
    )


def samples_of_members(seeds, dtype=torch.float64):
    """Return a made-up rollout; its ratios and values lie on both sides of a clip."""
    own = [generator(seed, "samples") for seed in seeds]

    def normal(*size):
        return torch.cat([torch.randn(*size, generator=draw) for draw in own])

    numbers = normal(COUNT, 4)
    numbers[:, 0] = 0.3 * numbers[:, 0] - 1.1
    boards = [torch.rand(COUNT + 6, 12, generator=draw) < 0.4 for draw in own]
    actions = [torch.randint(ACTIONS, (COUNT,), generator=draw) for draw in own]
    return Samples(
        boards=torch.cat(boards),
        actions=torch.cat(actions),
        numbers=numbers.to(dtype),
        members=len(seeds),
    )


def order(seeds, step):
    return torch.stack(
        [torch.randperm(COUNT, generator=generator(s, step))[:BATCH] for s in seeds]
    )


def taken(learner, step, steps=4):
    """Take some steps over two rollouts; return what was seen of each."""
    seen = []
    for half in range(2):
        own = [seed + half for seed in learner.seeds]
        samples = samples_of_members(own, learner.parameters["head.actor.bias"].dtype)
        for i in range(steps):
            found, activations = step(learner, samples, order(learner.seeds, i))
            seen.append((found, [a.clone() for a in activations]))
    return seen


def assert_same(one, other, dtype, steps=4):
    """Both learners see the same and end at the same parameters and moments."""
    ours, theirs = (
        taken(one, written_step(one), steps),
        taken(other, gradient_step, steps),
    )
    tolerance = TOLERANCES[dtype]
    for (found, hidden), (expected, trusted) in zip(ours, theirs, strict=True):
        assert_close(found.to(dtype), expected, equal_nan=True, **tolerance)
        assert_close(hidden, [a.detach() for a in trusted], equal_nan=True, **tolerance)
    for name, parameter in one.parameters.items():
        twin = other.parameters[name]
        assert_close(parameter, twin, equal_nan=True, **tolerance)
        assert_close(parameter.grad, twin.grad, equal_nan=True, **tolerance)
        state, trusted = one.optimizer.state[parameter], other.optimizer.state[twin]
        assert_close(dict(state), dict(trusted), equal_nan=True, **tolerance)


@pytest.mark.parametrize("seeds", [[4], [4, 9, 2]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("activation", WRITTEN)
def test_steps_are_autograds(activation, dtype, seeds):
    pair = [learner_of(seeds, dtype=dtype, activation=activation) for _ in range(2)]
    before = {n: p.detach().clone() for n, p in pair[0].parameters.items()}
    assert is_written(pair[0])
    assert_same(*pair, dtype)
    for name, parameter in pair[0].parameters.items():
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("seeds", [[4], [4, 9, 2]], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_clip": "element", "gradient_bound": 0.01},
        {"gradient_clip": "none"},
        {"gradient_bound": 0.05},
        {"gradient_bound": 1e3},
        {"value_clip": None, "normalise_advantages": False},
        {"entropy_coefficient": 0.3, "value_coefficient": 2.0, "ratio_clip": 0.05},
    ],
    ids=str,
)
def test_every_clip_and_coefficient_does_what_it_does_with_autograd(changes, seeds):
    settings = replace(SETTINGS, **changes)
    pair = [learner_of(seeds, settings, torch.float64) for _ in range(2)]
    assert_same(*pair, torch.float64)


@pytest.mark.parametrize("changes", [{"hidden_bias": False}, {"depth": 1}], ids=str)
def test_networks_of_other_shapes_take_the_same_steps(changes):
    pair = [learner_of([4, 9], dtype=torch.float64, **changes) for _ in range(2)]
    assert_same(*pair, torch.float64)


def test_a_member_that_is_not_a_number_stays_so_and_the_others_go_on():
    pair = [learner_of([4, 9, 2], dtype=torch.float64) for _ in range(2)]
    alone = learner_of([4], dtype=torch.float64)
    for learner in pair:
        with torch.no_grad():
            learner.parameters["hidden.actor.1.weight"][1] = torch.nan
            learner.parameters["hidden.critic.1.weight"][2] = torch.nan
    assert_same(*pair, torch.float64)
    taken(alone, written_step(alone))
    finite = pair[0].parameters["hidden.actor.0.bias"].isfinite().all(1)
    assert finite.tolist() == [True, False, True]
    for name, parameter in alone.parameters.items():
        assert_close(pair[0].parameters[name][0], parameter[0])


def test_a_members_added_gradient_and_a_new_learning_rate_are_heeded():
    pair = [learner_of([4, 9], dtype=torch.float64) for _ in range(2)]
    for i, learner in enumerate(pair):

        def push(own=learner.parameters):
            with torch.no_grad():
                own["head.critic.bias"].grad[1] += 7.0

        pair[i] = replace(learner, hooks=Hooks(add_gradient=push))
    steps = written_step(pair[0]), gradient_step
    for lr in (1e-2, 1e-2, 3e-3, 0.0):
        for learner, step in zip(pair, steps, strict=True):
            learner.optimizer.param_groups[0]["lr"] = lr
            taken(learner, step, 1)
        for name, parameter in pair[0].parameters.items():
            assert_close(parameter, pair[1].parameters[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),
        ({"activation": "maxmin"}, True),
        ({"activation": "gelu"}, False),
        ({"activation": "crelu"}, False),
        ({"activation": "leaky_relu", "negative_slope": 0.0}, False),
        ({"normalisation": "layer"}, False),
    ],
)
def test_what_it_does_not_know_is_left_to_autograd(changes, known):
    learner = learner_of([4], **changes)
    assert is_written(learner) is known
    shared = replace(learner.network, shared="frames")
    assert not is_written(replace(learner, network=shared))
    for hooks in (Hooks(penalty=lambda: torch.zeros(1)), Hooks(watch_gradients=True)):
        assert not is_written(replace(learner, hooks=hooks))


def test_the_written_losses_have_the_gradient_of_the_loss():
    draw = generator(0, "minibatch")
    logits = torch.randn(1, COUNT, ACTIONS, generator=draw, dtype=torch.float64)
    values = torch.randn(1, COUNT, generator=draw, dtype=torch.float64)
    samples = samples_of_members([5])
    numbers, actions = samples.numbers, samples.actions
    logits.requires_grad_(), values.requires_grad_()
    old, advantages, before, targets = numbers.T[:, None]
    batch = Minibatch(
        actions=actions[None],
        log_probabilities=old,
        advantages=advantages,
        values=before,
        targets=targets,
    )
    losses = ppo_losses(logits, values, batch, SETTINGS)
    assert 0.1 < losses.clipped < 0.9
    expected = torch.autograd.grad(losses.total.sum(), (logits, values))
    found = [torch.empty_like(g) for g in expected]
    rows = torch.arange(COUNT).numpy()
    parts = policy_gradient(
        logits[0].detach().numpy(),
        numbers.numpy(),
        actions.numpy(),
        rows,
        0.2,
        0.01,
        True,
        found[0][0].numpy(),
    )
    value = value_gradient(
        values[0].detach().numpy(), numbers.numpy(), rows, 0.2, 0.5, found[1][0].numpy()
    )
    assert_close(found, list(expected))
    trusted = (losses.policy, losses.entropy, losses.divergence, losses.clipped)
    assert_close(list(parts), [t.item() for t in trusted])
    assert_close(value, losses.value.item())


def test_listed_boards_name_what_differs_from_the_usual_board():
    rows = [[1, 0, 1], [1, 1, 0], [1, 0, 0]], [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    found = listed(torch.tensor(rows).bool(), torch.tensor([[7, 1, 0], [2, 300, 4]]))
    assert found.usual_starts.tolist() == [0, 1, 3]
    assert found.usual_places.tolist() == [7, 2, 300]
    # Each board: what is on only here, then what is off only here.
    assert found.starts.tolist() == [0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 4, 5]
    assert found.places.tolist()[:2] == [0, 1]
    assert found.places.tolist()[2:] == [2, 4, 300]


@pytest.mark.parametrize("count", [1, 8, 9])
def test_the_usual_board_shows_what_more_than_half_of_the_boards_show(count):
    boards = torch.rand(2, count, 12, generator=generator(0, count)) < 0.42
    found = listed(boards)
    usual = 2 * boards.sum(1) > count
    assert found.usual_places.tolist() == usual.nonzero()[:, 1].tolist()
    assert len(found.places) == (boards != usual[:, None]).sum() == found.starts[-1]


def test_boards_that_are_all_empty_have_no_places():
    found = listed(torch.zeros(2, 3, 4, dtype=torch.bool))
    assert found.places.size == found.usual_places.size == 0


@pytest.mark.parametrize("features", [1, 6, 12, 20, 400])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_rows_are_added_and_collected_as_by_a_product_with_the_boards(features, share):
    draw = generator(0, features)
    often = torch.rand(2, 1, features, generator=draw) < share
    boards = often ^ (torch.rand(2, 50, features, generator=draw) < 0.1)
    table, gradient, bias = (
        torch.randn(2, *size, generator=draw, dtype=torch.float64)
        for size in ((features, 5), (9, 5), (5,))
    )
    rows = torch.randint(50, (2, 9), generator=draw)
    shown = boards[torch.arange(2)[:, None], rows].double()
    on, chosen = listed(boards), (rows + torch.tensor([[0], [50]])).numpy()
    out, collected = torch.empty_like(gradient), torch.empty_like(table)
    add_rows(on, chosen, table, bias, out)
    assert_close(out, shown @ table + bias[:, None])
    collect_rows(on, chosen, gradient, collected)
    assert_close(collected, shown.mT @ gradient)


@pytest.mark.parametrize("bound", [0.5, 2.0, 1e3])
@pytest.mark.parametrize("clip", ["norm", "element", "none"])
def test_rows_are_clipped_as_gradients_are(clip, bound):
    settings = replace(SETTINGS, gradient_clip=clip, gradient_bound=bound)
    draw = generator(0, "rows")
    rows = [
        torch.randn(3, n, generator=draw, dtype=torch.float64) / 3 for n in (4, 70, 1)
    ]
    rows[1][2, 5] = torch.nan
    for row in rows:
        row[0] /= 100  # one member within the bound, one beyond it, one without a norm
    trusted = [row.clone() for row in rows]
    clip_together_(trusted, settings)
    clip_rows_(rows, settings)
    assert_close(rows, trusted, equal_nan=True)
