"""Orders of games and of channels, profiles, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from isometry.core.profile import PROFILES
from isometry.lab.run import plan
from isometry.rl.continual_benchmarks import CONTINUAL
from isometry.rl.continual_settings import PLACES, channels_of, game_of
from isometry.rl.protocols import PAPER_MINATAR, PAPER_OCTAX

PAPER = CONTINUAL.get("continual_minatar").profiles.paper
every_benchmark = pytest.mark.parametrize("name", CONTINUAL.names())


def test_each_cycle_has_every_game_once_in_the_order_of_the_published_draw():
    for seed in range(26, 34):
        for cycle in range(3):
            draw = np.random.default_rng(seed + cycle * 7919)
            expected = draw.permutation(list(PAPER.names)).tolist()
            visits = range(4 * cycle, 4 * cycle + 4)
            assert [game_of(PAPER, seed, visit) for visit in visits] == expected
            assert set(expected) == set(PAPER.names)


def test_the_eight_published_seeds_meet_each_game_first_twice():
    first = [game_of(PAPER, seed, 0) for seed in range(26, 34)]
    assert sorted(first) == sorted(2 * PAPER.names)


def test_a_fixed_order_is_the_same_for_all():
    fixed = replace(PAPER, order="fixed")
    for seed in (0, 5):
        visits = [game_of(fixed, seed, visit) for visit in range(8)]
        assert visits == 2 * list(PAPER.names)


def test_channels_stand_where_the_published_draw_puts_them():
    board = np.arange(10)  # each channel shows its own number
    for seed, visit, game in [(26, 0, "freeway"), (3, 9, "breakout")]:
        key = abs(seed * 10_000 + PLACES.index(game) * 100 + visit // 4)
        order = np.random.default_rng(key).permutation(10)
        seen = board[order]
        places = channels_of(PAPER, seed, visit, game)
        assert [seen[place] for place in places] == board.tolist()


def test_channels_differ_between_seeds_games_and_cycles_and_not_within():
    def order(seed=0, visit=0, game="asterix"):
        return tuple(channels_of(PAPER, seed, visit, game))

    assert order(visit=0) == order(visit=3)
    others = [order(), order(seed=1), order(game="freeway"), order(visit=4)]
    assert len(set(others)) == 4
    still = replace(PAPER, permute_channels=False)
    assert channels_of(still, 3, 9, "freeway") == list(range(10))


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("continual_minatar", PAPER_MINATAR), ("continual_octax", PAPER_OCTAX)],
)
def test_the_paper_profile_is_the_papers_protocol(name, protocol):
    planned = plan(name, "adamo", profile="paper")
    settings = planned.settings
    for key in ("cycles", "env_steps", "num_envs", "rollout_length", "epochs", "lr"):
        assert getattr(settings, key) == getattr(protocol, key)
    assert settings.names == protocol.games
    assert settings.tasks == protocol.visits
    assert settings.updates == protocol.updates
    assert settings.steps_per_task == protocol.gradient_steps
    assert planned.method_settings.eps == protocol.adam_eps
    assert planned.method_settings.isometry_strength == protocol.isometry_strength
    assert planned.method_settings.isometry_head is False


BOTH = {
    "epochs": 4, "discount": 0.99, "gae_lambda": 0.95, "ratio_clip": 0.2,
    "value_clip": 0.2, "value_coefficient": 0.5, "entropy_coefficient": 0.01,
    "normalise_advantages": True, "truncation_bootstrap": False,
    "lr_schedule": "constant", "gradient_bound": 0.5, "width": 64, "depth": 4,
    "activation": "relu", "init": "orthogonal", "init_gain": 2**0.5,
    "policy_gain": 0.01, "value_gain": 1.0, "num_actions": 6,
    "action_set": "minimal", "invalid_action": "first", "reset_optimizer": True,
    "eval_episodes": 128, "protect_heads": True, "protect_shared": True,
}  # fmt: skip
PUBLISHED = {
    "minatar": BOTH | {
        "num_envs": 2048, "rollout_length": 128, "minibatches": 128, "lr": 2.5e-4,
        "gradient_clip": "norm", "network": "mlp", "order": "shuffled", "cycles": 20,
        "pad_channels": 10, "permute_channels": True, "sticky": 0.0, "ramping": True,
        "max_steps": 1000, "freeway_max_steps": 2500, "eval_every": 2 * 2048 * 128,
    },
    "octax": BOTH | {
        "num_envs": 512, "rollout_length": 32, "minibatches": 32, "lr": 5e-4,
        "gradient_clip": "element", "network": "cnn", "cnn_layout": "columns",
        "order": "fixed", "cycles": 3, "pad_channels": 0, "permute_channels": False,
        "timer_wrap": True, "max_steps": 4500, "eval_every": 131_072,
    },
}  # fmt: skip


@pytest.mark.parametrize("suite", PUBLISHED)
def test_every_detail_of_the_paper_profile_is_the_published_one(suite):
    settings = CONTINUAL.get(f"continual_{suite}").profiles.paper
    found = {key: getattr(settings, key) for key in PUBLISHED[suite]}
    assert found == PUBLISHED[suite]


@every_benchmark
def test_a_benchmark_says_what_it_is_and_has_every_profile(name):
    benchmark = CONTINUAL.get(name)
    assert benchmark.name == name
    assert len(benchmark.summary) > 10
    assert len(benchmark.source) > 3
    assert benchmark.metric == "episodic_return"
    for profile in PROFILES:
        assert benchmark.settings(profile) == benchmark.profiles.of(profile)


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("minatar", {"games": "breakot"}, KeyError, "did you mean 'breakout'"),
        ("minatar", {"games": "asterix,asterix"}, ValueError, "distinct games"),
        ("minatar", {"games": ""}, ValueError, "distinct games"),
        ("minatar", {"cycles": "0"}, ValueError, "cycles >= 1"),
        ("minatar", {"sticky": "2"}, ValueError, "0 <= sticky <= 1"),
        ("minatar", {"timer_wrap": "false"}, ValueError, "timer_wrap=True for"),
        ("minatar", {"network": "cnn"}, ValueError, "network=mlp for"),
        ("minatar", {"pad_channels": "0"}, ValueError, "set permute_channels=false"),
        ("octax", {"sticky": "0.1"}, ValueError, "sticky=0.0 for continual_octax"),
        ("octax", {"pad_channels": "4"}, ValueError, "pad_channels=0 for"),
        (
            "minatar",
            {"protect_heads": "false", "protect_value_head": "false"},
            ValueError,
            "needed protect_value_head=true while protect_heads=false, found False; ",
        ),
        ("minatar", {"env_step": "9"}, KeyError, "did you mean 'env_steps'"),
        ("minatar", {"minibatches": "7"}, ValueError, "minibatches that divide"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, changes, error, message):
    with pytest.raises(error, match=message) as refused:
        plan(f"continual_{name}", "adam", changes, "smoke")
    assert "\n" not in str(refused.value)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="a profile of smoke, laptop, paper"):
        CONTINUAL.get("continual_minatar").settings("huge")
