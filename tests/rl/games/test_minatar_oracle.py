"""The games play as the installed minatar does, draw by draw, on draws made here.

Runs where the extra ``peers`` is installed; the package is used as a black box. What it
played once stands in ``golden`` and is tested everywhere.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest

from isometry.rl.continual_benchmarks import MINATAR_GAMES

pytest.importorskip("minatar", reason="CONTRIBUTING.md: the originals of the games")

RECORDER = Path(__file__).parent / "golden" / "record_minatar.py"
STEPS, SEED = 4000, 2  # the recorded traces have seed 1
played = runpy.run_path(str(RECORDER))["played"]


def any_action(game, board, generator):
    return int(generator.integers(6))


@pytest.mark.parametrize("game", MINATAR_GAMES)
@pytest.mark.parametrize(
    ("sticky", "ramping", "how"),
    [
        pytest.param(0.1, True, {"choose": any_action}, id="random actions"),
        pytest.param(0.1, True, {}, id="fairly sensible actions"),
        pytest.param(0.3, False, {}, id="games that stay as hard as they were"),
    ],
)
def test_every_board_reward_end_and_draw_is_that_of_the_installed_package(
    game, sticky, ramping, how, replayed
):
    theirs = played(game, STEPS, SEED, sticky=sticky, ramping=ramping, **how)
    draws, actions = theirs.pop("draws"), theirs.pop("actions")
    ours, left = replayed(f"minatar/{game}", actions, draws, sticky, ramping)
    for key, expected in theirs.items():
        np.testing.assert_array_equal(ours[key], expected, err_msg=key)
    assert left == 0  # every draw was taken
    assert len(actions) == STEPS
    assert any(theirs["ends"])
    assert any(theirs["rewards"]) or how
