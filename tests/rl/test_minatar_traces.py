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
    reset_all, step_all, observe_all = compiled(game.name)
    source = draws.tape(*trace["draws"].astype(np.float64))[None]
    state = np.zeros((1, game.state_size), dtype=np.int32)
    executed, elapsed = np.zeros((2, 1), dtype=np.int64)
    reset_all(state, source)
    boards = np.zeros((2, 1, 10, 10, len(game.channels)), dtype=np.bool_)
    observe_all(state, boards[0])
    seen = checksums(boards[0])
    rewards, ends = [], []
    for action in trace["actions"].astype(np.int64):
        boards[:] = False
        reward = np.zeros(1, dtype=np.float32)
        over = np.zeros((2, 1), dtype=np.bool_)
        step_all(
            state, source, executed, elapsed, action[None], STICKY, True, 0, *boards,
            reward, *over,
        )  # fmt: skip
        rewards.append(int(reward[0]))
        ends.append(bool(over[0, 0]))
        seen += checksums(boards[1]) if ends[-1] else []
        seen += checksums(boards[0])
    np.testing.assert_array_equal(seen, trace["boards"])
    np.testing.assert_array_equal(rewards, trace["rewards"])
    np.testing.assert_array_equal(ends, trace["ends"])
    assert source[0, 0] == source.shape[1]  # every draw was taken, none is left
    assert len(ends) >= 20_000
    assert sum(ends) > 5
    assert sum(rewards) > 100
