"""That agents learn to play."""

import pytest

from isometry.lab.plans import plan
from isometry.rl.continual import train

BREAKOUT = {
    "games": "breakout",
    "cycles": 1,
    "env_steps": 400_000,
    "num_envs": 128,
    "lr": 2.5e-3,
    "eval_every": 0,
    "eval_episodes": 128,
    "diagnose_every": 0,
}


@pytest.mark.slow
def test_breakout_is_learned_in_400_000_steps():
    planned = plan("continual_minatar", "adam", BREAKOUT, "laptop")
    parts = planned.method, planned.method_settings, planned.settings
    run = train(planned.benchmark, *parts, [0])
    returns = {r["metric"]: r["value"] for r in run.records if "return" in r["metric"]}
    assert returns["episodic_return/breakout@0"] < 1, "a policy drawn at random"
    # 11.3 when it was written; random play reaches 0.5
    assert returns["episodic_return"] >= 8
