"""CHIP-8 games by one package, in a process of its own: what was seen, and how fast.

Called by ``chip8.py``: first for octax, in the peer's environment, which writes what it
played, then for ours, which plays the same and compares. Prints one JSON line with the
processor seconds of an environment step, the fastest of several chunks.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

OCTAX, OURS = "octax", "ours"
CHUNK = 5  # steps of all games that are timed together
SEED = 0


def fastest(step: Callable[[int], None], chunks: int) -> float:
    """Return the seconds of a step in the fastest of the chunks."""
    best = float("inf")
    for chunk in range(chunks):
        start = time.process_time()
        for number in range(CHUNK):
            step(chunk * CHUNK + number)
        best = min(best, (time.process_time() - start) / CHUNK)
    return best


def play_octax(game: str, path: Path, num_envs: int, chunks: int) -> float:
    """Play with octax, write what happened, return the seconds of a step."""
    import jax
    from octax.environments import create_environment
    from record_octax import served

    warnings.simplefilter("ignore", FutureWarning)  # octax mixes kinds of integers
    environment, _ = create_environment(game)
    draw = np.random.default_rng(SEED)
    steps = chunks * CHUNK
    actions = draw.integers(environment.num_actions, size=(steps, num_envs))
    keys = jax.random.split(jax.random.PRNGKey(SEED), num_envs)
    states = [jax.jit(jax.vmap(environment.reset))(keys)[0]]
    step = jax.jit(jax.vmap(environment.step))
    jax.block_until_ready(step(states[0], actions[0]))  # compiles
    boards, rewards, ends = [], [], []

    def one(number: int) -> None:
        state, board, reward, over, _, _ = step(states[0], actions[number])
        states[0] = jax.block_until_ready(state)
        boards.append(board)
        rewards.append(reward)
        ends.append(over)

    seconds = fastest(one, chunks)
    last = np.asarray(states[0].rng)
    draws = [served(*pair) for pair in zip(keys, last, strict=True)]
    longest = max(map(len, draws))
    np.savez(
        path,
        actions=actions,
        boards=[np.packbits(np.asarray(b).swapaxes(-1, -2)) for b in boards],
        rewards=np.array(rewards),
        ends=np.array(ends),
        draws=[row + [0] * (longest - len(row)) for row in draws],
        counts=[len(row) for row in draws],
    )
    return seconds


def differences(game: str, path: Path) -> int:
    """Play the same with ours; return in how many observations or returns we differ."""
    from isometry.rl.games.kernels import compiled
    from isometry.rl.games.registry import GAMES

    found = np.load(path)
    rules = GAMES.get(f"octax/{game}")
    _, step_all, _ = compiled(rules.name)
    count = found["actions"].shape[1]
    sources = np.concatenate([np.ones((count, 1)), found["draws"]], axis=1)
    states = np.tile(rules.start(), (count, 1))
    executed, elapsed = np.zeros((2, count), dtype=np.int64)
    boards = np.empty((count, *rules.shape), dtype=np.bool_)
    waiting = np.zeros(count, dtype=np.bool_)
    rewards = np.empty(count, dtype=np.float32)
    over, cut = np.empty((2, count), dtype=np.bool_)
    codes, wrong = np.array(rules.minimal_actions), 0
    for step, actions in enumerate(codes[found["actions"]]):
        step_all(
            states, sources, executed, elapsed, waiting, actions, 0.0, True, 0, boards,
            rewards, over, cut,
        )  # fmt: skip
        wrong += int((np.packbits(boards) != found["boards"][step]).sum())
        wrong += int((rewards != found["rewards"][step]).sum())
        wrong += int((over != found["ends"][step]).sum())
    return wrong + int((sources[:, 0] - 1 != found["counts"]).sum())


def play_ours(game: str, path: Path, num_envs: int, chunks: int) -> float:
    """Compare what was played, then play through the interface; return its seconds."""
    from isometry.rl import make_vec

    wrong = differences(game, path)
    if wrong:
        raise ValueError(f"{game}: {wrong} bytes, rewards, ends or draws differ")
    envs = make_vec(f"octax/{game}", num_envs, seed=SEED)
    envs.reset()
    draw = np.random.default_rng(SEED)
    size = CHUNK * chunks, num_envs
    actions = draw.integers(envs.single_action_space.n, size=size)
    return fastest(lambda number: envs.step(actions[number]), chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=(OCTAX, OURS))
    parser.add_argument("folder", type=Path, help="where octax writes what it played")
    parser.add_argument("--games", nargs="+")
    parser.add_argument("--num-envs", type=int)
    parser.add_argument("--chunks", type=int)
    args = parser.parse_args()
    play = play_octax if args.name == OCTAX else play_ours
    seconds = {
        game: play(game, args.folder / f"{game}.npz", args.num_envs, args.chunks)
        / args.num_envs
        for game in args.games
    }
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
