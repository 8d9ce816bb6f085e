"""The games play as the installed octax does, bit by bit, on random bytes made here.

Runs where the extra ``peers`` is installed: octax and what its import needs. What it
played once stands in ``golden`` and is tested wherever the programs of its games are.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("octax", reason="CONTRIBUTING.md: the originals of the games")

# octax mixes kinds of integers, of which JAX warns
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

ROOT = Path(__file__).resolve().parents[3]
RECORDER = ROOT / "benchmarks" / "contestants" / "record_octax.py"
# Three ways to score, timers that count and timers at zero, many ends, many draws.
PLAYED = "airplane", "blinky", "brix", "missile", "pong", "space_flight3", "ufo"
STEPS, SEED = 400, 2  # the recorded traces have seed 1
played = runpy.run_path(str(RECORDER))["played"]


@pytest.mark.parametrize("game", PLAYED)
def test_every_frame_reward_end_and_random_byte_is_that_of_the_installed_package(
    game, replayed
):
    from isometry.rl.games.registry import GAMES

    name = f"octax/{game}"
    theirs = played(game, STEPS, SEED, held=0.0)
    draws, actions = theirs.pop("draws"), theirs.pop("actions")
    codes = np.array(GAMES.get(name).minimal_actions)[actions]
    ours, left = replayed(name, codes, draws)
    for key, expected in theirs.items():
        np.testing.assert_array_equal(ours[key], expected, err_msg=key)
    assert left == 0  # every byte was taken
    assert len(actions) == STEPS
    assert theirs["rewards"].any()
