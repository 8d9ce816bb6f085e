"""Record how the package minatar plays when it is given chosen draws.

Used as a black box: ``python record_minatar.py breakout`` in an environment with
minatar 1.0.15 and numpy writes ``minatar_breakout.npz`` beside this file: the draws
that were served, in order, the actions, and after each reset and step a checksum of
the board, with rewards and ends. Sticky actions are on.
"""

import sys
import zlib
from pathlib import Path

import numpy as np

STEPS, STICKY, SEED = 20_000, 0.1, 1


class Draws:
    """Serves the draws that minatar asks for, all exact in float16, and logs them."""

    def __init__(self, generator):
        self.generator, self.log = generator, []

    def rand(self, size=None):
        value = (self.generator.integers(256, size=size) + 0.5) / 256
        self.log += np.atleast_1d(value).tolist()
        return value

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        value = self.generator.integers(low, high, size=size)
        self.log += np.atleast_1d(value).tolist()
        return value if size else int(value)


def packed(board):
    """Return a board's bits, eight a byte."""
    return np.packbits(board.astype(np.bool_))


def choose(game, board, generator):
    """Return a fairly sensible action, so that long episodes are seen."""
    if game == "breakout" and generator.random() < 0.98:
        ball, paddle = (int(np.argwhere(board[:, :, c])[0][1]) for c in (1, 0))
        return 1 if ball < paddle else 3 if ball > paddle else 0
    if game == "freeway" and generator.random() < 0.85:
        return 2
    if game == "asterix" and generator.random() < 0.9:
        return dodge(board)
    if game == "space_invaders" and generator.random() < 0.9:
        cannon = int(np.argwhere(board[9, :, 0])[0][0])
        danger = board[7:9, cannon, 5].any()
        return int(generator.choice([1, 3])) if danger else 5
    if game == "seaquest" and generator.random() < 0.95:
        return dive(board)
    return int(generator.integers(6))


def dive(board):
    """Return an action for Seaquest: fetch divers, shoot ahead, mind the air."""
    row, column = np.argwhere(board[:, :, 0])[0]
    facing = -1 if board[row, min(column + 1, 9), 1] else 1
    air, crew = int(board[9, :, 7].sum()), int(board[9, :, 8].sum())
    enemies = board[:, :, 4] | board[:, :, 5] | board[:, :, 6]
    if crew > 0 and (air < 4 or crew == 6):
        return 2
    ahead = enemies[row, column + 1 :] if facing > 0 else enemies[row, :column]
    if ahead.any():
        return 5
    behind = enemies[row, :column] if facing > 0 else enemies[row, column + 1 :]
    if behind.any():
        return 1 if facing > 0 else 3
    divers = np.argwhere(board[:, :, 9])
    if row == 0:
        return 4
    if len(divers) and not enemies[divers[0][0]].any():
        goal = divers[0]
        if goal[0] != row:
            return 4 if goal[0] > row else 2 if row > 1 else 0
        return 3 if goal[1] > column else 1
    return 0


def dodge(board):
    """Return an action for Asterix: flee an enemy of the row, else go for gold."""
    row, column = np.argwhere(board[:, :, 0])[0]
    if board[row, max(column - 2, 0) : column + 3, 1].any():
        safe = [
            r for r in (row - 1, row + 1) if 1 <= r <= 8 and not board[r, :, 1].any()
        ]
        return 2 if safe and safe[0] < row else 4
    gold = np.argwhere(board[:, :, 3])
    if len(gold) and not board[gold[0][0], :, 1].any():
        goal = gold[0]
        if goal[0] != row:
            step = 1 if goal[0] > row else -1
            return (4 if step > 0 else 2) if not board[row + step, :, 1].any() else 0
        return 3 if goal[1] > column else 1
    return 0


def played(game, steps, seed, *, choose=choose, sticky=STICKY, ramping=True):
    """Play; return draws, actions, rewards, ends and the boards after each of these.

    Boards are packed; the first one, and one after each end, are those of a reset.
    """
    from minatar import Environment

    generator = np.random.default_rng(seed)
    environment = Environment(
        game, sticky_action_prob=sticky, difficulty_ramping=ramping
    )
    draws = Draws(generator)
    environment.random = environment.env.random = draws
    environment.reset()
    actions, rewards, ends = [], [], []
    boards = [packed(environment.state())]
    for _ in range(steps):
        action = choose(game, environment.state(), generator)
        reward, over = environment.act(action)
        actions.append(action)
        rewards.append(int(reward))
        ends.append(bool(over))
        boards.append(packed(environment.state()))
        if over:
            environment.reset()
            boards.append(packed(environment.state()))
    return {
        "draws": draws.log,
        "actions": actions,
        "boards": boards,
        "rewards": rewards,
        "ends": ends,
    }


def record(game):
    """Play and write what happened."""
    trace = played(game, STEPS, SEED)
    checksums = [zlib.crc32(board) & 0xFFFF for board in trace["boards"]]
    np.savez_compressed(
        Path(__file__).with_name(f"minatar_{game}.npz"),
        draws=np.array(trace["draws"], dtype=np.float16),
        actions=np.array(trace["actions"], dtype=np.int8),
        boards=np.array(checksums, dtype=np.uint16),
        rewards=np.array(trace["rewards"], dtype=np.int8),
        ends=np.array(trace["ends"]),
    )


if __name__ == "__main__":
    record(sys.argv[1])
