"""Decision processes that are solved exactly: policies, values, what changes.

A world of rooms is made by :func:`isometry.rl.tabular.gridworld.gridworld`.
"""

from isometry.rl.tabular.gridworld import Gridworld, exit_share, landmarks, on_map
from isometry.rl.tabular.improvement import (
    Improvement,
    advantage_correlation,
    critic_error,
    improve,
    state_shift,
)
from isometry.rl.tabular.mdp import (
    MarkovDecisionProcess,
    advantage,
    expected_visits,
    iterated_value,
    policy_value,
    sampled_return,
    state_distribution,
)

__all__ = [
    "Gridworld",
    "Improvement",
    "MarkovDecisionProcess",
    "advantage",
    "advantage_correlation",
    "critic_error",
    "exit_share",
    "expected_visits",
    "improve",
    "iterated_value",
    "landmarks",
    "on_map",
    "policy_value",
    "sampled_return",
    "state_distribution",
    "state_shift",
]
