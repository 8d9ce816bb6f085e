"""Play a game again with the draws that another implementation was served."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def replayed():
    """A function: what a game shows for given codes of actions and draws.

    It returns boards as packed bits, the first and one after each step and each reset,
    then rewards and ends of the steps, and how many draws are left.
    """
    from isometry.rl.games import draws
    from isometry.rl.games.kernels import compiled
    from isometry.rl.games.registry import GAMES

    def replay(name, actions, served, sticky=0.0, rule=True):
        game = GAMES.get(name)
        reset_all, step_all, _ = compiled(name)
        source = draws.tape(*np.asarray(served, dtype=np.float64))[None]
        start = game.start()
        state = start[None].copy()
        executed, elapsed = np.zeros((2, 1), dtype=np.int64)
        board = np.ones((1, *game.shape), dtype=np.bool_)  # what it shows is no matter
        anew = source, start, np.ones(1, dtype=np.bool_), board
        reset_all(state, *anew)
        boards, rewards, ends = [np.packbits(board)], [], []
        for action in np.asarray(actions, dtype=np.int64):
            reward = np.zeros(1, dtype=np.float32)
            over, cut = np.zeros((2, 1), dtype=np.bool_)
            step_all(
                state, source, executed, elapsed, np.zeros(1, dtype=np.bool_),
                action[None], sticky, rule, 0, board, reward, over, cut,
            )  # fmt: skip
            rewards.append(int(reward[0]))
            ends.append(bool(over[0]))
            boards.append(np.packbits(board))
            if ends[-1]:
                reset_all(state, *anew)
                boards.append(np.packbits(board))
        left = source.shape[1] - int(source[0, 0])
        return {"boards": boards, "rewards": rewards, "ends": ends}, left

    return replay
