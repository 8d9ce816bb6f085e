"""The games in stable-baselines3, where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from isometry.adamo import AdamO
from isometry.rl import make_vec
from isometry.rl.single_environment import GameEnv
from isometry.rl.stable_baselines import GameVecEnv

SETTINGS = {"sticky": 0.1, "max_steps": 9}


@pytest.fixture
def sb3():
    return pytest.importorskip("stable_baselines3")


@pytest.mark.skipif(
    find_spec("stable_baselines3") is not None, reason="stable-baselines3 is there"
)
def test_without_stable_baselines_one_line_names_it():
    with pytest.raises(ImportError, match=r"found none; pip install stable-baselines3"):
        GameVecEnv(make_vec("minatar/breakout", 1, seed=0))


def test_games_step_as_stable_baselines_steps_one_by_one(sb3):
    envs = GameVecEnv(make_vec("minatar/breakout", 4, seed=0, **SETTINGS))
    apart = sb3.common.vec_env.DummyVecEnv(
        [lambda: GameEnv("minatar/breakout", **SETTINGS)] * 4
    )
    assert envs.seed(7) == apart.seed(7)
    np.testing.assert_array_equal(envs.reset(), apart.reset())
    assert envs.observation_space == apart.observation_space
    cut, over = 0, 0
    for actions in np.random.default_rng(0).integers(3, size=(120, 4)):
        ours, theirs = envs.step(actions), apart.step(actions)
        for one, other in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        for one, other in zip(ours[3], theirs[3], strict=True):
            assert one["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            assert ("terminal_observation" in one) == ("terminal_observation" in other)
            if "episode" in one:
                last = one["terminal_observation"], other["terminal_observation"]
                np.testing.assert_array_equal(*last)
                assert one["episode"]["r"] == other["episodic_return"]
                assert one["episode"]["l"] == other["episode_length"]
                cut += one["TimeLimit.truncated"]
                over += not one["TimeLimit.truncated"]
    assert cut > 5
    assert over > 5


@pytest.mark.parametrize("algorithm", ["PPO", "DQN", "A2C"])
def test_its_algorithms_learn_from_the_games(algorithm, sb3, tmp_path):
    envs = GameVecEnv(make_vec("minatar/breakout", 8, seed=0, dtype="float32"))
    adamo = {
        "optimizer_class": AdamO,
        "optimizer_kwargs": {"relaxation_steps": 10_000},
    }
    policy = adamo if algorithm == "PPO" else {}
    sizes = {"DQN": {"learning_starts": 50}}.get(algorithm, {"n_steps": 16})
    checked = sb3.common.vec_env.VecCheckNan(envs)
    agent = getattr(sb3, algorithm)(
        "MlpPolicy", checked, seed=0, policy_kwargs=policy, **sizes
    )
    weights = list(agent.policy.parameters())
    before = [weight.detach().clone() for weight in weights]
    agent.learn(256)
    assert any((w != b).any() for w, b in zip(weights, before, strict=True))
    assert len(agent.ep_info_buffer) > 5  # what its logger shows as ep_rew_mean
    agent.save(tmp_path / "agent")
    again = getattr(sb3, algorithm).load(tmp_path / "agent", env=envs)
    board = envs.reset()
    one, other = (a.predict(board, deterministic=True)[0] for a in (agent, again))
    np.testing.assert_array_equal(one, other)


def test_attributes_and_pictures_are_those_of_the_games(sb3):
    games = make_vec("minatar/breakout", 3, seed=0, sticky=0.2, render_mode="rgb_array")
    envs = GameVecEnv(games)
    envs.reset()
    assert envs.get_attr("sticky", [0, 2]) == [0.2, 0.2]
    assert envs.env_is_wrapped(sb3.common.monitor.Monitor) == [False] * 3
    assert [picture.shape for picture in envs.get_images()] == [(80, 80, 3)] * 3
    assert envs.env_method("render", indices=1)[0].shape == (80, 80, 3)
    with pytest.raises(AttributeError, match="pass it to make_vec"):
        envs.set_attr("sticky", 0.5)
    envs.close()
    assert games.closed


def test_another_mode_is_refused(sb3):
    games = make_vec("minatar/breakout", 1, seed=0, autoreset_mode="next_step")
    with pytest.raises(ValueError, match="mode same_step, found next_step"):
        GameVecEnv(games)
