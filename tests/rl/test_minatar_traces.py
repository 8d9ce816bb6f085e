"""The games play as minatar 1.0.15 did, draw by draw (recorded in ``golden``)."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from isometry.rl import draws
from isometry.rl.games import GAMES
from isometry.rl.kernels import compiled

TRACES = sorted((Path(__file__).parent / "golden").glob("minatar_*.npz"))
STICKY = 0.1


def test_every_minatar_game_has_a_trace():
    recorded = {path.stem.removeprefix("minatar_") for path in TRACES}
    games = {name.split("/")[1] for name in GAMES.names() if name.startswith("minatar")}
    assert recorded == games


def checksums(boards):
    return [zlib.crc32(np.packbits(b).tobytes()) & 0xFFFF for b in boards]


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_every_board_reward_end_and_draw_is_that_of_the_original(path):
    trace = dict(np.load(path))
    game = GAMES.get(path.stem.replace("_", "/", 1))
    reset_all, step_all, _ = compiled(game.name)
    source = draws.tape(*trace["draws"].astype(np.float64))[None]
    start = game.start()
    state = start[None].copy()
    executed, elapsed = np.zeros((2, 1), dtype=np.int64)
    boards = np.ones((1, *game.shape), dtype=np.bool_)  # what it shows does not matter
    anew = source, start, np.ones(1, dtype=np.bool_), boards
    reset_all(state, *anew)
    seen = checksums(boards)
    rewards, ends = [], []
    for action in trace["actions"].astype(np.int64):
        reward = np.zeros(1, dtype=np.float32)
        over = np.zeros((2, 1), dtype=np.bool_)
        step_all(
            state, source, executed, elapsed, action[None], STICKY, True, 0, boards,
            reward, *over,
        )  # fmt: skip
        rewards.append(int(reward[0]))
        ends.append(bool(over[0, 0]))
        seen += checksums(boards)
        if ends[-1]:
            reset_all(state, *anew)
            seen += checksums(boards)
    np.testing.assert_array_equal(seen, trace["boards"])
    np.testing.assert_array_equal(rewards, trace["rewards"])
    np.testing.assert_array_equal(ends, trace["ends"])
    assert source[0, 0] == source.shape[1]  # every draw was taken, none is left
    assert len(ends) >= 20_000
    assert sum(ends) > 5
    assert sum(rewards) > 100
