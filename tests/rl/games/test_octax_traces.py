"""The games start and play as octax 0.1.1's do (recorded in ``golden``).

Start states were read from octax; traces come from
``benchmarks/contestants/record_octax.py``.
"""

import csv
import zlib
from hashlib import sha1
from pathlib import Path

import numpy as np
import pytest

from isometry.rl import make_vec
from isometry.rl.games import chip8
from isometry.rl.games.octax_games import OCTAX_GAMES
from isometry.rl.games.octax_roms import INSTALL, _rom_path
from isometry.rl.games.registry import GAMES
from isometry.rl.protocols import PAPER_OCTAX

GOLDEN = Path(__file__).parent / "golden"
TRACES = sorted(GOLDEN.glob("octax_*.npz"))
with (GOLDEN / "octax_start_states.csv").open() as _file:
    START_STATES = list(csv.DictReader(_file))
needs_roms = pytest.mark.skipif(
    _rom_path("Brix [Andreas Gustafsson, 1990].ch8") is None,
    reason=f"needs the ROMs of octax: {INSTALL}",
)


def digest(array):
    return sha1(array.tobytes()).hexdigest()[:16]


def test_every_game_of_octax_has_a_start_state():
    assert [row["game"] for row in START_STATES] == list(OCTAX_GAMES)


def test_the_games_of_the_paper_have_traces():
    recorded = {path.stem.removeprefix("octax_") for path in TRACES}
    assert recorded <= set(OCTAX_GAMES)
    assert {
        *PAPER_OCTAX.games,
        "pong",
        "space_flight1",
        "tetris",
        "worm",
        "deep",
    } <= recorded


@needs_roms
@pytest.mark.parametrize("row", START_STATES, ids=lambda row: row["game"])
def test_start_up_leads_to_the_state_in_which_octax_starts(row):
    state = GAMES.get(f"octax/{row['game']}").start()
    screen = chip8.frame(state, chip8.FRAMES - 1).astype(">u8")
    stack = state[chip8.STACK : chip8.STACK + state[chip8.POINTER]]
    found = {
        "game": row["game"],
        "pc": f"{state[chip8.PC]:03x}",
        "index": f"{state[chip8.INDEX]:03x}",
        "registers": chip8.registers(state).tobytes().hex(),
        "stack": " ".join(f"{address:03x}" for address in stack),
        "delay": str(state[chip8.DELAY]),
        "sound": str(state[chip8.SOUND]),
        "lit": str(np.unpackbits(screen.view(np.uint8)).sum()),
        "screen": digest(screen),
        "memory": digest(chip8.memory(state)),
    }
    assert found == row
    assert not state[chip8.SCREENS : chip8.SCREEN].any()


@needs_roms
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_every_frame_reward_end_and_random_byte_is_that_of_octax(path, replayed):
    trace = dict(np.load(path))
    name = path.stem.replace("_", "/", 1)
    codes = np.array(GAMES.get(name).minimal_actions)[trace["actions"]]
    found, left = replayed(name, codes, trace["draws"])
    seen = [zlib.crc32(board) & 0xFFFF for board in found["boards"]]
    np.testing.assert_array_equal(seen, trace["boards"])
    np.testing.assert_array_equal(found["rewards"], trace["rewards"])
    np.testing.assert_array_equal(found["ends"], trace["ends"])
    assert left == 0  # every byte was taken
    assert len(found["ends"]) == 1000


MEASURED = [  # mean and standard error, of 200 random episodes of octax's rules
    ("octax/brix", 1.20, 0.06),
    ("octax/deep", 0.31, 0.05),
    ("octax/space_flight1", 15.18, 0.53),
]


@needs_roms
@pytest.mark.parametrize(("name", "mean", "error"), MEASURED)
def test_random_play_returns_what_it_returns_with_octaxs_rules(name, mean, error):
    envs = make_vec(name, 300, seed=0)
    envs.reset()
    returns = np.full(300, np.nan)  # of the first episode of each
    draw = np.random.default_rng(0)
    while np.isnan(returns).any():
        infos = envs.step(draw.integers(envs.single_action_space.n, size=300))[-1]
        if infos:
            first = infos["_episodic_return"] & np.isnan(returns)
            returns[first] = infos["episodic_return"][first]
    own_error = returns.std() / np.sqrt(300)
    assert abs(returns.mean() - mean) <= 4 * np.hypot(own_error, error)
