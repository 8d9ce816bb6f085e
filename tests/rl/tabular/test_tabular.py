"""Values, advantages and state distributions: closed form, brute force, definition."""

import math

import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.rl.tabular import mdp as tabular
from isometry.rl.tabular.gridworld import exit_share, gridworld, on_map
from isometry.rl.tabular.mdp import MarkovDecisionProcess


def random_process(seed=0, states=7, actions=3, ending=0.1, discount=0.9):
    draw = generator(seed, "process")
    rows = torch.rand(states, actions, states, generator=draw, dtype=torch.float64)
    rows = (1 - ending) * rows / rows.sum(-1, keepdim=True)
    start = torch.rand(states, generator=draw, dtype=torch.float64)
    return MarkovDecisionProcess(
        transition=rows,
        reward=torch.randn(states, actions, generator=draw, dtype=torch.float64),
        start=start / start.sum(),
        discount=discount,
    )


def random_policy(mdp, seed=0, batch=()):
    draw = generator(seed, "policy")
    shape = (*batch, *mdp.reward.shape)
    return torch.randn(shape, generator=draw, dtype=torch.float64).softmax(-1)


PROCESSES = [random_process(0), random_process(1, ending=0.0), gridworld().mdp]


@pytest.mark.parametrize("mdp", PROCESSES)
def test_value_is_the_limit_of_backups(mdp):
    policy = random_policy(mdp)
    value = tabular.iterated_value(mdp, policy, 800)
    assert_close(value, tabular.policy_value(mdp, policy))


def test_one_backup_from_zero_is_the_expected_reward():
    mdp = PROCESSES[0]
    policy = random_policy(mdp, batch=(2,))
    value = tabular.iterated_value(mdp, policy, 1)
    assert_close(value, (policy * mdp.reward).sum(-1))


@pytest.mark.parametrize("mdp", PROCESSES)
def test_a_backup_contracts_by_the_discount(mdp):
    policy = random_policy(mdp)
    first, second = torch.randn(
        2, len(mdp.start), generator=generator(0, "values"), dtype=torch.float64
    )
    before = (first - second).abs().max()
    after = tabular._bellman_backup(mdp, policy, first)
    after = (after - tabular._bellman_backup(mdp, policy, second)).abs().max()
    assert after <= mdp.discount * before + 1e-15


def test_value_is_the_mean_of_sampled_returns():
    mdp = gridworld().mdp
    policy = random_policy(mdp)
    state = int(mdp.start.argmax())
    returns = tabular.sampled_return(
        mdp, policy, state, 4000, 400, generator(0, "returns")
    )
    standard_error = returns.std() / math.sqrt(len(returns))
    value = tabular.policy_value(mdp, policy)[state]
    assert abs(returns.mean() - value) < 4 * standard_error
    assert standard_error < 0.05 * value  # so that the line above can fail


def test_state_distribution_is_the_discounted_sum_of_where_the_agent_is():
    mdp = random_process()
    policy = random_policy(mdp)
    transition = tabular._policy_transition(mdp, policy)
    here, visits = mdp.start, torch.zeros_like(mdp.start)
    for step in range(500):
        visits += mdp.discount**step * here
        here = here @ transition
    assert_close(tabular.state_distribution(mdp, policy), visits / visits.sum())


def test_expected_visits_sum_to_the_mean_length_of_an_episode():
    mdp = random_process(ending=0.1)  # every step ends with probability 0.1
    visits = tabular.expected_visits(mdp, random_policy(mdp))
    assert_close(visits.sum(), torch.tensor(10.0, dtype=torch.float64))


def test_start_value_is_reward_over_visited_states():
    mdp = random_process()
    policy = random_policy(mdp)
    value = mdp.start @ tabular.policy_value(mdp, policy)
    states = tabular.state_distribution(mdp, policy)
    identity = torch.eye(len(mdp.start), dtype=torch.float64)
    transition = tabular._policy_transition(mdp, policy)
    length = torch.linalg.inv(identity - mdp.discount * transition).sum(-1) @ mdp.start
    assert_close(value, length * (states @ (policy * mdp.reward).sum(-1)))


@pytest.mark.parametrize("mdp", PROCESSES)
def test_advantage_has_zero_mean_under_its_policy(mdp):
    policy = random_policy(mdp, batch=(2,))
    mean = (policy * tabular.advantage(mdp, policy)).sum(-1)
    assert_close(mean, torch.zeros_like(mean))


def test_difference_of_values_is_advantage_over_visited_states():
    mdp = random_process()
    old, new = random_policy(mdp, 0), random_policy(mdp, 1)
    gain = mdp.start @ (tabular.policy_value(mdp, new) - tabular.policy_value(mdp, old))
    identity = torch.eye(len(mdp.start), dtype=torch.float64)
    transition = tabular._policy_transition(mdp, new)
    visits = torch.linalg.solve((identity - mdp.discount * transition).T, mdp.start)
    expected = visits @ (new * tabular.advantage(mdp, old)).sum(-1)
    assert_close(gain, expected)  # Kakade & Langford 2002, Lemma 6.1


def test_a_batch_of_policies_equals_each_by_itself():
    mdp = random_process()
    policies = random_policy(mdp, batch=(2, 3))
    for quantity in (
        tabular.policy_value,
        tabular.advantage,
        tabular.state_distribution,
        tabular.expected_visits,
    ):
        together = quantity(mdp, policies)
        for i in range(2):
            for j in range(3):
                assert_close(together[i, j], quantity(mdp, policies[i, j]))


def test_exit_shares_are_those_of_a_symmetric_random_walk():
    # From cell k of a corridor of n cells a walk leaves right with k / (n + 1).
    lines = ["########", "#a..S.b#", "########"]
    world = gridworld("\n".join(lines), {"a": 1.0, "b": 1.0}, slip=0.0)
    uniform = torch.full_like(world.mdp.reward, 0.25)
    share = exit_share(world, uniform)
    assert_close(share, torch.tensor([2 / 5, 3 / 5], dtype=torch.float64))


def test_moves_follow_the_map():
    lines = ["####", "#S.#", "#.a#", "####"]
    world = gridworld("\n".join(lines), {"a": 2.0}, slip=0.0)
    assert world.cells.tolist() == [[1, 1], [1, 2], [2, 1]]
    arrives = world.mdp.transition.argmax(-1)  # up, right, down, left
    assert arrives[0].tolist() == [0, 1, 2, 0]
    assert world.mdp.reward.tolist() == [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 0.0],
        [0.0, 2.0, 0.0, 0.0],
    ]
    rows = world.mdp.transition.sum(-1)
    assert_close(rows, 1 - world.mdp.reward / 2)
    picture = on_map(world, torch.tensor([1.0, 2.0, 3.0]))
    assert picture[1, 1:3].tolist() == [1.0, 2.0]
    assert picture[2, 1] == 3.0
    assert int(picture.isnan().sum()) == 13


def test_slip_mixes_in_a_random_direction():
    sure, slipping = gridworld(slip=0.0).mdp, gridworld(slip=0.2).mdp
    mixed = 0.8 * sure.transition + 0.2 * sure.transition.mean(1, keepdim=True)
    assert_close(slipping.transition, mixed)
    assert_close(
        slipping.reward, 0.8 * sure.reward + 0.2 * sure.reward.mean(1)[:, None]
    )


GOOD = {
    "transition": torch.full((2, 1, 2), 0.5),
    "reward": torch.zeros(2, 1),
    "start": torch.tensor([1.0, 0.0]),
    "discount": 0.9,
}
MAP = "####\n#Sa#\n####"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MarkovDecisionProcess(**GOOD | {"discount": 1.0}), "discount < 1"),
        (lambda: MarkovDecisionProcess(**GOOD | {"discount": -0.1}), "0 <= discount"),
        (
            lambda: MarkovDecisionProcess(**GOOD | {"start": torch.ones(2)}),
            "start distribution, found a sum of 2",
        ),
        (
            lambda: MarkovDecisionProcess(**GOOD | {"start": torch.ones(3)}),
            r"start \(2,\)",
        ),
        (
            lambda: MarkovDecisionProcess(**GOOD | {"transition": torch.ones(2, 1, 2)}),
            "row that sums to 2",
        ),
        (lambda: gridworld(MAP, {"a": 1.0}, slip=1.5), "0 <= slip <= 1"),
        (lambda: gridworld(MAP, {"b": 1.0}), r"\['a'\] on the map"),
        (lambda: gridworld(MAP.replace("S", "."), {"a": 1.0}), "one start S, found 0"),
        (lambda: gridworld("###\n#S.#\n####", {}), r"one width, found \[3, 4\]"),
        (lambda: gridworld("####\n#S.a\n####", {"a": 1.0}), "walls all around"),
        (lambda: gridworld("#####\n#Saa#\n#####", {"a": 1.0}), "each letter once"),
    ],
)
def test_what_is_no_process_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
