"""The games play as minatar 1.0.15 did, draw by draw (recorded in ``golden``)."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from isometry.rl.games.registry import GAMES

TRACES = sorted((Path(__file__).parent / "golden").glob("minatar_*.npz"))
STICKY = 0.1


def test_every_minatar_game_has_a_trace():
    recorded = {path.stem.removeprefix("minatar_") for path in TRACES}
    games = {name.split("/")[1] for name in GAMES.names() if name.startswith("minatar")}
    assert recorded == games


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_every_board_reward_end_and_draw_is_that_of_the_original(path, replayed):
    trace = dict(np.load(path))
    name = path.stem.replace("_", "/", 1)
    found, left = replayed(name, trace["actions"], trace["draws"], STICKY)
    seen = [zlib.crc32(board) & 0xFFFF for board in found["boards"]]
    np.testing.assert_array_equal(seen, trace["boards"])
    np.testing.assert_array_equal(found["rewards"], trace["rewards"])
    np.testing.assert_array_equal(found["ends"], trace["ends"])
    assert left == 0  # every draw was taken
    assert len(found["ends"]) >= 20_000
    assert sum(found["ends"]) > 5
    assert sum(found["rewards"]) > 100
