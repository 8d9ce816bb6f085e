"""MinAtar's games by one package, in a process of its own: rewards, and how fast.

Called by ``minatar_games.py``. All play at random from the smallest set of actions,
without sticky actions, and start games anew that end. Prints one JSON line: for each
game the processor seconds of an environment step, and the mean reward of a step in each
of the games played side by side.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

OURS, MINATAR, GYMNAX, PGX = "ours", "minatar", "gymnax", "pgx"
GYMNAX_NAMES = {"space_invaders": "SpaceInvaders"}
PGX_CLASSES = {"space_invaders": "MinAtarSpaceInvaders"}
Play = Callable[[int], np.ndarray]  # steps -> rewards (steps, games)


def ours(game: str, num_envs: int) -> Play:
    from isometry.rl import make_vec

    envs = make_vec(f"minatar/{game}", num_envs, seed=0)
    envs.reset()
    draw, last = np.random.default_rng(0), envs.single_action_space.n

    def play(steps: int) -> np.ndarray:
        actions = draw.integers(last, size=(steps, num_envs))
        return np.array([envs.step(row)[1] for row in actions])

    return play


def minatar(game: str, num_envs: int) -> Play:
    from minatar import Environment

    games = [Environment(game, sticky_action_prob=0.0) for _ in range(num_envs)]
    for seed, one in enumerate(games):
        one.seed(seed)
        one.reset()
    codes, draw = np.array(games[0].minimal_action_set()), np.random.default_rng(0)

    def step(one, action: int) -> float:
        reward, over = one.act(action)
        if over:
            one.reset()
        one.state()
        return reward

    def play(steps: int) -> np.ndarray:
        actions = codes[draw.integers(len(codes), size=(steps, num_envs))].tolist()
        return np.array(
            [[step(*pair) for pair in zip(games, row, strict=True)] for row in actions]
        )

    return play


def scanned(start: Callable, step: Callable, num_envs: int) -> Play:
    """Return play by a compiled scan over steps, for packages written in JAX."""
    import jax

    def many(state, keys):
        def one(state, key):
            return jax.vmap(step)(state, jax.random.split(key, num_envs))

        return jax.lax.scan(one, state, keys)

    compiled = jax.jit(many)
    key = jax.random.PRNGKey(0)
    held = [jax.jit(jax.vmap(start))(jax.random.split(key, num_envs)), key]

    def play(steps: int) -> np.ndarray:
        held[1], drawn = jax.random.split(held[1])
        held[0], (rewards, seen) = compiled(held[0], jax.random.split(drawn, steps))
        seen.block_until_ready()  # sums of what was observed: it has to be computed
        return np.asarray(rewards)

    return play


def gymnax(game: str, num_envs: int) -> Play:
    import gymnax as package
    import jax

    name = GYMNAX_NAMES.get(game, game.capitalize())
    environment, parameters = package.make(f"{name}-MinAtar")
    actions = environment.action_space(parameters).n

    def step(state, key):
        chosen, key = jax.random.split(key)
        action = jax.random.randint(chosen, (), 0, actions)
        board, state, reward, *_ = environment.step(key, state, action, parameters)
        return state, (reward, board.sum())

    return scanned(lambda key: environment.reset(key, parameters)[1], step, num_envs)


def pgx(game: str, num_envs: int) -> Play:
    import importlib

    import jax
    from pgx.experimental import auto_reset

    module = importlib.import_module(f"pgx.minatar.{game}")
    name = PGX_CLASSES.get(game, f"MinAtar{game.capitalize()}")
    environment = getattr(module, name)(sticky_action_prob=0.0)
    moved = auto_reset(environment.step, environment.init)

    def step(state, key):
        chosen, key = jax.random.split(key)
        action = jax.random.randint(chosen, (), 0, environment.num_actions)
        state = moved(state, action, key)
        return state, (state.rewards[0], state.observation.sum())

    return scanned(environment.init, step, num_envs)


PLAYERS = {OURS: ours, MINATAR: minatar, GYMNAX: gymnax, PGX: pgx}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PLAYERS)
    parser.add_argument("folder", type=Path, help="not used")
    parser.add_argument("--games", nargs="+")
    parser.add_argument("--num-envs", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--chunks", type=int)
    args = parser.parse_args()
    found = {}
    for game in args.games:
        play = PLAYERS[args.name](game, args.num_envs)
        rewards, best = [play(args.steps)], float("inf")  # the first one compiles
        for _ in range(args.chunks):
            start = time.process_time()
            rewards.append(play(args.steps))
            best = min(best, time.process_time() - start)
        found[game] = {
            "seconds": best / (args.steps * args.num_envs),
            "rewards": np.concatenate(rewards).mean(0).tolist(),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
